// Reductions over one or more dimensions: sums, products, all and any, vector norms.
#include "reduce.h"

namespace rl {
namespace {

// ---- sums -------------------------------------------------------------------------------------------------

// Pairwise over blocks of 1024, each block in 16 lanes: the error grows with log(n), and the order is fixed.
template <class T, class Acc, class Load>
Acc block_sum(const T* p, int64_t n, const Load& load) {
  constexpr int64_t kBlock = 1024;
  if (n <= kBlock) {
    if constexpr (kHalf<T>) {
      float row[kBlock];
      widen(p, n, row);
      return block_sum<float, Acc>(row, n, load);
    } else {
      Acc lane[16] = {};
      int64_t i = 0;
      for (; i + 16 <= n; i += 16)
        for (int k = 0; k < 16; ++k) lane[k] += load(p[i + k]);
      for (int k = 0; i < n; ++i, ++k) lane[k] += load(p[i]);
      for (int s = 8; s; s >>= 1)
        for (int k = 0; k < s; ++k) lane[k] += lane[k + s];
      return lane[0];
    }
  }
  int64_t half = (n / 2 + kBlock - 1) / kBlock * kBlock;
  return block_sum<T, Acc>(p, half, load) + block_sum<T, Acc>(p + half, n - half, load);
}

// Rows of up to this many elements are added up sixteen at a time; columns in blocks of this many rows, then in order.
constexpr int64_t kShortRow = 1024, kBlockRows = 64;

template <class S, class T = Compute<S>>
void lanes_of_row(const S* p, int64_t n, typename Sixteen<T>::vec& total) {
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

template <class S, class R, class Finish>
void sum_short_rows(const S* p, int64_t rows, int64_t n, R* out, const Finish& finish) {
  using T = Compute<S>;
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
template <int N, class S, class R, class Finish>
void sum_columns(const S* p, int64_t rows, int64_t pitch, int64_t last, R* out, const Finish& finish) {
  using T = Compute<S>;
  typedef typename Sixteen<T>::vec V;
  V total[N] = {}, v;
  for (int64_t r0 = 0; r0 < rows; r0 += kBlockRows) {
    V part[N] = {};
    for (int64_t r = r0; r < std::min(rows, r0 + kBlockRows); ++r) {
      const S* row = p + r * pitch;
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

template <class S, class R, class Finish>
void sum_column_strip(const S* p, int64_t rows, int64_t pitch, int64_t w, R* out, const Finish& finish) {
  const int64_t last = (w - 1) % kLanes + 1;
  switch ((w + kLanes - 1) / kLanes) {
    case 1: return sum_columns<1>(p, rows, pitch, last, out, finish);
    case 2: return sum_columns<2>(p, rows, pitch, last, out, finish);
    case 3: return sum_columns<3>(p, rows, pitch, last, out, finish);
    default: return sum_columns<4>(p, rows, pitch, last, out, finish);
  }
}

// The elements themselves, not a function of them: these sums run in vectors.
struct Itself {
  template <class T>
  T operator()(T x) const { return x; }
};

// From elements of type S to results of type R.
template <class S, class Acc, class R, class Load>
void sum_form(const S* p, const Form& f, R* out, const Load& load, double scale) {
  using T = Compute<S>;
  auto finish = [scale](Acc s) {
    if constexpr (std::is_floating_point_v<Acc>)
      return narrowed_to<R>(static_cast<T>(scale == 1.0 ? s : s * static_cast<Acc>(scale)));
    else return static_cast<R>(s);
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
        *out = finish(block_sum<S, Acc>(p, f.reduced, load));
        return;
      }
      Scratch<Acc> part(chunks);
      parallel_for(chunks, [&](int64_t k) {
        int64_t b = k * kWork;
        part[k] = block_sum<S, Acc>(p + b, std::min(kWork, f.reduced - b), load);
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
      if constexpr (!kHalf<S>)
        if (f.reduced < kLanes) {
          for (int64_t r = first; r < end; ++r) {
            Acc sum = Acc(0);
            for (const S* at = p + r * f.reduced; at < p + (r + 1) * f.reduced; ++at) sum += load(*at);
            out[r] = finish(sum);
          }
          return;
        }
      for (int64_t r = first; r < end; ++r) out[r] = finish(block_sum<S, Acc>(p + r * f.reduced, f.reduced, load));
    });
    return;
  }
  constexpr int64_t kStrip = 64;
  for_strips<kStrip>(f, [&](int64_t o, int64_t j0, int64_t w) {
    const S* base = p + o * f.reduced * f.inner + j0;
    R* to = out + o * f.inner + j0;
    if constexpr (in_lanes) {
      sum_column_strip(base, f.reduced, f.inner, w, to, finish_lanes);
    } else {
      Acc total[kStrip] = {}, part[kStrip];
      for (int64_t r0 = 0; r0 < f.reduced; r0 += kBlockRows) {
        std::fill(part, part + w, Acc(0));
        for (int64_t r = r0; r < std::min(f.reduced, r0 + kBlockRows); ++r)
          for (int64_t j = 0; j < w; ++j) part[j] += load(base[r * f.inner + j]);
        for (int64_t j = 0; j < w; ++j) total[j] += part[j];
      }
      for (int64_t j = 0; j < w; ++j) to[j] = finish(total[j]);
    }
  });
}

// Where reduced dimensions enclose others: the last run of reduced ones first, then the rest.
template <class S, class R>
void sum_in_steps(const Array& a, uint64_t mask, R* out, double scale) {
  using T = Compute<S>;
  Form f;
  if (direct_form(a, mask, &f)) return sum_form<S, T>(a.ptr<S>(), f, out, Itself{}, scale);
  int end = a.ndim, begin;
  while (!(mask >> (end - 1) & 1)) --end;
  for (begin = end; begin > 0 && (mask >> (begin - 1) & 1);) --begin;
  f = Form{};
  Array rest;
  rest.dtype = kHalf<S> ? DType::f32 : a.dtype;
  rest.ndim = 0;
  for (int d = 0; d < a.ndim; ++d) {
    (d < begin ? f.outer : d < end ? f.reduced : f.inner) *= a.shape[d];
    if (d < begin || d >= end) rest.shape[rest.ndim++] = a.shape[d];
  }
  rest.set_contiguous();
  Scratch<T> sums(rest.numel);
  sum_form<S, T>(a.ptr<S>(), f, sums.p, Itself{}, 1.0);
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
  const uint64_t mask = static_cast<uint64_t>(c.inum(0));
  if (is_half(a.dtype))
    return floating_or_half(a.dtype, "sum_cpu", [&](auto z) {
      using S = decltype(z);
      using T = Compute<S>;
      if (a.contiguous() && a.numel) return sum_in_steps<S>(a, mask, out.ptr<S>(), scale);
      with_form<S>(a, mask, [&](const S* p, const Form& f) { sum_form<S, T>(p, f, out.ptr<S>(), Itself{}, scale); });
    });
  all_types(a.dtype, "sum_cpu", [&](auto z) {
    using T = decltype(z);
    using Acc = std::conditional_t<std::is_floating_point_v<T>, T, std::conditional_t<std::is_same_v<T, bool>, int64_t, T>>;
    if constexpr (std::is_floating_point_v<T>)
      if (a.contiguous() && a.numel) return sum_in_steps<T>(a, mask, out.ptr<T>(), scale);
    with_form<T>(a, mask, [&](const T* p, const Form& f) {
      if constexpr (std::is_same_v<T, Acc>) sum_form<T, Acc>(p, f, out.ptr<T>(), Itself{}, scale);
      else sum_form<T, Acc>(p, f, out.ptr<T>(), [](T x) { return static_cast<Acc>(x); }, scale);
    });
  });
}
RL_KERNEL_ROWS(sum, 1, reduce_shape, sum_run, 0b11)

// count(x bool, mask, keepdim): how many are true
template <class Acc>
void count_as(const Array& out, const Array& a, uint64_t mask) {
  with_form<uint8_t>(a, mask, [&](const uint8_t* p, const Form& f) {
    sum_form<uint8_t, Acc>(p, f, out.ptr<int64_t>(), [](uint8_t x) { return static_cast<Acc>(x); }, 1.0);
  });
}

void count_run(const Call& c) {
  const Array &out = *c.out[0], &a = *c.in[0];
  const uint64_t mask = static_cast<uint64_t>(c.inum(0));
  if (a.numel <= std::numeric_limits<int32_t>::max()) count_as<int32_t>(out, a, mask);
  else count_as<int64_t>(out, a, mask);
}
RL_KERNEL_ANY(count, 1, reduce_shape_index, count_run)

// ---- product, all, any -----------------------------------------------------------------------------------------------

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

RL_FOLD(prod, reduce_shape, T, true, R(1), static_cast<T>(acc * x))
RL_FOLD(all, reduce_shape_bool, bool, false, true, acc && x != T(0))
RL_FOLD(any, reduce_shape_bool, bool, false, false, acc || x != T(0))

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
