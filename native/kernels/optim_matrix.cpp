// The optimizers that see a parameter as matrices: Adafactor, and what Muon does around its matrix products.
//
//   adafactor_into([params..., steps..., states...], [grads...], hyper, serial, maximize)
//
// A parameter of two or more dimensions is a batch of matrices with the states row_var and col_var, any other has one
// state, variance. Every phase is cut into tiles whose bounds depend on the shapes alone; sums over tiles are taken in
// the tiles' order, so the result does not depend on the number of threads.
#include <cmath>

#include "optim.h"

namespace rl {
namespace {

constexpr int64_t kTile = 1 << 15;            // elements of a tile, about
constexpr int64_t kTileCols = 1024, kTileRows = 1024;

// What Adafactor's options are at this step, for one parameter. hyper: lr, weight_decay, beta2_decay, eps1, eps2, d
struct Rates {
  double shrink, fresh, rho, eps1, eps2, clip;
  bool maximize;
  Rates(const double* h, bool maximize, double t)
      : shrink(1 - h[0] * h[1]), fresh(std::pow(t, h[2])), rho(1 / std::sqrt(t) < h[0] ? 1 / std::sqrt(t) : h[0]),
        eps1(h[3]), eps2(h[4]), clip(h[5]), maximize(maximize) {}

  // The factor of the update, from the sums of squares of the parameter and of the update before clipping.
  double step_size(double param, double update, int64_t n) const {
    const double count = static_cast<double>(n), rms = std::sqrt(param / count), excess = std::sqrt(update / count) / clip;
    const double size = (rms > eps2 ? rms : eps2) * rho / (excess > 1 ? excess : 1);
    return maximize ? size : -size;
  }
};

// One parameter: its shape as a batch of matrices (a vector is one row), contiguous memory, and how it is cut.
template <class T>
struct Item {
  const Array* arrays[4];                     // param, gradient, row_var or variance, col_var or null
  T* data[4];
  bool factored;
  int64_t batch = 1, rows = 1, cols, numel;
  int64_t tile_batch = 1, tile_rows = 1, tile_cols = 0, row_tiles = 0, col_tiles = 0, tiles = 0;
  double *row_part, *col_part;                // sums of g² over a tile's columns and rows
  double *param_squares, *update_squares;     // per tile
  T *row_scale, *col_scale;                   // the update is g row_scale col_scale

  void shape(const Array& p) {
    factored = p.ndim > 1;
    numel = p.numel;
    cols = factored ? p.shape[p.ndim - 1] : numel;
    if (factored) rows = p.shape[p.ndim - 2];
    for (int d = 0; d + 2 < p.ndim; ++d) batch *= p.shape[d];
    if (numel == 0) return;
    tile_cols = factored && cols > kTileCols ? kTileCols : cols < kTile ? cols : kTile;
    tile_rows = kTile / tile_cols < kTileRows ? kTile / tile_cols : kTileRows;
    if (rows < tile_rows) tile_rows = rows;
    row_tiles = (rows + tile_rows - 1) / tile_rows;
    col_tiles = (cols + tile_cols - 1) / tile_cols;
    if (!split()) tile_batch = kTile / (rows * cols) > 1 ? kTile / (rows * cols) : 1;
    tiles = (batch + tile_batch - 1) / tile_batch * row_tiles * col_tiles;
  }
  bool split() const { return row_tiles * col_tiles > 1; }

  // Takes what it needs of `memory`, from its element `next` on; without memory it only counts. Returns where it ends.
  int64_t place(double* memory, int64_t next) {
    auto take = [&](int64_t n) {
      next += n;
      return memory ? memory + (next - n) : nullptr;
    };
    for (int j = 0; j < 4; ++j) {
      const Array* a = arrays[j];
      if (!a) continue;
      data[j] = a->contiguous() ? a->ptr<T>() : reinterpret_cast<T*>(take(a->numel));
    }
    param_squares = take(tiles);
    update_squares = take(tiles);
    if (!factored) return next;
    row_part = take(batch * rows * col_tiles);
    col_part = take(batch * row_tiles * cols);
    row_scale = reinterpret_cast<T*>(take(batch * rows));
    col_scale = reinterpret_cast<T*>(take(batch * cols));
    return next;
  }
  void load() const {
    for (int j = 0; j < 4; ++j)
      if (arrays[j] && !arrays[j]->contiguous()) copy_strided<T>(*arrays[j], data[j], [](T& from, T& to) { to = from; });
  }
  void store() const {
    for (int j = 0; j < 4; ++j)
      if (j != 1 && arrays[j] && !arrays[j]->contiguous())
        copy_strided<T>(*arrays[j], data[j], [](T& to, T& from) { to = from; });
  }

  // fn(matrix, row, index of its first element, first column, columns) for the rows of a tile
  template <class F>
  void each_row(int64_t tile, const F& fn) const {
    const int64_t col = tile % col_tiles * tile_cols, row = tile / col_tiles % row_tiles * tile_rows;
    const int64_t first = tile / col_tiles / row_tiles * tile_batch;
    const int64_t n = cols - col < tile_cols ? cols - col : tile_cols;
    const int64_t last_row = rows - row < tile_rows ? rows : row + tile_rows;
    const int64_t last = batch - first < tile_batch ? batch : first + tile_batch;
    for (int64_t b = first; b < last; ++b)
      for (int64_t r = row; r < last_row; ++r) fn(b, r, (b * rows + r) * cols + col, col, n);
  }
};

// The sum of fn(i): in lanes, and from block to block in double.
template <class T, class F>
double sum(int64_t n, const F& fn) {
  constexpr int kLanes = 128 / sizeof(T), kBlock = 1024;
  double total = 0;
  for (int64_t low = 0; low < n; low += kBlock) {
    const int64_t high = low + kBlock < n ? low + kBlock : n;
    int64_t i = low;
    if (high - low >= kLanes) {
      T lanes[kLanes] = {};
      for (; i + kLanes <= high; i += kLanes)
        for (int k = 0; k < kLanes; ++k) lanes[k] += fn(i + k);
      for (int k = 0; k < kLanes; ++k) total += static_cast<double>(lanes[k]);
    }
    for (; i < high; ++i) total += static_cast<double>(fn(i));
  }
  return total;
}

// 1 / sqrt(max(v, eps²)) times g, where v is kept whole
template <class T>
inline T scaled(T g, T v, T least) {
  return g / std::sqrt(v < least ? least : v);
}
// … and where 1 / sqrt(v) is a product of a row's and a column's part
template <class T>
inline T scaled(T g, T row, T col, T most) {
  const T s = row * col;
  return g * (s > most ? most : s);
}

// Matrices [first, last): the states from the tiles' sums, and the two parts of 1 / sqrt(row_var col_var / mean(row_var)).
template <class T>
void settle(const Item<T>& it, const Rates& rates, int64_t first, int64_t last) {
  const T w = static_cast<T>(rates.fresh);
  for (int64_t b = first; b < last; ++b) {
    T *row = it.data[2] + b * it.rows, *col = it.data[3] + b * it.cols;
    double mean = 0;
    for (int64_t r = 0; r < it.rows; ++r) {
      const double* part = it.row_part + (b * it.rows + r) * it.col_tiles;
      double total = 0;
      for (int64_t k = 0; k < it.col_tiles; ++k) total += part[k];
      row[r] = lerp(row[r], static_cast<T>(total / static_cast<double>(it.cols)), w);
      mean += static_cast<double>(row[r]);
    }
    mean /= static_cast<double>(it.rows);
    if (mean < rates.eps1) mean = rates.eps1;
    for (int64_t r = 0; r < it.rows; ++r)
      it.row_scale[b * it.rows + r] = static_cast<T>(std::sqrt(mean / static_cast<double>(row[r])));
    double* total = it.col_part + b * it.row_tiles * it.cols;
    for (int64_t k = 1; k < it.row_tiles; ++k)
      for (int64_t j = 0; j < it.cols; ++j) total[j] += total[k * it.cols + j];
    for (int64_t j = 0; j < it.cols; ++j) {
      col[j] = lerp(col[j], static_cast<T>(total[j] / static_cast<double>(it.rows)), w);
      it.col_scale[b * it.cols + j] = static_cast<T>(1 / std::sqrt(static_cast<double>(col[j])));
    }
  }
}

// First phase of a tile: sums of squares, and the states as far as the tile holds all that they need.
template <class T>
void gather(const Item<T>& it, const Rates& rates, int64_t tile) {
  const T *p = it.data[0], *g = it.data[1];
  double param = 0, update = 0;
  if (!it.factored) {
    const T w = static_cast<T>(rates.fresh), least = static_cast<T>(rates.eps1 * rates.eps1);
    it.each_row(tile, [&](int64_t, int64_t, int64_t at, int64_t, int64_t n) {
      T* v = it.data[2] + at;
      param += sum<T>(n, [x = p + at](int64_t j) { return x[j] * x[j]; });
      for (int64_t j = 0; j < n; ++j) v[j] = lerp(v[j], g[at + j] * g[at + j], w);
      update += sum<T>(n, [=, y = g + at](int64_t j) {
        const T u = scaled(y[j], v[j], least);
        return u * u;
      });
    });
    it.param_squares[tile] = param;
    it.update_squares[tile] = update;
    return;
  }
  if (it.col_tiles == 1) {                    // its rows lie one after another
    const int64_t at = tile / it.row_tiles * it.tile_batch * it.rows * it.cols + tile % it.row_tiles * it.tile_rows * it.cols;
    int64_t n = it.tile_batch * it.tile_rows * it.cols;
    const int64_t rest = it.split() ? (it.rows - tile % it.row_tiles * it.tile_rows) * it.cols : it.numel - at;
    if (rest < n) n = rest;
    param = sum<T>(n, [x = p + at](int64_t j) { return x[j] * x[j]; });
  }
  T column[kTileCols];
  const int64_t row_tile = tile / it.col_tiles % it.row_tiles, begin = row_tile * it.tile_rows;
  const int64_t end = it.rows - begin < it.tile_rows ? it.rows : begin + it.tile_rows;
  int64_t low = it.batch, high = 0;
  it.each_row(tile, [&](int64_t b, int64_t r, int64_t at, int64_t col, int64_t n) {
    if (r == begin)
      for (int64_t j = 0; j < n; ++j) column[j] = T(0);
    const T* y = g + at;
    if (it.col_tiles > 1) param += sum<T>(n, [x = p + at](int64_t j) { return x[j] * x[j]; });
    it.row_part[(b * it.rows + r) * it.col_tiles + tile % it.col_tiles] = sum<T>(n, [y](int64_t j) { return y[j] * y[j]; });
    for (int64_t j = 0; j < n; ++j) column[j] += y[j] * y[j];
    if (r == end - 1) {
      double* part = it.col_part + (b * it.row_tiles + row_tile) * it.cols + col;
      for (int64_t j = 0; j < n; ++j) part[j] = static_cast<double>(column[j]);
      if (b < low) low = b;
      high = b + 1;
    }
  });
  it.param_squares[tile] = param;
  if (!it.split()) settle(it, rates, low, high);
}

template <class T>
void measure(const Item<T>& it, const Rates& rates, int64_t tile) {
  if (!it.factored) return;                   // done in the first phase
  const T most = static_cast<T>(1 / rates.eps1);
  double update = 0;
  it.each_row(tile, [&](int64_t b, int64_t r, int64_t at, int64_t col, int64_t n) {
    const T row = it.row_scale[b * it.rows + r];
    update += sum<T>(n, [=, y = it.data[1] + at, c = it.col_scale + b * it.cols + col](int64_t j) {
      const T u = scaled(y[j], row, c[j], most);
      return u * u;
    });
  });
  it.update_squares[tile] = update;
}

template <class T>
void apply(const Item<T>& it, const Rates& rates, int64_t tile, double step_size) {
  const T shrink = static_cast<T>(rates.shrink), rate = static_cast<T>(step_size);
  it.each_row(tile, [&](int64_t b, int64_t r, int64_t at, int64_t col, int64_t n) {
    T* __restrict x = it.data[0] + at;
    const T* __restrict y = it.data[1] + at;
    if (it.factored) {
      const T row = it.row_scale[b * it.rows + r], most = static_cast<T>(1 / rates.eps1);
      const T* __restrict c = it.col_scale + b * it.cols + col;
      for (int64_t j = 0; j < n; ++j) x[j] = x[j] * shrink + rate * scaled(y[j], row, c[j], most);
    } else {
      const T* __restrict v = it.data[2] + at;
      const T least = static_cast<T>(rates.eps1 * rates.eps1);
      for (int64_t j = 0; j < n; ++j) x[j] = x[j] * shrink + rate * scaled(y[j], v[j], least);
    }
  });
}

template <class T>
struct Adafactor {
  const Item<T>* items;
  const Rates* rates;
  const int64_t* start;                       // of each parameter's tiles
  int n;

  // fn(parameter, its tile) for all tiles
  template <class F>
  void each_tile(const F& fn) const {
    parallel_for(start[n], [&](int64_t q) {
      int k = 0;
      for (int step = 1 << 20; step; step >>= 1)
        if (k + step < n && start[k + step] <= q) k += step;
      fn(k, q - start[k]);
    });
  }
  void run() const {
    each_tile([&](int k, int64_t tile) { gather(items[k], rates[k], tile); });
    parallel_for(n, [&](int64_t k) {
      if (items[k].factored && items[k].split()) settle(items[k], rates[k], 0, items[k].batch);
    });
    each_tile([&](int k, int64_t tile) { measure(items[k], rates[k], tile); });
    Scratch<double> sizes(n);
    for (int k = 0; k < n; ++k) {
      double param = 0, update = 0;
      for (int64_t q = 0; q < items[k].tiles; ++q) {
        param += items[k].param_squares[q];
        update += items[k].update_squares[q];
      }
      sizes[k] = rates[k].step_size(param, update, items[k].numel);
    }
    each_tile([&](int k, int64_t tile) { apply(items[k], rates[k], tile, sizes[k]); });
    for (int k = 0; k < n; ++k) items[k].store();
  }
};

void check_state(const Array& p, const Array& state, int64_t numel) {
  if (state.dtype != p.dtype || state.numel != numel)
    throw std::runtime_error("a parameter, its gradient and its optimizer state must agree in shape and dtype");
}

// The parameters [first, last) of type T.
template <class T>
void adafactor_step(const Call& c, DType type, const int64_t* states, int first, int last) {
  const int n = c.nin - 1;
  Scratch<Item<T>> items(last - first);
  Scratch<Rates> rates(last - first);
  Scratch<int64_t> start(last - first + 1);
  int count = 0;
  start[0] = 0;
  for (int k = first; k < last; ++k) {
    const Array& p = *c.out[k];
    if (p.dtype != type) continue;
    Item<T>& it = *new (items + count) Item<T>;
    it.shape(p);
    check_state(p, *c.in[k], p.numel);
    it.arrays[0] = &p;
    it.arrays[1] = c.in[k];
    it.arrays[2] = c.out[states[k]];
    it.arrays[3] = it.factored ? c.out[states[k] + 1] : nullptr;
    check_state(p, *it.arrays[2], it.factored ? it.batch * it.rows : p.numel);
    if (it.factored) check_state(p, *it.arrays[3], it.batch * it.cols);
    new (rates + count) Rates(c.in[n]->ptr<double>(), c.inum(1) != 0, Scalars{c.out + n + k, n, &p}.advance());
    start[count + 1] = start[count] + it.tiles;
    ++count;
  }
  int64_t size = 0, next = 0;
  for (int i = 0; i < count; ++i) size = items[i].place(nullptr, size);
  Scratch<double> memory(size);
  for (int i = 0; i < count; ++i) {
    next = items[i].place(memory, next);
    items[i].load();
  }
  Adafactor<T>{items, rates, start, count}.run();
}

void adafactor_run(const Call& c) {
  const int n = c.nin - 1;
  Scratch<int64_t> states(n + 1);             // which output is a parameter's first state
  states[0] = 2 * n;
  for (int k = 0; k < n && 2 * n <= c.nout; ++k) states[k + 1] = states[k] + (c.out[k]->ndim > 1 ? 2 : 1);
  if (n <= 0 || 2 * n > c.nout || states[n] != c.nout)
    throw std::runtime_error("an optimizer step got the wrong number of arrays");
  auto step = [&](int first, int last) {
    bool single = false, other = false;
    for (int k = first; k < last; ++k) (c.out[k]->dtype == DType::f32 ? single : other) = true;
    if (single) adafactor_step<float>(c, DType::f32, states, first, last);
    if (other) adafactor_step<double>(c, DType::f64, states, first, last);
  };
  if (!c.inum(0)) return step(0, n);
  for (int k = 0; k < n; ++k) step(k, k + 1);  // a parameter occurs twice: one after the other
}
RL_KERNEL(adafactor, 1, nullptr, adafactor_run)

// hyper: lr, weight_decay, momentum; flags: nesterov; slots: direction (written), momentum_buffer
struct MuonMomentum {
  double momentum;
  bool nesterov;
  MuonMomentum(const double* h, const Number* f, Scalars) : momentum(h[2]), nesterov(f[0].i) {}

  template <class T>
  void run(T** s, const T* __restrict g, int64_t n) const {
    T *__restrict direction = s[0], *__restrict b = s[1];
    const T fresh = static_cast<T>(1 - momentum), mu = static_cast<T>(momentum);
    with_flag(nesterov, [&](auto ahead) {
      for (int64_t i = 0; i < n; ++i) {
        b[i] = lerp(b[i], g[i], fresh);
        if constexpr (decltype(ahead)::value) direction[i] = lerp(g[i], b[i], mu);
        else direction[i] = b[i];
      }
    });
  }
};
RL_OPTIMIZER(muon_momentum, MuonMomentum)

// hyper: as above; flags: match_rms_adamw; slots: param; the gradient is the direction, made orthogonal
struct Muon {
  double rate, shrink;
  Muon(const double* h, const Number* f, Scalars state) : shrink(1 - h[0] * h[1]) {
    const double rows = static_cast<double>(state.param->shape[0]), cols = static_cast<double>(state.param->shape[1]);
    rate = -h[0] * (f[0].i ? 0.2 * std::sqrt(rows > cols ? rows : cols) : std::sqrt(rows > cols ? rows / cols : 1));
  }
  template <class T>
  void run(T** s, const T* __restrict u, int64_t n) const {
    T* __restrict p = s[0];
    const T keep = static_cast<T>(shrink), r = static_cast<T>(rate);
    for (int64_t i = 0; i < n; ++i) p[i] = p[i] * keep + r * u[i];
  }
};
RL_OPTIMIZER(muon, Muon)

}  // namespace
}  // namespace rl
