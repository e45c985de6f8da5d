// Reductions over one or more dimensions.
//
// Every reduction is brought to the form (outer, reduced, inner): if inner is 1 a row is reduced, else
// whole rows of `inner` elements are combined. Inputs in another order are gathered first. The numbers say
// which dimensions go: a bit mask, and whether they stay as size 1.
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "../core/kernel.h"

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

template <class T, class Acc, class Load>
void sum_form(const T* p, const Form& f, T* out, const Load& load, double scale) {
  auto finish = [scale](Acc s) {
    if constexpr (std::is_floating_point_v<Acc>) return static_cast<T>(scale == 1.0 ? s : s * static_cast<Acc>(scale));
    else return static_cast<T>(s);
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
    const int64_t rows = std::max<int64_t>(1, kWork / std::max<int64_t>(1, f.reduced));
    parallel_for((f.outer + rows - 1) / rows, [&](int64_t k) {
      for (int64_t r = k * rows; r < std::min(f.outer, (k + 1) * rows); ++r)
        out[r] = finish(block_sum<T, Acc>(p + r * f.reduced, f.reduced, load));
    });
    return;
  }
  // Columns: strips of `inner`, partial sums over blocks of rows, then added in order.
  constexpr int64_t kStrip = 256, kRows = 64;
  const int64_t strips = (f.inner + kStrip - 1) / kStrip;
  const bool parallel = f.outer * f.reduced * f.inner > kWork;
  auto strip = [&](int64_t job) {
    const int64_t o = job / strips, j0 = job % strips * kStrip, w = std::min(kStrip, f.inner - j0);
    Acc total[kStrip] = {}, part[kStrip];
    const T* base = p + o * f.reduced * f.inner + j0;
    for (int64_t r0 = 0; r0 < f.reduced; r0 += kRows) {
      for (int64_t j = 0; j < w; ++j) part[j] = Acc(0);
      for (int64_t r = r0; r < std::min(f.reduced, r0 + kRows); ++r) {
        const T* row = base + r * f.inner;
        for (int64_t j = 0; j < w; ++j) part[j] += load(row[j]);
      }
      for (int64_t j = 0; j < w; ++j) total[j] += part[j];
    }
    for (int64_t j = 0; j < w; ++j) out[o * f.inner + j0 + j] = finish(total[j]);
  };
  if (parallel) parallel_for(f.outer * strips, strip);
  else for (int64_t job = 0; job < f.outer * strips; ++job) strip(job);
}

// sum(x, mask, keepdim, scale): scale is 1/n for a mean.
void sum_run(const Call& c) {
  const Array &out = *c.out[0], &a = *c.in[0];
  const double scale = c.nnum > 2 ? c.fnum(2) : 1.0;
  all_types(a.dtype, "sum_cpu", [&](auto z) {
    using T = decltype(z);
    using Acc = std::conditional_t<std::is_floating_point_v<T>, T, std::conditional_t<std::is_same_v<T, bool>, int64_t, T>>;
    with_form<T>(a, static_cast<uint64_t>(c.inum(0)), [&](const T* p, const Form& f) {
      sum_form<T, Acc>(p, f, out.ptr<T>(), [](auto x) { return static_cast<Acc>(x); }, scale);
    });
  });
}
RL_KERNEL(sum, 1, reduce_shape, sum_run)

// ---- folds (product, all, any, extrema) ----------------------------------------------------------------------

template <class T, class R, class Fold>
void fold_form(const T* p, const Form& f, R* out, R start, const Fold& fold) {
  const int64_t span = f.reduced * f.inner;
  const int64_t per = std::max<int64_t>(1, kWork / std::max<int64_t>(1, span));
  parallel_for((f.outer + per - 1) / per, [&](int64_t k) {
    for (int64_t o = k * per; o < std::min(f.outer, (k + 1) * per); ++o) {
      const T* base = p + o * span;
      if (f.inner == 1) {
        R acc = start;
        for (int64_t r = 0; r < f.reduced; ++r) acc = fold(acc, base[r]);
        out[o] = acc;
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

#define RL_FOLD(name_, infer_, Result_, start_, expr_)                                              \
  void name_##_run(const Call& c) {                                                                 \
    const Array &out = *c.out[0], &a = *c.in[0];                                                    \
    all_types(a.dtype, #name_, [&](auto z) {                                                        \
      using T = decltype(z);                                                                        \
      using R = Result_;                                                                            \
      with_form<T>(a, static_cast<uint64_t>(c.inum(0)), [&](const T* p, const Form& f) {            \
        fold_form<T, R>(p, f, out.ptr<R>(), start_, [](R acc, T x) -> R { return expr_; });         \
      });                                                                                           \
    });                                                                                             \
  }                                                                                                 \
  RL_KERNEL(name_, 1, infer_, name_##_run)

RL_FOLD(prod, reduce_shape, T, R(1), static_cast<T>(acc * x))
RL_FOLD(all, reduce_shape_bool, bool, true, acc && x != T(0))
RL_FOLD(any, reduce_shape_bool, bool, false, acc || x != T(0))
RL_FOLD(amax, reduce_shape, T, lowest<T>(), (x > acc || x != x) ? x : acc)
RL_FOLD(amin, reduce_shape, T, highest<T>(), (x < acc || x != x) ? x : acc)

// ---- extrema with their positions --------------------------------------------------------------------------------

// Values and first positions; NaN wins. mask has one bit, or all (argmax of the flattened array).
template <class T, bool MAX>
void extreme_form(const T* p, const Form& f, T* values, int64_t* where) {
  const int64_t span = f.reduced * f.inner;
  const int64_t per = std::max<int64_t>(1, kWork / std::max<int64_t>(1, span));
  parallel_for((f.outer + per - 1) / per, [&](int64_t k) {
    for (int64_t o = k * per; o < std::min(f.outer, (k + 1) * per); ++o)
      for (int64_t j = 0; j < f.inner; ++j) {
        const T* s = p + o * span + j;
        T best = s[0];
        int64_t at = 0;
        for (int64_t r = 1; r < f.reduced && best == best; ++r) {
          T x = s[r * f.inner];
          if ((MAX ? x > best : x < best) || x != x) {
            best = x;
            at = r;
          }
        }
        values[o * f.inner + j] = best;
        where[o * f.inner + j] = at;
      }
  });
}

template <bool MAX>
void extreme_run(const Call& c) {
  const Array& a = *c.in[0];
  all_types(a.dtype, MAX ? "max_values_cpu" : "min_values_cpu", [&](auto z) {
    using T = decltype(z);
    with_form<T>(a, static_cast<uint64_t>(c.inum(0)), [&](const T* p, const Form& f) {
      extreme_form<T, MAX>(p, f, c.out[0]->ptr<T>(), c.out[1]->ptr<int64_t>());
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
      const int64_t strips = (f.inner + kStrip - 1) / kStrip, jobs = f.outer * strips;
      const int64_t per = std::max<int64_t>(1, kWork / std::max<int64_t>(1, f.reduced * std::min(f.inner, kStrip)));
      parallel_for((jobs + per - 1) / per, [&](int64_t k) {
        double shift[kStrip], sum[kStrip], squares[kStrip];
        for (int64_t job = k * per; job < std::min(jobs, (k + 1) * per); ++job) {
          const int64_t o = job / strips, j0 = job % strips * kStrip, w = std::min(kStrip, f.inner - j0);
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
        fold_form<T, T>(s, f, o, T(0), [](T acc, T x) { T v = std::fabs(x); return (v > acc || v != v) ? v : acc; });
      } else if (p == -inf) {
        fold_form<T, T>(s, f, o, inf, [](T acc, T x) { T v = std::fabs(x); return (v < acc || v != v) ? v : acc; });
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
