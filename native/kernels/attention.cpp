// softmax(q k^T scale + mask) v without the matrix of all scores, and its derivative.
//
// Tri Dao et al., FlashAttention, 2022. Forward: for a tile of queries the keys come in blocks; a row's maximum and sum are
// carried along, and what was added up under an older maximum is scaled. Kept for the backward pass: log(sum exp) per row,
// from which a block of probabilities is computed anew. A row that may attend to nothing gives zeros.
//
// q (…, L, E), k (…, S, E), v (…, S, Ev) and mask (…, L, S) have the same leading dimensions and any strides. Work is cut
// by batch and by queries, by sizes alone. `is_causal` (a bool, or None): read when the kernel runs; if true, the mask is the
// causal one, and need not be looked at.
#include <algorithm>
#include <cmath>
#include <utility>

#include "product.h"
#include "rows.h"
#include "vecmath.h"

namespace rl {
namespace {

constexpr int64_t kKeys = 256, kKeysBack = 128;   // keys in a block, forward and backward
constexpr int64_t kQueries = 256;             // queries of a forward job
constexpr int64_t kQueryTiles = 4;            // tiles of queries in a block of the backward pass

template <class T>
Matrix<T> slice(const Array& a, int64_t batch) {
  int64_t at = 0;
  for (int d = a.ndim - 3; d >= 0; --d) {
    at += batch % a.shape[d] * a.strides[d];
    batch /= a.shape[d];
  }
  return {a.ptr<T>() + at, a.strides[a.ndim - 2], a.strides[a.ndim - 1]};
}

// Rows [first, first + rows) of one batch as the type that is computed in: where they are, or half types in a copy that stays in
// the cache.
template <class S, class T = Compute<S>>
class Rows {
 public:
  Rows(const Array& a, int64_t batch, int64_t first, int64_t rows, int64_t width)
      : at_(slice<S>(a, batch)), rows_(rows), width_(width), copy_(kHalf<S> ? rows * width : 0) {
    at_.p += first * at_.rs;
  }
  Matrix<T> matrix() const {
    if constexpr (kHalf<S>) return {copy_.p, width_, 1};
    else return at_;
  }
  T* data() const { return const_cast<T*>(matrix().p); }
  int64_t pitch() const { return matrix().rs; }
  const Rows& read() const {
    if constexpr (kHalf<S>)
      for (int64_t i = 0; i < rows_; ++i) {
        const S* s = at_.p + i * at_.rs;
        if (at_.cs == 1) widen(s, width_, copy_ + i * width_);
        else for (int64_t e = 0; e < width_; ++e) widen(s + e * at_.cs, 1, copy_ + i * width_ + e);
      }
    return *this;
  }
  void write() const {                        // rows of a result are contiguous
    if constexpr (kHalf<S>)
      for (int64_t i = 0; i < rows_; ++i) narrow(copy_ + i * width_, width_, const_cast<S*>(at_.p) + i * at_.rs);
  }

 private:
  Matrix<S> at_;
  int64_t rows_, width_;
  Scratch<T> copy_;
};

struct Sizes {
  int64_t batches = 1, L, S, E, Ev;
  bool causal;
  double scale;
  const Array* mask;
  Sizes(const Call& c, const Array& q, const Array& k, const Array& v, const Array* mask_, const Array* is_causal)
      : L(q.shape[q.ndim - 2]), S(k.shape[k.ndim - 2]), E(q.shape[q.ndim - 1]), Ev(v.shape[v.ndim - 1]), causal(c.inum(0)),
        scale(c.fnum(1)), mask(mask_) {
    if (is_causal && *is_causal->ptr<bool>()) causal = true, mask = nullptr;
    for (int d = 0; d < q.ndim - 2; ++d) batches *= q.shape[d];
  }
  // Keys that some of the queries before `end` may see.
  int64_t seen(int64_t end) const { return causal && end < S ? end : S; }
};

// Jobs of `work` multiply-adds each; small ones are taken together, so that they are worth handing over.
template <class F>
void in_groups(int64_t jobs, int64_t work, const F& job) {
  constexpr int64_t kEnough = int64_t{1} << 17;
  const int64_t per = std::max<int64_t>(1, kEnough / std::max<int64_t>(1, work));
  parallel_for((jobs + per - 1) / per, [&](int64_t group) {
    for (int64_t k = group * per; k < std::min(jobs, (group + 1) * per); ++k) job(k);
  });
}

struct Transposed {};

// All columns of a matrix as panels: those of panel q begin at q * NR * rows.
template <class T>
struct Panels {
  int64_t rows, cols;
  Scratch<T> data;
  Panels(int64_t rows_, int64_t cols_) : rows(rows_), cols(cols_), data((cols + kNR<T> - 1) / kNR<T> * kNR<T> * rows) {}
  Panels(const Matrix<T>& m, int64_t rows_, int64_t cols_) : Panels(rows_, cols_) {
    for (int64_t q = 0; q * kNR<T> < cols; ++q) m.pack_b(at(q, 0), 0, rows, q * kNR<T>, width(q, cols));
  }
  // Those of the transposed matrix, from its panels, which lie together.
  Panels(Transposed, const Panels& m) : Panels(m.cols, m.rows) {
    for (int64_t q = 0; q * kNR<T> < cols; ++q)
      for (int64_t k = 0; k * kNR<T> < rows; ++k)
        Matrix<T>{m.at(k, q * kNR<T>), 1, kNR<T>}.pack_b(at(q, k * kNR<T>), 0, width(k, rows), 0, width(q, cols));
  }
  T* at(int64_t q, int64_t row) const { return data + q * kNR<T> * rows + row * kNR<T>; }
  static int width(int64_t q, int64_t end) { return static_cast<int>(end - q * kNR<T> < kNR<T> ? end - q * kNR<T> : kNR<T>); }
};

// C (M x N) = A B (+ C); row k of A B's inner dimension is row k0 + k of the panels. A's element (i, k): a[i * rs + k * cs].
// reach(i, end): the [first, last) k at which some of the rows i..end of A are not zero; what lies outside is not read.
template <class T, class Reach>
void panel_product(int64_t M, const T* a, int64_t rs, int64_t cs, const Panels<T>& B, int64_t k0, T* C, int64_t ldc, bool accumulate,
                   const Reach& reach) {
  const Tiles tiles(M);
  for (int64_t t = 0; t < tiles.count; ++t) {
    const int64_t i = tiles.at(t);
    const auto [from, to] = reach(i, tiles.at(t + 1));
    if (accumulate && from >= to) continue;
    for (int64_t q = 0; q * kNR<T> < B.cols; ++q)
      tile<T>(tiles.height(t), Panels<T>::width(q, B.cols), to - from, {a + i * rs + from * cs, rs, cs}, B.at(q, k0 + from), kNR<T>,
              {C + i * ldc + q * kNR<T>, ldc, accumulate});
  }
}

// Rows that the next job reads, fetched piece by piece while tiles of this one multiply: heads of one projection lie apart, where the
// hardware fetches nothing in advance.
class Upcoming {
 public:
  template <class S>
  void add(const Array& a, int64_t batch, int64_t first, int64_t rows, int64_t width) {
    const Matrix<S> m = slice<S>(a, batch);
    constexpr int64_t size = sizeof(S);
    if (m.cs != 1 || rows == 0) return;
    pieces_[count_++] = {reinterpret_cast<const char*>(m.p + first * m.rs), m.rs * size, rows, width * size};
  }
  // For that many steps of a tile.
  Fetch take(int64_t steps, const void* nothing) {
    if (at_ == count_) return Fetch(nothing);
    const Piece& x = pieces_[at_];
    const Fetch found(x.p + column_ + row_ * x.pitch, x.pitch, x.rows);
    row_ += steps;
    if (row_ >= x.rows) row_ = 0, column_ += Fetch::kBytes;
    if (column_ >= x.bytes) column_ = 0, ++at_;
    return found;
  }

 private:
  struct Piece {
    const char* p;
    int64_t pitch, rows, bytes;
  };
  Piece pieces_[5];
  int count_ = 0, at_ = 0;
  int64_t row_ = 0, column_ = 0;
};

// A tile of queries times keys j0..j0+n (j0 begins a panel), scaled; whole vectors, so that `out` needs room for them.
template <class T>
void scores(int rows, const TileRows<T>& queries, const Panels<T>& keys, int64_t j0, int64_t n, T scale, T* out, int64_t ldc,
            Upcoming& next) {
  for (int64_t q = 0; q * kNR<T> < n; ++q) {
    TileOut<T> o(out + q * kNR<T>, ldc);
    o.alpha = scale;
    o.fetch = next.take(keys.rows, out);
    const int width = n - q * kNR<T> > Simd<T>::lanes ? kNR<T> : Simd<T>::lanes;
    tile<T>(rows, width, keys.rows, queries, keys.at(j0 / kNR<T> + q, 0), kNR<T>, o);
  }
}

// The mask of one batch; adds a row of it to a row of scores.
template <class T>
struct Mask {
  const Array* a;
  Matrix<bool> allowed{nullptr, 0, 0};
  Matrix<T> added{nullptr, 0, 0};
  Mask(const Array* mask, int64_t batch) : a(mask) {
    if (!a) return;
    if (a->dtype == DType::b8) allowed = slice<bool>(*a, batch);
    else added = slice<T>(*a, batch);
  }
  void apply(T* row, int64_t i, int64_t j0, int64_t n) const {
    if (allowed.p) {
      const bool* m = allowed.p + i * allowed.rs + j0 * allowed.cs;
      constexpr T low = -std::numeric_limits<T>::infinity();
      int64_t j = 0;
      for (; allowed.cs == 1 && j + kLanes <= n; j += kLanes) {     // in vectors: compilers make branches of it
        typedef uint8_t bytes __attribute__((vector_size(kLanes)));
        bytes b;
        std::memcpy(&b, m + j, sizeof b);
        typename Sixteen<T>::vec v;
        Sixteen<T>::load(v, row + j);
        const auto see = __builtin_convertvector(b, decltype(v < v)) != 0;
        Sixteen<T>::store(row + j, see ? v : typename Sixteen<T>::vec{} + low);
      }
      for (; j < n; ++j) row[j] = m[j * allowed.cs] ? row[j] : low;
    } else if (added.p) {
      const T* m = added.p + i * added.rs + j0 * added.cs;
      if (added.cs == 1) for (int64_t j = 0; j < n; ++j) row[j] += m[j];
      else for (int64_t j = 0; j < n; ++j) row[j] += m[j * added.cs];
    }
  }
};

// How many of the keys j0..j0+n query i may see.
inline int64_t visible(const Sizes& z, int64_t i, int64_t j0, int64_t n) {
  return z.causal ? std::clamp<int64_t>(i + 1 - j0, 0, n) : n;
}

// ---- forward ------------------------------------------------------------------------------------------------------------

// attention(q, k, v, mask or None, is_causal or None; causal, scale) -> out, lse. The memory of out is ordered like q's.
void ordered_like(const Array& a, Meta* m) {
  int order[kMaxDims];                        // by falling stride
  for (int d = 0; d < m->ndim - 1; ++d) {
    int at = d;
    for (; at > 0 && a.strides[order[at - 1]] < a.strides[d]; --at) order[at] = order[at - 1];
    order[at] = d;
  }
  m->has_strides = true;
  m->strides[m->ndim - 1] = 1;
  int64_t step = m->shape[m->ndim - 1];
  for (int k = m->ndim - 2; k >= 0; --k) {
    m->strides[order[k]] = step > 0 ? step : 1;
    step *= m->shape[order[k]];
  }
}

void attention_infer(const Call& c, Meta* m) {
  const Array &q = *c.in[0], &v = *c.in[2];
  m[0].like(q);
  m[0].shape[q.ndim - 1] = v.shape[v.ndim - 1];
  ordered_like(q, &m[0]);
  m[1].like(q);
  m[1].ndim = q.ndim - 1;
  if (is_half(q.dtype)) m[1].dtype = DType::f32;
}

// Blocks are whole lanes wide, so that no loop over a row has a rest: what lies past its end is -inf, and exp gives 0.
inline int64_t padded(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

// Rows of a block, of which some[r] scores count: they become exp(score - maximum); before[r]: the factor of what came before.
template <class T>
void soften(T* block, int64_t pitch, int rows, const int64_t* some, int64_t width, T* maximum, T* total, T* before) {
  using S = Sixteen<T>;
  constexpr T low = -std::numeric_limits<T>::infinity();
  const int64_t w = padded(width);
  typename S::vec v[kLanes], most, from;
  for (int r = 0; r < kLanes; ++r) {
    if (r < rows) {
      std::fill(block + r * pitch + some[r], block + r * pitch + w, low);
      max_lanes(block + r * pitch, w, v[r]);
    } else {
      v[r] = v[0];
    }
  }
  S::maxima(v);
  S::load(most, maximum);
  for (int r = 0; r < kLanes; ++r) before[r] = maximum[r];
  most = v[0] > most ? v[0] : most;
  from = most == low ? typename S::vec{} : most;            // a row with nothing to attend to yet
  T at[kLanes];
  S::store(maximum, most);
  S::store(at, from);
  for (int r = 0; r < kLanes; ++r) before[r] = fast_exp_below(before[r] - at[r]);
  for (int r = 0; r < kLanes; ++r) {
    if (r < rows) exp_lanes<true>(block + r * pitch, w, at[r], block + r * pitch, v[r]);
    else v[r] = v[0];
  }
  S::sums(v);
  T sum[kLanes];
  S::store(sum, v[0]);
  for (int r = 0; r < kLanes; ++r) total[r] = total[r] * before[r] + sum[r];
}

template <class T>
struct ForwardJob {
  const Sizes& z;
  const Panels<T> keys, values;
  const Mask<T> mask;
  Upcoming& next;
  Scratch<T> block, sums;

  ForwardJob(const Sizes& sizes, const Matrix<T>& k, const Matrix<T>& v, const Array* m, int64_t batch, int64_t seen, Upcoming& after)
      : z(sizes), keys(Transposed{}, Panels<T>(k, seen, z.E)), values(v, seen, z.Ev), mask(m, batch), next(after),
        block(kMR * kKeys), sums(kMR * z.Ev) {}

  // Queries i..i+rows; row 0 of q is query `first`.
  void run(const Matrix<T>& q, int64_t first, int64_t i, int rows, T* out, int64_t ldo, T* lse) {
    alignas(64) T maximum[kLanes], total[kLanes] = {}, before[kLanes];
    int64_t some[kMR];
    std::fill(maximum, maximum + kLanes, -std::numeric_limits<T>::infinity());
    Scratch<T> space(kMR * (z.E + Matrix<T>::kRowGap));
    const TileRows<T> queries = q.tile_rows(space, i - first, rows, 0, z.E, kKeys / kNR<T>);
    const int64_t end = z.seen(i + rows);
    for (int64_t j0 = 0; j0 < end; j0 += kKeys) {
      const int64_t n = std::min(kKeys, end - j0);
      scores<T>(rows, queries, keys, j0, n, static_cast<T>(z.scale), block, kKeys, next);
      for (int r = 0; r < rows; ++r) {
        some[r] = visible(z, i + r, j0, n);
        mask.apply(block + r * kKeys, i + r, j0, some[r]);
      }
      soften<T>(block, kKeys, rows, some, n, maximum, total, before);
      for (int r = 0; j0 > 0 && r < rows; ++r)
        for (int64_t e = 0; e < z.Ev; ++e) sums[r * z.Ev + e] *= before[r];
      auto all = [n](int64_t, int64_t) { return std::pair(int64_t{0}, n); };
      panel_product<T>(rows, block, kKeys, 1, values, j0, sums, z.Ev, j0 > 0, all);
    }
    T log_total[kLanes];
    for (int r = 0; r < kLanes; ++r) log_total[r] = fast_log(total[r]);
    for (int r = 0; r < rows; ++r) {
      const bool dead = total[r] == T(0);
      const T scale = dead ? T(0) : T(1) / total[r];
      lse[r] = dead ? -std::numeric_limits<T>::infinity() : maximum[r] + log_total[r];
      for (int64_t e = 0; e < z.Ev; ++e) out[r * ldo + e] = dead ? T(0) : sums[r * z.Ev + e] * scale;
    }
  }
};

template <class S, class T = Compute<S>>
void attention_forward(const Call& c) {
  const Array &q = *c.in[0], &k = *c.in[1], &v = *c.in[2];
  const Sizes z(c, q, k, v, c.in[3], c.in[4]);
  const int64_t chunks = (z.L + kQueries - 1) / kQueries;
  const Tiles all(z.L);
  in_groups(z.batches * chunks, z.L * z.S * (z.E + z.Ev) / std::max<int64_t>(1, chunks), [&](int64_t job) {
    const int64_t b = job / chunks, part = job % chunks;
    const int64_t t0 = all.count * part / chunks, t1 = all.count * (part + 1) / chunks;
    const int64_t seen = z.seen(all.at(t1)), first = all.at(t0), rows = all.at(t1) - first;
    Upcoming next;
    if (part + 1 == chunks && b + 1 < z.batches) {
      next.add<S>(k, b + 1, 0, z.S, z.E);
      next.add<S>(v, b + 1, 0, z.S, z.Ev);
      next.add<S>(q, b + 1, 0, std::min(z.L, kQueries), z.E);
    }
    const Rows<S> keys(k, b, 0, seen, z.E), values(v, b, 0, seen, z.Ev);
    ForwardJob<T> work(z, keys.read().matrix(), values.read().matrix(), z.mask, b, seen, next);
    const Rows<S> queries(q, b, first, rows, z.E), out(*c.out[0], b, first, rows, z.Ev);
    queries.read();
    for (int64_t t = t0; t < t1; ++t)
      work.run(queries.matrix(), first, all.at(t), all.height(t), out.data() + (all.at(t) - first) * out.pitch(), out.pitch(),
               c.out[1]->ptr<T>() + b * z.L + all.at(t));
    out.write();
  });
}

// ---- backward -----------------------------------------------------------------------------------------------------------

// attention_backward(g, q, k, v, mask or None, is_causal or None, out, lse; causal, scale) -> dq, dk, dv
void attention_backward_infer(const Call& c, Meta* m) {
  for (int i = 0; i < 3; ++i) {
    m[i].like(*c.in[1 + i]);
    ordered_like(*c.in[1 + i], &m[i]);
  }
}

// Queries of some tiles and all keys of one batch. Rows of q, g and out are those queries'.
template <class T>
struct BackwardJob {
  const Sizes& z;
  const int64_t i0, rows;                     // queries i0..i0+rows
  const Tiles tiles;
  const Matrix<T> q, g;
  const Panels<T> q_panels, g_panels, k_panels, k_columns, v_columns;
  const Mask<T> mask;
  const T* lse;
  Upcoming& next;
  Scratch<T> dot, p, ds, space;

  BackwardJob(const Sizes& sizes, int64_t first, int64_t end, const Matrix<T>& q_, const Matrix<T>& k, const Matrix<T>& v,
              const Matrix<T>& g_, const Matrix<T>& out, const Array* m, int64_t batch, const T* kept, Upcoming& after)
      : z(sizes), i0(first), rows(end - first), tiles(rows), q(q_), g(g_), q_panels(q, rows, z.E), g_panels(g, rows, z.Ev),
        k_panels(k, z.S, z.E), k_columns(Transposed{}, k_panels), v_columns(Transposed{}, Panels<T>(v, z.S, z.Ev)), mask(m, batch),
        lse(kept + first), next(after), dot(padded(rows)), p(kQueryTiles * kMR * kKeysBack), ds(kQueryTiles * kMR * kKeysBack),
        space(kMR * (std::max(z.E, z.Ev) + Matrix<T>::kRowGap)) {
    for (int64_t i = 0; i < rows; i += kLanes) {
      typename Sixteen<T>::vec sums[kLanes];
      for (int64_t r = 0; r < kLanes; ++r) {
        const int64_t at = std::min(i + r, rows - 1);
        row_dot(g.p + at * g.rs, g.cs, out.p + at * out.rs, sums[r]);
      }
      Sixteen<T>::sums(sums);
      Sixteen<T>::store(dot + i, sums[0]);
    }
  }

  // Products of two rows' elements, lane by lane.
  void row_dot(const T* a, int64_t cs, const T* b, typename Sixteen<T>::vec& sums) const {
    typename Sixteen<T>::vec x, y;
    sums = typename Sixteen<T>::vec{};
    if (cs != 1) {
      for (int64_t e = 0; e < z.Ev; ++e) sums[e % kLanes] += a[e * cs] * b[e];
      return;
    }
    for (int64_t e = 0; e < z.Ev; e += kLanes) {
      load_left(x, a + e, z.Ev - e, T(0));
      load_left(y, b + e, z.Ev - e, T(0));
      sums += x * y;
    }
  }

  // p and ds (gradient of the scores, times the scale) of tiles t0..t1 and keys j0..j0+n.
  void probabilities(int64_t t0, int64_t t1, int64_t j0, int64_t n) {
    constexpr T low = -std::numeric_limits<T>::infinity();
    const T s = static_cast<T>(z.scale);
    for (int64_t t = t0; t < t1; ++t) {
      const int64_t at = tiles.at(t) - tiles.at(t0), seen = std::clamp<int64_t>(z.seen(i0 + tiles.at(t + 1)) - j0, 0, n);
      const int height = tiles.height(t);
      auto of = [&](const Matrix<T>& m, int64_t width) { return m.tile_rows(space, tiles.at(t), height, 0, width, kKeysBack / kNR<T>); };
      scores<T>(height, of(q, z.E), k_columns, j0, seen, s, p + at * kKeysBack, kKeysBack, next);
      scores<T>(height, of(g, z.Ev), v_columns, j0, seen, T(1), ds + at * kKeysBack, kKeysBack, next);
      for (int64_t r = 0; r < height; ++r) {
        const int64_t i = tiles.at(t) + r;
        T *pr = p + (at + r) * kKeysBack, *dr = ds + (at + r) * kKeysBack;
        const int64_t some = lse[i] == low ? 0 : visible(z, i0 + i, j0, seen), w = padded(seen);
        mask.apply(pr, i0 + i, j0, some);
        std::fill(pr + some, pr + w, low);
        const T l = lse[i] == low ? T(0) : lse[i], d = dot[i];
        for (int64_t j = 0; j < w; ++j) {
          pr[j] = fast_exp_below(pr[j] - l);  // not above 1, but for rounding
          dr[j] = pr[j] * (dr[j] - d) * s;
        }
        std::fill(pr + w, pr + std::max(w, n), T(0));
        std::fill(dr + some, dr + std::max(w, n), T(0));
      }
    }
  }

  // dq: this job's rows; dk, dv: all keys, contiguous rows of the given strides.
  void run(T* dq, int64_t ldq, T* dk, int64_t ldk, T* dv, int64_t ldv) {
    for (int64_t j = tiles.count ? z.seen(i0 + rows) : 0; j < z.S; ++j) {
      std::fill(dk + j * ldk, dk + j * ldk + z.E, T(0));
      std::fill(dv + j * ldv, dv + j * ldv + z.Ev, T(0));
    }
    const int64_t blocks = (tiles.count + kQueryTiles - 1) / kQueryTiles;
    // The last queries first: they see all keys that others see, so that theirs are the first sums.
    for (int64_t j0 = 0; j0 < z.S; j0 += kKeysBack)
      for (int64_t block = blocks; block-- > 0;) {
        const int64_t t0 = tiles.count * block / blocks, t1 = tiles.count * (block + 1) / blocks;
        const int64_t i = tiles.at(t0), m = tiles.at(t1) - i;
        const int64_t n = std::min(kKeysBack, z.seen(i0 + i + m) - j0);
        const bool more = block + 1 < blocks;
        if (n <= 0) break;
        probabilities(t0, t1, j0, n);
        // A causal mask: these keys are seen by the queries from the first of them on, these queries see the keys up to the last.
        auto queries = [&](int64_t j, int64_t) { return std::pair(z.causal ? std::clamp<int64_t>(j0 + j - i0 - i, 0, m) : 0, m); };
        auto keys = [&](int64_t, int64_t end) { return std::pair(int64_t{0}, std::clamp<int64_t>(z.seen(i0 + i + end) - j0, 0, n)); };
        panel_product<T>(n, p, 1, kKeysBack, g_panels, i, dv + j0 * ldv, ldv, more, queries);
        panel_product<T>(n, ds, 1, kKeysBack, q_panels, i, dk + j0 * ldk, ldk, more, queries);
        panel_product<T>(m, ds, kKeysBack, 1, k_panels, j0, dq + i * ldq, ldq, j0 > 0, keys);
      }
    for (int64_t i = 0; z.S == 0 && i < rows; ++i) std::fill(dq + i * ldq, dq + i * ldq + z.E, T(0));
  }
};

template <class S, class T = Compute<S>>
void attention_backward(const Call& c) {
  const Array &g = *c.in[0], &q = *c.in[1], &k = *c.in[2], &v = *c.in[3], &out = *c.in[6];
  const Sizes z(c, q, k, v, c.in[4], c.in[5]);
  // With few batches the queries are cut into parts, whose gradients of keys and values are added in order.
  const Tiles all(z.L);
  const int64_t blocks = (all.count + kQueryTiles - 1) / kQueryTiles;
  const int64_t parts = std::max<int64_t>(1, std::min(blocks, kJobs / std::max<int64_t>(1, z.batches)));
  const int64_t each = z.S * (z.E + z.Ev);
  Scratch<T> partial(parts > 1 ? z.batches * parts * each : 0);
  in_groups(z.batches * parts, z.L * z.S * (z.E + z.Ev) / parts, [&](int64_t job) {
    const int64_t b = job / parts, part = job % parts;
    const int64_t first = all.at(all.count * part / parts), end = all.at(all.count * (part + 1) / parts);
    const int64_t rows = end - first;
    const Rows<S> queries(q, b, first, rows, z.E), keys(k, b, 0, z.S, z.E), values(v, b, 0, z.S, z.Ev);
    const Rows<S> given(g, b, first, rows, z.Ev), results(out, b, first, rows, z.Ev);
    Upcoming next;
    if (part + 1 == parts && b + 1 < z.batches) {
      const int64_t some = all.at(all.count / parts);
      next.add<S>(q, b + 1, 0, some, z.E);
      next.add<S>(g, b + 1, 0, some, z.Ev);
      next.add<S>(k, b + 1, 0, z.S, z.E);
      next.add<S>(v, b + 1, 0, z.S, z.Ev);
      next.add<S>(out, b + 1, 0, some, z.Ev);
    }
    BackwardJob<T> work(z, first, end, queries.read().matrix(), keys.read().matrix(), values.read().matrix(), given.read().matrix(),
                        results.read().matrix(), z.mask, b, c.in[7]->ptr<T>() + b * z.L, next);
    const Rows<S> dq(*c.out[0], b, first, rows, z.E);
    if (parts > 1) {
      T* own = partial + job * each;
      work.run(dq.data(), dq.pitch(), own, z.E, own + z.S * z.E, z.Ev);
    } else {
      const Rows<S> dk(*c.out[1], b, 0, z.S, z.E), dv(*c.out[2], b, 0, z.S, z.Ev);
      work.run(dq.data(), dq.pitch(), dk.data(), dk.pitch(), dv.data(), dv.pitch());
      dk.write();
      dv.write();
    }
    dq.write();
  });
  if (parts == 1) return;
  auto add = [&](const Array& a, int64_t b, int64_t width, int64_t offset) {
    const Matrix<S> m = slice<S>(a, b);
    for (int64_t j = 0; j < z.S; ++j)
      for (int64_t e = 0; e < width; ++e) {
        T sum = 0;
        for (int64_t part = 0; part < parts; ++part) sum += partial[(b * parts + part) * each + offset + j * width + e];
        const_cast<S*>(m.p)[j * m.rs + e] = narrowed_to<S>(sum);
      }
  };
  for (int64_t b = 0; b < z.batches; ++b) {
    add(*c.out[1], b, z.E, 0);
    add(*c.out[2], b, z.Ev, z.S * z.E);
  }
}

void attention_run(const Call& c) {
  floating_or_half(c.in[0]->dtype, "flash_attention", [&](auto z) { attention_forward<decltype(z)>(c); });
}
void attention_backward_run(const Call& c) {
  floating_or_half(c.in[1]->dtype, "flash_attention_backward", [&](auto z) { attention_backward<decltype(z)>(c); });
}
RL_KERNEL_ROWS(attention, 2, attention_infer, attention_run, 0b11101)
RL_KERNEL_ROWS(attention_backward, 3, attention_backward_infer, attention_backward_run, 0b1001111111)

}  // namespace
}  // namespace rl
