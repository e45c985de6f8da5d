// Reading and writing at positions that come from data: index, index_put, gather, scatter, nonzero.
//
// An indexed array has three groups of dimensions: `before`, then one per index array, then `after`. Python
// permutes the dimensions into that order; index arrays are int64, contiguous and of one shape.
#include <algorithm>
#include <cstring>
#include <string>
#include <type_traits>

#include "axis.h"
#include "window.h"

namespace rl {
namespace {

constexpr int64_t kWork = 32768;              // elements per parallel chunk

// Where the element with this row-major number lies, in an array of the given dimensions.
int64_t offset_of(int64_t i, int ndim, const int64_t* shape, const int64_t* strides) {
  int64_t at = 0;
  for (int d = ndim - 1; d >= 0; --d) {
    at += i % shape[d] * strides[d];
    i /= shape[d];
  }
  return at;
}

int64_t product(const int64_t* v, int n) {
  int64_t p = 1;
  for (int i = 0; i < n; ++i) p *= v[i];
  return p;
}

std::string out_of_bounds(int64_t i, int dim, int64_t size) {
  return "index " + std::to_string(i) + " is out of bounds for dimension " + std::to_string(dim) + " with size " +
         std::to_string(size);
}

// ---- index ---------------------------------------------------------------------------------------------------

struct Indexed {
  int before, indexed, after;                 // numbers of dimensions
  int64_t nbefore, n, nafter;                 // numbers of elements
};

Indexed indexed_form(const Call& c, const Array& x, int first_index) {
  Indexed f;
  f.before = static_cast<int>(c.inum(0));
  f.indexed = c.nin - first_index;
  f.after = x.ndim - f.before - f.indexed;
  f.nbefore = product(x.shape, f.before);
  f.n = c.in[first_index]->numel;
  f.nafter = product(x.shape + f.before + f.indexed, f.after);
  return f;
}

// Offsets in x of the n positions that the index arrays name. IndexError if one lies outside.
void positions(const Call& c, const Array& x, int first_index, const Indexed& f, int64_t* out) {
  if (f.nbefore * f.nafter == 0) std::fill(out, out + f.n, 0);
  for (int j = 0; j < f.indexed; ++j)
    if (x.shape[f.before + j] == 0 && f.n > 0) throw std::out_of_range("index is out of bounds for dimension with size 0");
  if (f.nbefore * f.nafter == 0) return;
  for (int j = 0; j < f.indexed; ++j) {
    const int64_t* index = c.in[first_index + j]->ptr<int64_t>();
    const int64_t size = x.shape[f.before + j], stride = x.strides[f.before + j];
    int64_t outside = 0;                     // no branch for each: vectors
    for (int64_t i = 0; i < f.n; ++i) {
      const int64_t v = index[i];
      outside |= (v < -size) | (v >= size);
      out[i] = (v < 0 ? v + size : v) * stride + (j ? out[i] : 0);
    }
    if (!outside) continue;
    for (int64_t i = 0; i < f.n; ++i)
      if (index[i] < -size || index[i] >= size) throw std::out_of_range(out_of_bounds(index[i], j, size));
  }
}

// o[i] = from[at[i]]. One by one: instructions that gather are slower than loads on many CPUs, and the compiler prefers them.
template <class T>
__attribute__((noinline, optimize("no-tree-vectorize"))) void pick(T* o, const T* from, const int64_t* at, int64_t n) {
  for (int64_t i = 0; i < n; ++i) o[i] = from[at[i]];
}

// Calls fn(offset in a, offset in b, length, step of a, step of b) for runs that cover the given dimensions of both.
template <class F>
void runs(int ndim, const int64_t* shape, const int64_t* a, const int64_t* b, int64_t total, int64_t at_a, int64_t at_b,
          const F& fn) {
  if (ndim == 0) {
    fn(at_a, at_b, int64_t{1}, int64_t{1}, int64_t{1});
    return;
  }
  // Trailing dimensions that both arrays walk with one step are one run.
  int last = ndim - 1;
  int64_t len = shape[last];
  const int64_t step_a = a[last], step_b = b[last];
  while (last > 0 && a[last - 1] == step_a * len && b[last - 1] == step_b * len) len *= shape[--last];
  int64_t index[kMaxDims] = {};
  for (int64_t done = 0; done < total; done += len) {
    fn(at_a, at_b, len, step_a, step_b);
    for (int d = last - 1; d >= 0; --d) {
      at_a += a[d];
      at_b += b[d];
      if (++index[d] < shape[d]) break;
      at_a -= shape[d] * a[d];
      at_b -= shape[d] * b[d];
      index[d] = 0;
    }
  }
}

// Whether these dimensions lie in one run of memory.
bool one_run(int ndim, const int64_t* shape, const int64_t* strides) {
  int64_t step = 1;
  for (int d = ndim - 1; d >= 0; --d) {
    if (shape[d] != 1 && strides[d] != step) return false;
    step *= shape[d];
  }
  return true;
}

// fn(pointer-like zero) by element size: moving elements needs no arithmetic.
template <class F>
void by_size(DType t, const F& fn) {
  switch (item_size(t)) {
    case 1: return fn(uint8_t{});
    case 2: return fn(uint16_t{});
    case 4: return fn(uint32_t{});
    default: return fn(uint64_t{});
  }
}

// index(x, index…, before): shape before + index + after
void index_infer(const Call& c, Meta* m) {
  const Array &x = *c.in[0], &index = *c.in[1];
  const int before = static_cast<int>(c.inum(0)), indexed = c.nin - 1;
  m->dtype = x.dtype;
  m->ndim = before + index.ndim + x.ndim - before - indexed;
  if (m->ndim > kMaxDims) throw std::runtime_error("tensors have at most 16 dimensions");
  int at = 0;
  for (int d = 0; d < before; ++d) m->shape[at++] = x.shape[d];
  for (int d = 0; d < index.ndim; ++d) m->shape[at++] = index.shape[d];
  for (int d = before + indexed; d < x.ndim; ++d) m->shape[at++] = x.shape[d];
}

void index_run(const Call& c) {
  const Array &out = *c.out[0], &x = *c.in[0];
  const Indexed f = indexed_form(c, x, 1);
  Scratch<int64_t> where(f.n);
  positions(c, x, 1, f, where);
  if (out.numel == 0) return;
  by_size(x.dtype, [&](auto z) {
    using T = decltype(z);
    const T* s = x.ptr<T>();
    T* o = out.ptr<T>();
    const int64_t* shape = x.shape + f.before + f.indexed;
    const int64_t* strides = x.strides + f.before + f.indexed;
    int64_t dense[kMaxDims], step = 1;
    for (int d = f.after - 1; d >= 0; --d) {
      dense[d] = step;
      step *= shape[d];
    }
    const int64_t rows = f.nbefore * f.n, per = std::max<int64_t>(1, kWork / f.nafter);
    if (f.after == 0) {
      parallel_for((rows + per - 1) / per, [&](int64_t k) {
        const int64_t end = std::min(rows, (k + 1) * per);
        for (int64_t r = k * per; r < end;) {
          const int64_t b = r / f.n, stop = std::min(end, (b + 1) * f.n);
          const T* from = s + offset_of(b, f.before, x.shape, x.strides);
          pick(o + r, from, where + (r - b * f.n), stop - r);
          r = stop;
        }
      });
      return;
    }
    const bool short_runs = f.nafter < 1024 && one_run(f.after, shape, strides);
    parallel_for((rows + per - 1) / per, [&](int64_t k) {
      const int64_t end = std::min(rows, (k + 1) * per);
      for (int64_t r = k * per; r < end;) {
        const int64_t b = r / f.n, stop = std::min(end, (b + 1) * f.n);
        const int64_t base = offset_of(b, f.before, x.shape, x.strides), *at = where.p - b * f.n;
        if (short_runs) {
          for (; r < stop; ++r) copy_run(o + r * f.nafter, s + base + at[r], f.nafter);
          continue;
        }
        for (; r < stop; ++r)
          runs(f.after, shape, strides, dense, f.nafter, base + at[r], r * f.nafter,
               [&](int64_t i, int64_t j, int64_t n, int64_t sa, int64_t) {
                 if (sa == 1) std::memcpy(o + j, s + i, static_cast<size_t>(n) * sizeof(T));
                 else for (int64_t e = 0; e < n; ++e) o[j + e] = s[i + e * sa];
               });
      }
    });
  });
}
RL_KERNEL_ANY(index, 1, index_infer, index_run)

// Calls write(T& target, T value) for all elements, in the order of the index arrays: the last of several writes to one
// element stays, and sums are taken in one order.
template <class T, class F>
void put(const Call& c, const F& write) {
  const Array &out = *c.out[0], &values = *c.in[0];
  const Indexed f = indexed_form(c, out, 1);
  Scratch<int64_t> where(f.n);
  positions(c, out, 1, f, where);
  if (f.nbefore * f.n * f.nafter == 0) return;
  T* o = out.ptr<T>();
  const T* v = values.ptr<T>();
  const int index_dims = c.in[1]->ndim;
  const int64_t *vshape = values.shape, *vstrides = values.strides;
  const int64_t per = std::max<int64_t>(1, kWork / std::max<int64_t>(1, f.n * f.nafter));
  const bool rows = index_dims == 1 && one_run(f.after, out.shape + f.before + f.indexed, out.strides + f.before + f.indexed) &&
                    one_run(f.after, vshape + f.before + 1, vstrides + f.before + 1);
  parallel_for((f.nbefore + per - 1) / per, [&](int64_t k) {
    for (int64_t b = k * per; b < std::min(f.nbefore, (k + 1) * per); ++b) {
      const int64_t base = offset_of(b, f.before, out.shape, out.strides);
      const int64_t vbase = offset_of(b, f.before, vshape, vstrides);
      if (rows) {
        for (int64_t i = 0; i < f.n; ++i) {
          T* to = o + base + where[i];
          const T* at = v + vbase + i * vstrides[f.before];
          for (int64_t e = 0; e < f.nafter; ++e) write(to[e], at[e]);
        }
        continue;
      }
      for (int64_t i = 0; i < f.n; ++i) {
        const int64_t from = vbase + (index_dims == 1 ? i * vstrides[f.before] : offset_of(i, index_dims, vshape + f.before, vstrides + f.before));
        if (f.after == 0) {
          write(o[base + where[i]], v[from]);
          continue;
        }
        runs(f.after, out.shape + f.before + f.indexed, out.strides + f.before + f.indexed, vstrides + f.before + index_dims,
             f.nafter, base + where[i], from, [&](int64_t to, int64_t at, int64_t n, int64_t sa, int64_t sb) {
               if (sa == 1 && sb == 1) for (int64_t e = 0; e < n; ++e) write(o[to + e], v[at + e]);
               else for (int64_t e = 0; e < n; ++e) write(o[to + e * sa], v[at + e * sb]);
             });
      }
    }
  });
}

// index_put_into(out, values, index…, before): out at the positions becomes values (of the shape that index gives)
void index_put_run(const Call& c) {
  by_size(c.out[0]->dtype, [&](auto z) {
    using T = decltype(z);
    put<T>(c, [](T& to, T v) { to = v; });
  });
}
RL_KERNEL_ANY(index_put, 1, nullptr, index_put_run)

// index_add_into(out, values, index…, before): the same, added
void index_add_run(const Call& c) {
  all_types(c.out[0]->dtype, "index_put", [&](auto z) {
    using T = decltype(z);
    put<T>(c, [](T& to, T v) {
      if constexpr (std::is_same_v<T, bool>) to = to || v;
      else to = static_cast<T>(to + v);
    });
  });
}
RL_KERNEL(index_add, 1, nullptr, index_add_run)

// ---- gather, scatter -------------------------------------------------------------------------------------------

// Calls fn(offset in a, offset in b, offset in index) for every line of `index` along `dim`. a and b may be larger.
template <class F>
void lines(const Array& index, const Array& a, const Array& b, int dim, const F& fn) {
  int64_t shape[kMaxDims], sa[kMaxDims], sb[kMaxDims], si[kMaxDims];
  int n = 0;
  for (int d = 0; d < index.ndim; ++d) {
    if (d == dim) continue;
    shape[n] = index.shape[d];
    sa[n] = a.strides[d];
    sb[n] = b.strides[d];
    si[n++] = index.strides[d];
  }
  const int64_t len = index.ndim ? index.shape[dim] : 1;
  if (index.numel == 0) return;
  const int64_t count = index.numel / len, per = std::max<int64_t>(1, kWork / len);
  parallel_for((count + per - 1) / per, [&](int64_t k) {
    int64_t at[kMaxDims], rest = k * per, oa = 0, ob = 0, oi = 0;
    for (int d = n - 1; d >= 0; --d) {
      at[d] = rest % shape[d];
      rest /= shape[d];
      oa += at[d] * sa[d], ob += at[d] * sb[d], oi += at[d] * si[d];
    }
    for (int64_t l = k * per; l < std::min(count, (k + 1) * per); ++l) {
      fn(oa, ob, oi);
      for (int d = n - 1; d >= 0; --d) {
        oa += sa[d], ob += sb[d], oi += si[d];
        if (++at[d] < shape[d]) break;
        oa -= shape[d] * sa[d], ob -= shape[d] * sb[d], oi -= shape[d] * si[d];
        at[d] = 0;
      }
    }
  });
}

struct Line {
  int64_t len = 1, size = 1, a = 1, b = 1, i = 1;   // length of the index, size of the indexed dimension, steps
  Line(const Array& index, const Array& a_, const Array& b_, const Array& indexed, int dim) {
    if (index.ndim) {
      len = index.shape[dim];
      i = index.strides[dim];
    }
    if (indexed.ndim) size = indexed.shape[dim];
    if (a_.ndim) a = a_.strides[dim];
    if (b_.ndim) b = b_.strides[dim];
  }
};

void check_index(const Array& index, int dim, int64_t size) {
  const int64_t* p = index.ptr<int64_t>();
  auto outside = [&](int64_t v) { return (v < 0) | (v >= size); };
  if (index.contiguous()) {
    int64_t any = 0;
    for (int64_t k = 0; k < index.numel; ++k) any |= outside(p[k]);
    if (!any) return;
  }
  for (int64_t k = 0; k < index.numel; ++k) {
    const int64_t v = p[offset_of(k, index.ndim, index.shape, index.strides)];
    if (outside(v)) throw std::runtime_error(out_of_bounds(v, dim, size));   // as in PyTorch
  }
}

// gather(x, index, dim): out[i][j] = x[index[i][j]][j] for dim 0
void gather_infer(const Call& c, Meta* m) {
  m->like(*c.in[1]);
  m->dtype = c.in[0]->dtype;
}

// Along the last dimension, whichever is indexed: that is how results and indices lie in memory.
void gather_run(const Call& c) {
  const Array &out = *c.out[0], &index = *c.in[1];
  const int dim = static_cast<int>(c.inum(0)), last = std::max(0, index.ndim - 1);
  Array x = *c.in[0];
  check_index(index, dim, x.ndim ? x.shape[dim] : 1);
  const int64_t step = x.ndim ? x.strides[dim] : 1;
  if (x.ndim) x.strides[dim] = 0;
  const Line s(index, out, x, x, last);
  by_size(x.dtype, [&](auto z) {
    using T = decltype(z);
    lines(index, out, x, last, [&](int64_t o, int64_t a, int64_t i) {
      T* to = out.ptr<T>() + o;
      const T* from = x.ptr<T>() + a;
      const int64_t* at = index.ptr<int64_t>() + i;
      if (step == 1 && s.a == 1 && s.b == 0 && s.i == 1) return pick(to, from, at, s.len);
      for (int64_t k = 0; k < s.len; ++k) to[k * s.a] = from[at[k * s.i] * step + k * s.b];
    });
  });
}
RL_KERNEL_ANY(gather, 1, gather_infer, gather_run)

// scatter_into(out, src, index, dim, mode): out[index[i][j]][j] <- src[i][j] for dim 0.
// mode: 0 replace, 1 add, 2 multiply, 3 maximum, 4 minimum
void scatter_run(const Call& c) {
  const Array &out = *c.out[0], &src = *c.in[0], &index = *c.in[1];
  const int dim = static_cast<int>(c.inum(0));
  const int64_t mode = c.inum(1);
  const Line s(index, out, src, out, dim);
  check_index(index, dim, s.size);
  all_types(out.dtype, "scatter", [&](auto z) {
    using T = decltype(z);
    lines(index, out, src, dim, [&](int64_t o, int64_t a, int64_t i) {
      T* to = out.ptr<T>() + o;
      const T* from = src.ptr<T>() + a;
      const int64_t* at = index.ptr<int64_t>() + i;
      auto all = [&](auto fold) {
        for (int64_t k = 0; k < s.len; ++k) {
          T& target = to[at[k * s.i] * s.a];
          target = static_cast<T>(fold(target, from[k * s.b]));
        }
      };
      switch (mode) {
        case 0: return all([](T, T v) { return v; });
        case 1: return all([](T t, T v) { return t + v; });
        case 2: return all([](T t, T v) { return t * v; });
        case 3: return all([](T t, T v) { return (v > t || v != v) ? v : t; });
        default: return all([](T t, T v) { return (v < t || v != v) ? v : t; });
      }
    });
  });
}
RL_KERNEL(scatter, 1, nullptr, scatter_run)

// place_along(g, index; dim, shape): zeros of the shape, with g at the positions `index` along the dimension. g and index have
// one element per line.
void place_along_infer(const Call& c, Meta* m) {
  m->dtype = c.in[0]->dtype;
  m->ndim = c.nnum - 1;
  for (int d = 0; d < m->ndim; ++d) m->shape[d] = c.inum(1 + d);
}

void place_along_run(const Call& c) {
  const Array& out = *c.out[0];
  const Axis axis(out, c.inum(0));
  const int64_t* index = c.in[1]->ptr<int64_t>();
  const int64_t block = axis.n * axis.inner, per = std::max<int64_t>(1, kWork / std::max<int64_t>(1, block));
  by_size(out.dtype, [&](auto z) {
    using T = decltype(z);
    const T* g = c.in[0]->ptr<T>();
    T* o = out.ptr<T>();
    parallel_for((axis.outer + per - 1) / per, [&](int64_t k) {
      const int64_t first = k * per, end = std::min(axis.outer, first + per);
      std::fill(o + first * block, o + end * block, T(0));
      for (int64_t b = first; b < end; ++b)
        for (int64_t j = 0; j < axis.inner; ++j) {
          const int64_t at = index[b * axis.inner + j];
          if (at < 0 || at >= axis.n) throw std::out_of_range(out_of_bounds(at, static_cast<int>(c.inum(0)), axis.n));
          o[b * block + at * axis.inner + j] = g[b * axis.inner + j];
        }
    });
  });
}
RL_KERNEL_ANY(place_along, 1, place_along_infer, place_along_run)

// ---- nonzero ---------------------------------------------------------------------------------------------------

void scalar_index_infer(const Call&, Meta* m) {
  m->dtype = DType::i64;
  m->ndim = 0;
}

template <class T, class F>
void each_nonzero(const Array& x, const F& fn) {
  int64_t index[kMaxDims] = {}, at = 0;
  const T* p = x.ptr<T>();
  for (int64_t done = 0; done < x.numel; ++done) {
    if (p[at] != T(0)) fn(index);
    for (int d = x.ndim - 1; d >= 0; --d) {
      at += x.strides[d];
      if (++index[d] < x.shape[d]) break;
      at -= x.shape[d] * x.strides[d];
      index[d] = 0;
    }
  }
}

// nonzero_count(x): how many elements are not zero, 0-d int64
void nonzero_count_run(const Call& c) {
  const Array& x = *c.in[0];
  int64_t n = 0;
  all_types(x.dtype, "nonzero", [&](auto z) {
    using T = decltype(z);
    if (x.contiguous()) {
      const T* p = x.ptr<T>();
      for (int64_t i = 0; i < x.numel; ++i) n += p[i] != T(0);
    } else {
      each_nonzero<T>(x, [&](const int64_t*) { ++n; });
    }
  });
  *c.out[0]->ptr<int64_t>() = n;
}
RL_KERNEL(nonzero_count, 1, scalar_index_infer, nonzero_count_run)

// Of a contiguous array: each row's positions without a branch, then what its other coordinates have in common.
template <class T>
void nonzero_rows(const Array& x, int64_t* o, int64_t n) {
  const int last = x.ndim - 1;
  const int64_t len = x.shape[last];
  const T* p = x.ptr<T>();
  Scratch<int64_t> found(len + 1);
  int64_t index[kMaxDims] = {};
  for (int64_t row = 0, k = 0; k < n; ++row, p += len) {
    int64_t count = 0;
    for (int64_t j = 0; j < len; ++j) {
      found[count] = j;
      count += p[j] != T(0);
    }
    std::copy(found.p, found + count, o + last * n + k);
    for (int d = 0; d < last; ++d) std::fill(o + d * n + k, o + d * n + k + count, index[d]);
    k += count;
    for (int d = last - 1; d >= 0; --d) {
      if (++index[d] < x.shape[d]) break;
      index[d] = 0;
    }
  }
}

// nonzero_into(out (ndim, n) int64 contiguous, x): coordinates of the elements that are not zero, in row-major order
void nonzero_run(const Call& c) {
  const Array &out = *c.out[0], &x = *c.in[0];
  int64_t* o = out.ptr<int64_t>();
  const int64_t n = out.shape[1];
  all_types(x.dtype, "nonzero", [&](auto z) {
    if (x.contiguous() && x.ndim > 0) return nonzero_rows<decltype(z)>(x, o, n);
    int64_t k = 0;
    each_nonzero<decltype(z)>(x, [&](const int64_t* index) {
      for (int d = 0; d < x.ndim; ++d) o[d * n + k] = index[d];
      ++k;
    });
  });
}
RL_KERNEL(nonzero, 1, nullptr, nonzero_run)

// masked_scatter_into(out, mask, source contiguous): elements of out where mask, of its shape, is true become those of source,
// in order
void masked_scatter_run(const Call& c) {
  const Array &out = *c.out[0], &mask = *c.in[0], &source = *c.in[1];
  int64_t wanted = 0, k = 0;
  each_nonzero<bool>(mask, [&](const int64_t*) { ++wanted; });
  if (wanted > source.numel) throw std::runtime_error("Number of elements of source < number of ones in mask");
  by_size(out.dtype, [&](auto z) {
    using T = decltype(z);
    each_nonzero<bool>(mask, [&](const int64_t* index) {
      int64_t at = 0;
      for (int d = 0; d < out.ndim; ++d) at += index[d] * out.strides[d];
      out.ptr<T>()[at] = source.ptr<T>()[k++];
    });
  });
}
RL_KERNEL_ANY(masked_scatter, 1, nullptr, masked_scatter_run)

// masked_gather_into(out contiguous, mask, x): the elements of x where mask, of its shape, is true, in order; then zeros
void masked_gather_run(const Call& c) {
  const Array &out = *c.out[0], &mask = *c.in[0], &x = *c.in[1];
  std::memset(out.data(), 0, static_cast<size_t>(out.numel * item_size(out.dtype)));
  int64_t k = 0;
  by_size(out.dtype, [&](auto z) {
    using T = decltype(z);
    each_nonzero<bool>(mask, [&](const int64_t* index) {
      int64_t at = 0;
      for (int d = 0; d < x.ndim; ++d) at += index[d] * x.strides[d];
      out.ptr<T>()[k++] = x.ptr<T>()[at];
    });
  });
}
RL_KERNEL_ANY(masked_gather, 1, nullptr, masked_gather_run)

}  // namespace
}  // namespace rl
