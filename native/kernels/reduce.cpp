// Reductions over one or more dimensions.
//
// Every reduction is brought to the form (outer, reduced, inner): if inner is 1 a row is reduced, else
// whole rows of `inner` elements are combined. Inputs in another order are gathered first. The numbers say
// which dimensions go: a bit mask, and whether they stay as size 1.
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "extremes.h"

namespace rl {
namespace {

// ---- geometry ---------------------------------------------------------------------------------------------

struct Form {
  int64_t outer = 1, reduced = 1, inner = 1;
};

// The smallest and largest dimension that is reduced must enclose only reduced (or size-1) dimensions for a
// contiguous array to have the form; otherwise the input is permuted into scratch.
bool direct_form(const Array& a, uint64_t mask, Form* f) {
  if (!a.contiguous()) return false;
  int first = -1, last = -1;
  for (int d = 0; d < a.ndim; ++d) {
    if (!(mask >> d & 1) || a.shape[d] == 1) continue;
    if (first < 0) first = d;
    last = d;
  }
  *f = Form{};
  if (first < 0) {
    f->outer = a.numel;
    return true;
  }
  for (int d = 0; d < a.ndim; ++d) {
    if (d >= first && d <= last) {
      if (!(mask >> d & 1) && a.shape[d] != 1) return false;
      f->reduced *= a.shape[d];
    } else if (d < first) {
      f->outer *= a.shape[d];
    } else {
      f->inner *= a.shape[d];
    }
  }
  return true;
}

template <class T>
void gather_permuted(const Array& a, const int* order, T* out) {
  const int n = a.ndim;
  int64_t index[kMaxDims] = {};
  int64_t at = 0;
  const T* p = a.ptr<T>();
  if (n == 0) {
    *out = *p;
    return;
  }
  const int last = order[n - 1];
  const int64_t len = a.shape[last], step = a.strides[last];
  for (int64_t done = 0; done < a.numel; done += len) {
    for (int64_t i = 0; i < len; ++i) out[done + i] = p[at + i * step];
    for (int k = n - 2; k >= 0; --k) {
      int d = order[k];
      at += a.strides[d];
      if (++index[k] < a.shape[d]) break;
      at -= a.shape[d] * a.strides[d];
      index[k] = 0;
    }
  }
}

// Calls fn(pointer, form) with the input in (outer, reduced, inner) order.
template <class T, class F>
void with_form(const Array& a, uint64_t mask, const F& fn) {
  Form f;
  if (direct_form(a, mask, &f)) {
    fn(a.ptr<T>(), f);
    return;
  }
  int order[kMaxDims], n = 0;
  f = Form{};
  for (int d = 0; d < a.ndim; ++d)
    if (!(mask >> d & 1)) {
      order[n++] = d;
      f.outer *= a.shape[d];
    }
  for (int d = 0; d < a.ndim; ++d)
    if (mask >> d & 1) {
      order[n++] = d;
      f.reduced *= a.shape[d];
    }
  Scratch<T> t(a.numel);
  if (a.numel) gather_permuted<T>(a, order, t);
  fn(static_cast<const T*>(t.p), f);
}

void reduce_shape(const Call& c, Meta* m) {
  const Array& a = *c.in[0];
  uint64_t mask = static_cast<uint64_t>(c.inum(0));
  bool keep = c.inum(1);
  m->dtype = a.dtype;
  m->ndim = 0;
  for (int d = 0; d < a.ndim; ++d) {
    if (mask >> d & 1) {
      if (keep) m->shape[m->ndim++] = 1;
    } else {
      m->shape[m->ndim++] = a.shape[d];
    }
  }
}

void reduce_shape_bool(const Call& c, Meta* m) {
  reduce_shape(c, m);
  m->dtype = DType::b8;
}

void reduce_shape_index(const Call& c, Meta* m) {
  reduce_shape(c, m);
  m->dtype = DType::i64;
}

void reduce_shape_pair(const Call& c, Meta* m) {
  reduce_shape(c, m);
  reduce_shape_index(c, m + 1);
}

constexpr int64_t kWork = 32768;              // elements per parallel chunk

// fn(o, j0, w) for strips of w neighbouring columns, up to STRIP, from column j0 of block o on.
template <int64_t STRIP, class F>
void for_strips(const Form& f, const F& fn) {
  const int64_t strips = (f.inner + STRIP - 1) / STRIP, jobs = f.outer * strips;
  const int64_t per = std::max<int64_t>(1, kWork / std::max<int64_t>(1, f.reduced * std::min(f.inner, STRIP)));
  parallel_for((jobs + per - 1) / per, [&](int64_t k) {
    for (int64_t job = k * per; job < std::min(jobs, (k + 1) * per); ++job) {
      const int64_t j0 = job % strips * STRIP;
      fn(job / strips, j0, std::min(STRIP, f.inner - j0));
    }
  });
}

// ---- sums -------------------------------------------------------------------------------------------------

// Pairwise over blocks of 1024, each block in 16 lanes: the error grows with log(n), and the order is fixed.
template <class T, class Acc, class Load>
Acc block_sum(const T* p, int64_t n, const Load& load) {
  constexpr int64_t kBlock = 1024;
  if (n <= kBlock) {
    Acc lane[16] = {};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
      for (int k = 0; k < 16; ++k) lane[k] += load(p[i + k]);
    for (int k = 0; i < n; ++i, ++k) lane[k] += load(p[i]);
    for (int s = 8; s; s >>= 1)
      for (int k = 0; k < s; ++k) lane[k] += lane[k + s];
    return lane[0];
  }
  int64_t half = (n / 2 + kBlock - 1) / kBlock * kBlock;
  return block_sum<T, Acc>(p, half, load) + block_sum<T, Acc>(p + half, n - half, load);
}

// Rows of up to this many elements are added up sixteen at a time; columns in blocks of this many rows, then in order.
constexpr int64_t kShortRow = 1024, kBlockRows = 64;

template <class T>
void lanes_of_row(const T* p, int64_t n, typename Sixteen<T>::vec& total) {
  typename Sixteen<T>::vec v;
  total = typename Sixteen<T>::vec{};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Sixteen<T>::load(v, p + i);
    total += v;
  }
  if (i < n) {
    Sixteen<T>::load(v, p + i, n - i, T(0));
    total += v;
  }
}

template <class T, class Finish>
void sum_short_rows(const T* p, int64_t rows, int64_t n, T* out, const Finish& finish) {
  for (int64_t r = 0; r < rows; r += kLanes) {
    typename Sixteen<T>::vec v[kLanes];
    const int64_t group = std::min<int64_t>(kLanes, rows - r);
    for (int64_t k = 0; k < kLanes; ++k) {
      if (k < group) lanes_of_row(p + (r + k) * n, n, v[k]);
      else v[k] = typename Sixteen<T>::vec{};
    }
    Sixteen<T>::sums(v);
    finish(v[0]);
    Sixteen<T>::store(out + r, v[0], group);
  }
}

// Sums of N vectors of neighbouring columns, the last of them `last` columns wide.
template <class T, int N, class Finish>
void sum_columns(const T* p, int64_t rows, int64_t pitch, int64_t last, T* out, const Finish& finish) {
  typedef typename Sixteen<T>::vec V;
  V total[N] = {}, v;
  for (int64_t r0 = 0; r0 < rows; r0 += kBlockRows) {
    V part[N] = {};
    for (int64_t r = r0; r < std::min(rows, r0 + kBlockRows); ++r) {
      const T* row = p + r * pitch;
      for (int k = 0; k < N - 1; ++k) {
        Sixteen<T>::load(v, row + k * kLanes);
        part[k] += v;
      }
      if (last == kLanes) Sixteen<T>::load(v, row + (N - 1) * kLanes);
      else Sixteen<T>::load(v, row + (N - 1) * kLanes, last, T(0));
      part[N - 1] += v;
    }
    for (int k = 0; k < N; ++k) total[k] += part[k];
  }
  for (int k = 0; k < N; ++k) {
    finish(total[k]);
    Sixteen<T>::store(out + k * kLanes, total[k], k == N - 1 ? last : kLanes);
  }
}

template <class T, class Finish>
void sum_column_strip(const T* p, int64_t rows, int64_t pitch, int64_t w, T* out, const Finish& finish) {
  const int64_t last = (w - 1) % kLanes + 1;
  switch ((w + kLanes - 1) / kLanes) {
    case 1: return sum_columns<T, 1>(p, rows, pitch, last, out, finish);
    case 2: return sum_columns<T, 2>(p, rows, pitch, last, out, finish);
    case 3: return sum_columns<T, 3>(p, rows, pitch, last, out, finish);
    default: return sum_columns<T, 4>(p, rows, pitch, last, out, finish);
  }
}

// The elements themselves, not a function of them: these sums run in vectors.
struct Itself {
  template <class T>
  T operator()(T x) const { return x; }
};

template <class T, class Acc, class Load>
void sum_form(const T* p, const Form& f, T* out, const Load& load, double scale) {
  auto finish = [scale](Acc s) {
    if constexpr (std::is_floating_point_v<Acc>) return static_cast<T>(scale == 1.0 ? s : s * static_cast<Acc>(scale));
    else return static_cast<T>(s);
  };
  constexpr bool in_lanes = std::is_floating_point_v<T> && std::is_same_v<Load, Itself>;
  auto finish_lanes = [scale](auto& v) {
    if (scale != 1.0) v *= static_cast<T>(scale);
  };
  if (f.inner == 1) {
    if (f.outer == 1) {
      // One long row: chunks in parallel, their sums added in order.
      const int64_t chunks = (f.reduced + kWork - 1) / kWork;
      if (chunks <= 1) {
        *out = finish(block_sum<T, Acc>(p, f.reduced, load));
        return;
      }
      Scratch<Acc> part(chunks);
      parallel_for(chunks, [&](int64_t k) {
        int64_t b = k * kWork;
        part[k] = block_sum<T, Acc>(p + b, std::min(kWork, f.reduced - b), load);
      });
      *out = finish(block_sum<Acc, Acc>(part, chunks, [](Acc x) { return x; }));
      return;
    }
    const int64_t rows = (std::max<int64_t>(1, kWork / std::max<int64_t>(1, f.reduced)) + kLanes - 1) / kLanes * kLanes;
    parallel_for((f.outer + rows - 1) / rows, [&](int64_t k) {
      const int64_t first = k * rows, end = std::min(f.outer, first + rows);
      if constexpr (in_lanes)
        if (f.reduced <= kShortRow)
          return sum_short_rows(p + first * f.reduced, end - first, f.reduced, out + first, finish_lanes);
      for (int64_t r = first; r < end; ++r) out[r] = finish(block_sum<T, Acc>(p + r * f.reduced, f.reduced, load));
    });
    return;
  }
  constexpr int64_t kStrip = 64;
  for_strips<kStrip>(f, [&](int64_t o, int64_t j0, int64_t w) {
    const T* base = p + o * f.reduced * f.inner + j0;
    T* to = out + o * f.inner + j0;
    if constexpr (in_lanes) return sum_column_strip(base, f.reduced, f.inner, w, to, finish_lanes);
    Acc total[kStrip] = {}, part[kStrip];
    for (int64_t r0 = 0; r0 < f.reduced; r0 += kBlockRows) {
      std::fill(part, part + w, Acc(0));
      for (int64_t r = r0; r < std::min(f.reduced, r0 + kBlockRows); ++r)
        for (int64_t j = 0; j < w; ++j) part[j] += load(base[r * f.inner + j]);
      for (int64_t j = 0; j < w; ++j) total[j] += part[j];
    }
    for (int64_t j = 0; j < w; ++j) to[j] = finish(total[j]);
  });
}

// Where reduced dimensions enclose others: the last run of reduced ones first, then the rest.
template <class T>
void sum_in_steps(const Array& a, uint64_t mask, T* out, double scale) {
  Form f;
  if (direct_form(a, mask, &f)) return sum_form<T, T>(a.ptr<T>(), f, out, Itself{}, scale);
  int end = a.ndim, begin;
  while (!(mask >> (end - 1) & 1)) --end;
  for (begin = end; begin > 0 && (mask >> (begin - 1) & 1);) --begin;
  f = Form{};
  Array rest;
  rest.dtype = a.dtype;
  rest.ndim = 0;
  for (int d = 0; d < a.ndim; ++d) {
    (d < begin ? f.outer : d < end ? f.reduced : f.inner) *= a.shape[d];
    if (d < begin || d >= end) rest.shape[rest.ndim++] = a.shape[d];
  }
  rest.set_contiguous();
  Scratch<T> sums(rest.numel);
  sum_form<T, T>(a.ptr<T>(), f, sums, Itself{}, 1.0);
  Storage storage;
  storage.data = reinterpret_cast<char*>(sums.p);
  rest.storage = &storage;
  const uint64_t low = mask & ((uint64_t{1} << begin) - 1);
  sum_in_steps<T>(rest, low, out, scale);
  rest.storage = nullptr;
}

// sum(x, mask, keepdim, scale): scale is 1/n for a mean.
void sum_run(const Call& c) {
  const Array &out = *c.out[0], &a = *c.in[0];
  const double scale = c.nnum > 2 ? c.fnum(2) : 1.0;
  all_types(a.dtype, "sum_cpu", [&](auto z) {
    using T = decltype(z);
    using Acc = std::conditional_t<std::is_floating_point_v<T>, T, std::conditional_t<std::is_same_v<T, bool>, int64_t, T>>;
    const uint64_t mask = static_cast<uint64_t>(c.inum(0));
    if constexpr (std::is_floating_point_v<T>)
      if (a.contiguous() && a.numel) return sum_in_steps<T>(a, mask, out.ptr<T>(), scale);
    with_form<T>(a, mask, [&](const T* p, const Form& f) {
      if constexpr (std::is_same_v<T, Acc>) sum_form<T, Acc>(p, f, out.ptr<T>(), Itself{}, scale);
      else sum_form<T, Acc>(p, f, out.ptr<T>(), [](T x) { return static_cast<Acc>(x); }, scale);
    });
  });
}
RL_KERNEL(sum, 1, reduce_shape, sum_run)

// ---- folds (product, all, any, extrema) ----------------------------------------------------------------------

// One row in lanes, four vectors at a time: a chain of comparisons is as long as their latency.
template <class T, class Fold>
T fold_row(const T* p, int64_t n, T start, const Fold& fold) {
  constexpr int64_t kWide = 4 * kLanes;
  T lane[kWide];
  std::fill(lane, lane + kWide, start);
  int64_t i = 0;
  for (; i + kWide <= n; i += kWide)
    for (int64_t k = 0; k < kWide; ++k) lane[k] = fold(lane[k], p[i + k]);
  for (int64_t k = 0; i < n; ++i, ++k) lane[k] = fold(lane[k], p[i]);
  for (int64_t s = kWide / 2; s; s >>= 1)
    for (int64_t k = 0; k < s; ++k) lane[k] = fold(lane[k], lane[k + s]);
  return lane[0];
}

// Sixteen rows at a time, or fewer.
template <class T, bool MAX>
void extremes_of_rows(const T* p, int64_t rows, int64_t n, T* out) {
  typedef typename Sixteen<T>::vec V;
  const T rest = MAX ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::infinity();
  auto fold = [](V& a, const V& b) { a = (MAX ? b > a : b < a) | (b != b) ? b : a; };
  V best[kLanes], v;
  for (int64_t r = 0; r < kLanes; ++r) {
    const T* s = p + std::min(r, rows - 1) * n;
    V a = rest - V{};
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      Sixteen<T>::load(v, s + i);
      fold(a, v);
    }
    if (i < n) {
      Sixteen<T>::load(v, s + i, n - i, rest);
      fold(a, v);
    }
    best[r] = a;
  }
  Sixteen<T>::fold_rows(best, fold);
  Sixteen<T>::store(out, best[0], rows);
}

// ANY_ORDER: the result does not depend on the order of the elements (extrema).
template <bool ANY_ORDER, class T, class R, class Fold>
void fold_form(const T* p, const Form& f, R* out, R start, const Fold& fold) {
  const int64_t span = f.reduced * f.inner;
  const int64_t per = std::max<int64_t>(1, kWork / std::max<int64_t>(1, span));
  parallel_for((f.outer + per - 1) / per, [&](int64_t k) {
    for (int64_t o = k * per; o < std::min(f.outer, (k + 1) * per); ++o) {
      const T* base = p + o * span;
      if (f.inner == 1) {
        if constexpr (ANY_ORDER) {
          out[o] = fold_row(base, f.reduced, start, fold);
        } else {
          R acc = start;
          for (int64_t r = 0; r < f.reduced; ++r) acc = fold(acc, base[r]);
          out[o] = acc;
        }
        continue;
      }
      R* row = out + o * f.inner;
      for (int64_t j = 0; j < f.inner; ++j) row[j] = start;
      for (int64_t r = 0; r < f.reduced; ++r)
        for (int64_t j = 0; j < f.inner; ++j) row[j] = fold(row[j], base[r * f.inner + j]);
    }
  });
}

template <class T>
constexpr T lowest() {
  if constexpr (std::is_floating_point_v<T>) return -std::numeric_limits<T>::infinity();
  else return std::numeric_limits<T>::lowest();
}
template <class T>
constexpr T highest() {
  if constexpr (std::is_floating_point_v<T>) return std::numeric_limits<T>::infinity();
  else return std::numeric_limits<T>::max();
}

#define RL_FOLD(name_, infer_, Result_, order_, start_, expr_)                                       \
  void name_##_run(const Call& c) {                                                                 \
    const Array &out = *c.out[0], &a = *c.in[0];                                                    \
    all_types(a.dtype, #name_, [&](auto z) {                                                        \
      using T = decltype(z);                                                                        \
      using R = Result_;                                                                            \
      with_form<T>(a, static_cast<uint64_t>(c.inum(0)), [&](const T* p, const Form& f) {            \
        fold_form<order_, T, R>(p, f, out.ptr<R>(), start_, [](R acc, T x) -> R { return expr_; }); \
      });                                                                                           \
    });                                                                                             \
  }                                                                                                 \
  RL_KERNEL(name_, 1, infer_, name_##_run)

RL_FOLD(prod, reduce_shape, T, false, R(1), static_cast<T>(acc * x))
RL_FOLD(all, reduce_shape_bool, bool, false, true, acc && x != T(0))
RL_FOLD(any, reduce_shape_bool, bool, false, false, acc || x != T(0))
template <bool MAX>
void extremes_run(const Call& c) {
  const Array &out = *c.out[0], &a = *c.in[0];
  all_types(a.dtype, MAX ? "amax" : "amin", [&](auto z) {
    using T = decltype(z);
    with_form<T>(a, static_cast<uint64_t>(c.inum(0)), [&](const T* p, const Form& f) {
      T* o = out.ptr<T>();
      if constexpr (std::is_floating_point_v<T>)
        if (f.inner == 1 && f.outer > 1) {
          const int64_t per = (kWork / std::max<int64_t>(1, f.reduced) / kLanes + 1) * kLanes;
          parallel_for((f.outer + per - 1) / per, [&](int64_t k) {
            const int64_t end = std::min(f.outer, (k + 1) * per);
            for (int64_t r = k * per; r < end; r += kLanes)
              extremes_of_rows<T, MAX>(p + r * f.reduced, std::min<int64_t>(kLanes, end - r), f.reduced, o + r);
          });
          return;
        }
      fold_form<true, T, T>(p, f, o, MAX ? lowest<T>() : highest<T>(),
                            [](T acc, T x) -> T { return ((MAX ? x > acc : x < acc) || x != x) ? x : acc; });
    });
  });
}
void amax_run(const Call& c) { extremes_run<true>(c); }
void amin_run(const Call& c) { extremes_run<false>(c); }
RL_KERNEL(amax, 1, reduce_shape, amax_run)
RL_KERNEL(amin, 1, reduce_shape, amin_run)

// ---- extrema with their positions --------------------------------------------------------------------------------

// Values and first positions; NaN wins. mask has one bit, or all (argmax of the flattened array).
template <class T, bool MAX>
inline bool ahead(T x, T best) {
  return MAX ? x > best : x < best;
}

// A strip of neighbouring columns, carried along. I: an integer of T's size, so that values and places share vectors.
constexpr int64_t kExtremeStrip = 64;

template <class T, class I, bool MAX>
void extreme_strip(const T* s, int64_t n, int64_t pitch, int64_t w, T* values, int64_t* where) {
  I place[kExtremeStrip] = {};
  T best[kExtremeStrip];
  for (int64_t j = 0; j < w; ++j) best[j] = s[j];
  for (int64_t r = 1; r < n; ++r)
    for (int64_t j = 0; j < w; ++j) {
      const T x = s[r * pitch + j];
      const bool take = (ahead<T, MAX>(x, best[j]) || x != x) && best[j] == best[j];
      best[j] = take ? x : best[j];
      place[j] = take ? static_cast<I>(r) : place[j];
    }
  for (int64_t j = 0; j < w; ++j) {
    values[j] = best[j];
    where[j] = static_cast<int64_t>(place[j]);
  }
}

template <class T, bool MAX>
void extreme_line(const T* s, int64_t n, T* value, int64_t* where) {
  int64_t at = 0;
  for (int64_t r = 1; r < n; ++r)
    if (ahead<T, MAX>(s[r], s[at]) || (s[r] != s[r] && s[at] == s[at])) at = r;
  *value = s[at];
  *where = at;
}

template <class T, class I, bool MAX>
void extreme_form(const T* p, const Form& f, T* values, int64_t* where) {
  if (f.inner == 1) {
    if constexpr (std::is_floating_point_v<T> && sizeof(I) == sizeof(T))
      return extremes_of<T, MAX, false>(p, f.outer, f.reduced, values, where);
    const int64_t per = std::max<int64_t>(1, kWork / std::max<int64_t>(1, f.reduced));
    parallel_for((f.outer + per - 1) / per, [&](int64_t k) {
      for (int64_t o = k * per; o < std::min(f.outer, (k + 1) * per); ++o)
        extreme_line<T, MAX>(p + o * f.reduced, f.reduced, values + o, where + o);
    });
    return;
  }
  for_strips<kExtremeStrip>(f, [&](int64_t o, int64_t j0, int64_t w) {
    const int64_t to = o * f.inner + j0;
    extreme_strip<T, I, MAX>(p + o * f.reduced * f.inner + j0, f.reduced, f.inner, w, values + to, where + to);
  });
}

template <bool MAX>
void extreme_run(const Call& c) {
  const Array& a = *c.in[0];
  all_types(a.dtype, MAX ? "max_values_cpu" : "min_values_cpu", [&](auto z) {
    using T = decltype(z);
    with_form<T>(a, static_cast<uint64_t>(c.inum(0)), [&](const T* p, const Form& f) {
      T* values = c.out[0]->ptr<T>();
      int64_t* where = c.out[1]->ptr<int64_t>();
      if (sizeof(T) == 8 || f.reduced > std::numeric_limits<int32_t>::max()) extreme_form<T, int64_t, MAX>(p, f, values, where);
      else extreme_form<T, int32_t, MAX>(p, f, values, where);
    });
  });
}
void max_dim_run(const Call& c) { extreme_run<true>(c); }
void min_dim_run(const Call& c) { extreme_run<false>(c); }
RL_KERNEL(max_dim, 2, reduce_shape_pair, max_dim_run)
RL_KERNEL(min_dim, 2, reduce_shape_pair, min_dim_run)

// ---- variance ---------------------------------------------------------------------------------------------------

// var_mean(x, mask, keepdim, correction): two passes in double precision, so no cancellation.
void var_mean_infer(const Call& c, Meta* m) {
  reduce_shape(c, m);
  reduce_shape(c, m + 1);
}

// Sums of x and of x * x over the rows, after subtracting shift[j], for w neighbouring columns.
template <class T>
void moments(const T* s, int64_t rows, int64_t step, int64_t w, const double* shift, double* sum, double* squares) {
  for (int64_t j = 0; j < w; ++j) sum[j] = squares[j] = 0;
  for (int64_t r = 0; r < rows; ++r) {
    const T* row = s + r * step;
    for (int64_t j = 0; j < w; ++j) {
      const double d = static_cast<double>(row[j]) - shift[j];
      sum[j] += d;
      squares[j] += d * d;
    }
  }
}

// The same for one contiguous line, in 8 lanes.
template <class T>
void line_moments(const T* s, int64_t n, double shift, double* sum, double* squares) {
  double a[8] = {}, b[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int k = 0; k < 8; ++k) {
      const double d = static_cast<double>(s[i + k]) - shift;
      a[k] += d;
      b[k] += d * d;
    }
  for (; i < n; ++i) {
    const double d = static_cast<double>(s[i]) - shift;
    a[i % 8] += d;
    b[i % 8] += d * d;
  }
  *sum = *squares = 0;
  for (int k = 0; k < 8; ++k) {
    *sum += a[k];
    *squares += b[k];
  }
}

void var_mean_run(const Call& c) {
  const Array& a = *c.in[0];
  const double correction = c.fnum(2);
  floating(a.dtype, "std_var_kernel", [&](auto z) {
    using T = decltype(z);
    with_form<T>(a, static_cast<uint64_t>(c.inum(0)), [&](const T* p, const Form& f) {
      T *var = c.out[0]->ptr<T>(), *mean = c.out[1]->ptr<T>();
      const double n = static_cast<double>(f.reduced), dof = n - correction > 0 ? n - correction : 0;
      // The first pass finds the means, the second sums squares of what is left around them; its own small sum
      // takes out the rounding of the mean.
      constexpr int64_t kStrip = 128;
      for_strips<kStrip>(f, [&](int64_t o, int64_t j0, int64_t w) {
        double shift[kStrip], sum[kStrip], squares[kStrip];
        const T* s = p + o * f.reduced * f.inner + j0;
        for (int64_t j = 0; j < w; ++j) shift[j] = 0;
        for (int pass = 0; pass < 2; ++pass) {
          if (f.inner == 1) line_moments(s, f.reduced, shift[0], sum, squares);
          else moments(s, f.reduced, f.inner, w, shift, sum, squares);
          if (pass == 0)
            for (int64_t j = 0; j < w; ++j) shift[j] = sum[j] / n;
        }
        for (int64_t j = 0; j < w; ++j) {
          mean[o * f.inner + j0 + j] = static_cast<T>(shift[j] + sum[j] / n);
          var[o * f.inner + j0 + j] = static_cast<T>((squares[j] - sum[j] * sum[j] / n) / dof);
        }
      });
    });
  });
}
RL_KERNEL(var_mean, 2, var_mean_infer, var_mean_run)

// ---- norms --------------------------------------------------------------------------------------------------------

// norm(x, mask, keepdim, p) = (sum |x|^p)^(1/p); p = inf, -inf, 0 as in torch.linalg.vector_norm.
void norm_run(const Call& c) {
  const Array &out = *c.out[0], &a = *c.in[0];
  const double p = c.fnum(2);
  floating(a.dtype, "linalg_vector_norm", [&](auto z) {
    using T = decltype(z);
    with_form<T>(a, static_cast<uint64_t>(c.inum(0)), [&](const T* s, const Form& f) {
      T* o = out.ptr<T>();
      const T inf = std::numeric_limits<T>::infinity();
      if (p == 2) {
        sum_form<T, double>(s, f, o, [](auto x) { return static_cast<double>(x) * static_cast<double>(x); }, 1.0);
        for (int64_t i = 0; i < out.numel; ++i) o[i] = std::sqrt(o[i]);
      } else if (p == 1) {
        sum_form<T, double>(s, f, o, [](auto x) { return std::fabs(static_cast<double>(x)); }, 1.0);
      } else if (p == 0) {
        sum_form<T, T>(s, f, o, [](auto x) { return static_cast<T>(x != 0); }, 1.0);
      } else if (p == inf) {
        fold_form<true, T, T>(s, f, o, T(0), [](T acc, T x) { T v = std::fabs(x); return (v > acc || v != v) ? v : acc; });
      } else if (p == -inf) {
        fold_form<true, T, T>(s, f, o, inf, [](T acc, T x) { T v = std::fabs(x); return (v < acc || v != v) ? v : acc; });
      } else {
        sum_form<T, double>(s, f, o, [p](auto x) { return std::pow(std::fabs(static_cast<double>(x)), p); }, 1.0);
        for (int64_t i = 0; i < out.numel; ++i) o[i] = static_cast<T>(std::pow(static_cast<double>(o[i]), 1.0 / p));
      }
    });
  });
}
RL_KERNEL(norm, 1, reduce_shape, norm_run)

}  // namespace
}  // namespace rl
