// Random numbers, equal to PyTorch's for a seed. Every kernel takes the generator's state as its last output.
#include "mt19937.h"

#include <limits>
#include <type_traits>

namespace rl {
namespace {

constexpr int64_t kBlock = 512;               // elements drawn at once

template <class T>
constexpr bool kIsFloat = std::is_floating_point_v<T> || std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>;

// seed(state, seed)
void seed_run(const Call& c) { Generator(*c.out[0]).seed(static_cast<uint64_t>(c.inum(0))); }
RL_KERNEL_ANY(random_seed, 1, nullptr, seed_run)

// out[i] = fn(generator), one element after another in memory order.
template <class T, class F>
void draw(const Array& out, const F& fn) {
  T* p = out.ptr<T>();
  if (dense(out)) {
    for (int64_t i = 0; i < out.numel; ++i) p[i] = fn();
    return;
  }
  each_in_order(out, out, [&](int64_t at, int64_t) { p[at] = fn(); });
}

// The same where an element takes WORDS words of the generator: fn(const uint32_t* words) fills from blocks.
template <class T, int WORDS, class F>
void draw_words(const Array& out, Generator& g, const F& fn) {
  T* p = out.ptr<T>();
  if (!dense(out) || out.numel < 8) {
    each_in_order(out, out, [&](int64_t at, int64_t) {
      uint32_t w[WORDS];
      for (int k = 0; k < WORDS; ++k) w[k] = g.next32();
      p[at] = fn(w);
    });
    return;
  }
  uint32_t w[kBlock * WORDS];
  for (int64_t i = 0; i < out.numel; i += kBlock) {
    const int64_t n = out.numel - i < kBlock ? out.numel - i : kBlock;
    g.block(w, n * WORDS);
    for (int64_t k = 0; k < n; ++k) p[i + k] = fn(w + k * WORDS);
  }
}

inline uint64_t join(const uint32_t* w) { return static_cast<uint64_t>(w[0]) << 32 | w[1]; }
inline float unit24(uint32_t w) { return static_cast<float>(static_cast<int32_t>(w & 0xffffffu)) * 0x1p-24f; }
inline double unit53(const uint32_t* w) {
  // Signed, because only that conversion has a vector instruction before AVX-512.
  return static_cast<double>(static_cast<int64_t>(join(w) & Generator::kMask53)) * 0x1p-53;
}

// ---- uniform --------------------------------------------------------------------------------------------------------

template <class T>
constexpr int kDigits =
    std::is_same_v<T, float16> ? 11 : std::is_same_v<T, bfloat16> ? 8 : std::numeric_limits<T>::digits;

// uniform(out, state, from, to): x (to - from) + from, the product and the sum rounded once; what is rounded up to
// the end becomes the start. Half types compute in float32.
void uniform_run(const Call& c) {
  Generator g(*c.out[1]);
  any_floating(c.out[0]->dtype, "check_uniform_bounds", [&](auto z) {
    using T = decltype(z);
    if constexpr (std::is_same_v<T, double>) {
      const double from = c.fnum(0), to = c.fnum(1), span = to - from;
      draw_words<T, 2>(*c.out[0], g, [=](const uint32_t* w) {
        const double value = __builtin_fma(unit53(w), span, from);
        return value >= to ? from : value;
      });
    } else {
      const float from = static_cast<float>(c.fnum(0)), span = static_cast<float>(c.fnum(1)) - from;
      const T low = store_as<T>(from);
      const float high = load_float(store_as<T>(c.fnum(1)));
      draw_words<T, 1>(*c.out[0], g, [=](const uint32_t* w) {
        const T value = store_as<T>(__builtin_fmaf(unit24(*w), span, from));
        return load_float(value) >= high ? low : value;
      });
    }
  });
}
RL_KERNEL_ANY(random_uniform, 2, nullptr, uniform_run)

// ---- normal ---------------------------------------------------------------------------------------------------------

// Box-Muller on 16 uniform numbers. The polynomials and the places where a product and a sum are rounded once
// are those of PyTorch's AVX2 kernel (Cephes' logf, sinf and cosf), so the results are its bits.
inline float log_of_unit(float x) {
  uint32_t u;
  x = x > 1.17549435e-38f ? x : 1.17549435e-38f;
  std::memcpy(&u, &x, 4);
  float e = static_cast<float>(static_cast<int32_t>(u >> 23) - 127) + 1.0f;
  u = (u & 0x807fffffu) | 0x3f000000u;
  std::memcpy(&x, &u, 4);
  const bool low = x < 0.707106781186547524f;
  const float extra = low ? x : 0.0f;
  x = (x - 1.0f) + extra;
  e = e - (low ? 1.0f : 0.0f);
  const float z = x * x;
  float y = 7.0376836292e-2f;
  y = __builtin_fmaf(y, x, -1.1514610310e-1f);
  y = __builtin_fmaf(y, x, 1.1676998740e-1f);
  y = __builtin_fmaf(y, x, -1.2420140846e-1f);
  y = __builtin_fmaf(y, x, 1.4249322787e-1f);
  y = __builtin_fmaf(y, x, -1.6668057665e-1f);
  y = __builtin_fmaf(y, x, 2.0000714765e-1f);
  y = __builtin_fmaf(y, x, -2.4999993993e-1f);
  y = __builtin_fmaf(y, x, 3.3333331174e-1f);
  y = __builtin_fmaf(y * x, z, e * -2.12194440e-4f);
  y = __builtin_fmaf(z, -0.5f, y);
  return __builtin_fmaf(e, 0.693359375f, x + y);
}

// x >= 0
inline void sin_cos(float x, float* s, float* c) {
  const int32_t j = (static_cast<int32_t>(x * 1.27323954473516f) + 1) & ~1;
  const float y = static_cast<float>(j);
  x = __builtin_fmaf(y, -0.78515625f, x);
  x = __builtin_fmaf(y, -2.4187564849853515625e-4f, x);
  x = __builtin_fmaf(y, -3.77489497744594108e-8f, x);
  const float z = x * x;
  float cosine = 2.443315711809948e-5f;
  cosine = __builtin_fmaf(cosine, z, -1.388731625493765e-3f);
  cosine = __builtin_fmaf(cosine, z, 4.166664568298827e-2f);
  cosine = __builtin_fmaf(cosine * z, z, z * -0.5f) + 1.0f;
  float sine = -1.9515295891e-4f;
  sine = __builtin_fmaf(sine, z, 8.3321608736e-3f);
  sine = __builtin_fmaf(sine, z, -1.6666654611e-1f);
  sine = __builtin_fmaf(sine * z, x, x);
  const bool swap = (j & 2) != 0;
  const float a = swap ? cosine : sine, b = swap ? sine : cosine;
  *s = (j & 4) ? -a : a;
  *c = ((j - 2) & 4) ? b : -b;
}

inline void box_muller(float* p, float mean, float std) {
  for (int k = 0; k < 8; ++k) {
    const float radius = std::sqrt(-2.0f * log_of_unit(1.0f - p[k]));
    float s, c;
    sin_cos(6.28318530717958647692f * p[k + 8], &s, &c);
    p[k] = __builtin_fmaf(radius * c, std, mean);
    p[k + 8] = __builtin_fmaf(radius * s, std, mean);
  }
}

inline void box_muller(double* p, double mean, double std) {
  for (int k = 0; k < 8; ++k) {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - p[k])), theta = 6.28318530717958647692 * p[k + 8];
    p[k] = __builtin_fma(radius * std::cos(theta), std, mean);
    p[k + 8] = __builtin_fma(radius * std::sin(theta), std, mean);
  }
}

template <class T>
void fill_unit(T* p, int64_t n, Generator& g) {
  constexpr int words = std::is_same_v<T, double> ? 2 : 1;
  uint32_t w[kBlock * 2];
  for (int64_t i = 0; i < n; i += kBlock) {
    const int64_t m = n - i < kBlock ? n - i : kBlock;
    g.block(w, m * words);
    for (int64_t k = 0; k < m; ++k) {
      if constexpr (words == 2) {
        p[i + k] = unit53(w + 2 * k);
      } else {
        p[i + k] = unit24(w[k]);
      }
    }
  }
}

// draw_rest: also draw the numbers after the last full block, only to replace them (not so for half types).
template <class T>
void normal_blocks(T* p, int64_t n, Generator& g, double mean, double std, bool draw_rest) {
  const T m = static_cast<T>(mean), s = static_cast<T>(std);
  const int64_t blocks = n / 16;
  fill_unit(p, draw_rest ? n : blocks * 16, g);
  constexpr int64_t kPer = 1024;
  parallel_for((blocks + kPer - 1) / kPer, [&](int64_t k) {
    const int64_t end = blocks < (k + 1) * kPer ? blocks : (k + 1) * kPer;
    for (int64_t b = k * kPer; b < end; ++b) box_muller(p + 16 * b, m, s);
  });
  if (n % 16) {                               // the last 16 are drawn again
    fill_unit(p + n - 16, 16, g);
    box_muller(p + n - 16, m, s);
  }
}

// normal(out, state, mean, std)
void normal_run(const Call& c) {
  const Array& out = *c.out[0];
  Generator g(*c.out[1]);
  const double mean = c.fnum(0), std = c.fnum(1);
  any_floating(out.dtype, "normal_kernel_cpu", [&](auto z) {
    using T = decltype(z);
    if (out.numel < 16 || !out.contiguous())
      draw<T>(out, [&] { return store_as<T>(__builtin_fma(g.normal(), std, mean)); });
    else if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double>)
      normal_blocks(out.ptr<T>(), out.numel, g, mean, std, true);
    else {                                    // half types: float32, rounded at the end
      Scratch<float> values(out.numel);
      normal_blocks<float>(values, out.numel, g, mean, std, false);
      T* p = out.ptr<T>();
      for (int64_t i = 0; i < out.numel; ++i) p[i] = store_as<T>(values[i]);
    }
  });
}
RL_KERNEL_ANY(random_normal, 2, nullptr, normal_run)

// ---- integers -------------------------------------------------------------------------------------------------------

template <class T>
inline T store_integer(int64_t v) {
  if constexpr (std::is_same_v<T, bfloat16>) return to_bfloat16(static_cast<float>(v));
  else if constexpr (std::is_same_v<T, float16>) return static_cast<float16>(static_cast<float>(v));
  else return static_cast<T>(v);
}

// integers(out, state, base, range): base + word mod range; range 0 stands for 2^64
void integers_run(const Call& c) {
  const Array& out = *c.out[0];
  Generator g(*c.out[1]);
  const int64_t base = c.inum(0);
  const uint64_t range = static_cast<uint64_t>(c.inum(1));
  any_type(out.dtype, "random_from_to_kernel_cpu", [&](auto z) {
    using T = decltype(z);
    if (range == 0) {
      draw_words<T, 2>(out, g, [](const uint32_t* w) { return store_integer<T>(static_cast<int64_t>(join(w))); });
    } else if (range >= (uint64_t{1} << 28)) {
      draw_words<T, 2>(out, g, [=](const uint32_t* w) {
        return store_integer<T>(static_cast<int64_t>(join(w) % range + static_cast<uint64_t>(base)));
      });
    } else {
      const uint32_t small = static_cast<uint32_t>(range);
      draw_words<T, 1>(out, g, [=](const uint32_t* w) {
        return store_integer<T>(base + static_cast<int64_t>(*w % small));
      });
    }
  });
}
RL_KERNEL_ANY(random_integers, 2, nullptr, integers_run)

// any_integer(out, state): all values of an integer type; 0 to 2^digits of a floating-point type
void any_integer_run(const Call& c) {
  const Array& out = *c.out[0];
  Generator g(*c.out[1]);
  any_type(out.dtype, "random_kernel_cpu", [&](auto z) {
    using T = decltype(z);
    if constexpr (std::is_same_v<T, bool>) {
      draw_words<T, 1>(out, g, [](const uint32_t* w) { return (*w & 1) != 0; });
    } else if constexpr (std::is_same_v<T, int64_t>) {
      draw_words<T, 2>(out, g, [](const uint32_t* w) { return static_cast<int64_t>(join(w) & 0x7fffffffffffffffull); });
    } else if constexpr (std::is_same_v<T, double>) {
      draw_words<T, 2>(out, g, [](const uint32_t* w) { return static_cast<double>(join(w) % ((1ull << 53) + 1)); });
    } else if constexpr (std::is_integral_v<T>) {
      constexpr uint32_t limit = static_cast<uint32_t>(std::numeric_limits<T>::max());
      draw_words<T, 1>(out, g, [](const uint32_t* w) { return static_cast<T>(*w & limit); });
    } else {
      constexpr uint32_t range = (1u << kDigits<T>) + 1;
      draw_words<T, 1>(out, g, [](const uint32_t* w) { return store_integer<T>(static_cast<int64_t>(*w % range)); });
    }
  });
}
RL_KERNEL_ANY(random_any_integer, 2, nullptr, any_integer_run)

// permutation(out, state): Fisher and Yates from the front; out is 1-D
void permutation_run(const Call& c) {
  const Array& out = *c.out[0];
  Generator g(*c.out[1]);
  const int64_t n = out.numel, step = out.ndim ? out.strides[0] : 1;
  any_type(out.dtype, "randperm", [&](auto z) {
    using T = decltype(z);
    T* p = out.ptr<T>();
    for (int64_t i = 0; i < n; ++i) p[i * step] = store_integer<T>(i);
    for (int64_t i = 0; i < n - 1; ++i) {
      const int64_t k = i + static_cast<int64_t>(g.next32() % static_cast<uint64_t>(n - i));
      const T held = p[i * step];
      p[i * step] = p[k * step];
      p[k * step] = held;
    }
  });
}
RL_KERNEL_ANY(random_permutation, 2, nullptr, permutation_run)

// ---- bernoulli ------------------------------------------------------------------------------------------------------

// bernoulli(out, state, p, value): value where a uniform double is below p, else 0. Dropout's mask has value 1/p.
void bernoulli_run(const Call& c) {
  const Array& out = *c.out[0];
  Generator g(*c.out[1]);
  const double p = c.fnum(0);
  any_type(out.dtype, "bernoulli_scalar_cpu_", [&](auto z) {
    using T = decltype(z);
    const T zero = store_integer<T>(0);
    T one = store_integer<T>(1);
    if constexpr (std::is_same_v<T, double>) one = 1.0 / c.fnum(1);
    else if constexpr (kIsFloat<T>) one = store_as<T>(1.0f / static_cast<float>(c.fnum(1)));
    // u < p without the conversion: u = k / 2^53 is below p where k is below p 2^53
    const uint64_t threshold = static_cast<uint64_t>(std::ceil(p * 0x1p53));
    T* p = out.ptr<T>();
    if (dense(out)) return g.pairs_below(threshold, out.numel, [=](int64_t i, bool hit) { p[i] = hit ? one : zero; });
    each_in_order(out, out, [&](int64_t at, int64_t) { p[at] = (g.next64() & Generator::kMask53) < threshold ? one : zero; });
  });
}
RL_KERNEL_ANY(random_bernoulli, 2, nullptr, bernoulli_run)

inline void check_probability(double p) {
  if (!(p >= 0 && p <= 1))
    throw std::runtime_error(
        "Expected p_in >= 0 && p_in <= 1 to be true, but got false.  (Could this error message be improved?  If so, "
        "please report an enhancement request to PyTorch.)");
}

// bernoulli_tensor(out, state, p): p has out's shape
void bernoulli_tensor_run(const Call& c) {
  const Array &out = *c.out[0], &prob = *c.in[0];
  Generator g(*c.out[1]);
  any_type(out.dtype, "bernoulli_tensor_cpu_self_", [&](auto z) {
    using T = decltype(z);
    T* o = out.ptr<T>();
    any_floating(prob.dtype, "bernoulli_tensor_cpu_p_", [&](auto y) {
      using P = decltype(y);
      const P* p = prob.ptr<P>();
      each_in_order(out, prob, [&](int64_t at, int64_t from) {
        bool hit;
        if constexpr (std::is_same_v<P, double>) {
          check_probability(p[from]);
          hit = g.uniform() < p[from];
        } else {
          const float q = load_float(p[from]);
          check_probability(q);
          hit = unit24(g.next32()) < q;
        }
        o[at] = store_integer<T>(hit);
      });
    });
  });
}
RL_KERNEL_ANY(random_bernoulli_tensor, 2, nullptr, bernoulli_tensor_run)

// rrelu(out, state, x, lower, upper), both contiguous: 1 for what is positive; one uniform double each for the others, in order
void rrelu_run(const Call& c) {
  const Array &out = *c.out[0], &x = *c.in[0];
  Generator g(*c.out[1]);
  const double from = c.fnum(0), to = c.fnum(1), span = to - from;
  any_floating(out.dtype, "rrelu_with_noise_out_cpu", [&](auto z) {
    using T = decltype(z);
    const T* s = x.ptr<T>();
    for (int64_t i = 0; i < out.numel; ++i) {
      bool below;
      if constexpr (std::is_same_v<T, double>) below = s[i] <= 0;
      else below = load_float(s[i]) <= 0;
      double value = 1;
      if (below) {
        value = __builtin_fma(g.uniform(), span, from);
        if (value >= to) value = from;
      }
      if constexpr (std::is_same_v<T, double>) out.ptr<T>()[i] = value;
      else out.ptr<T>()[i] = store_as<T>(static_cast<float>(value));
    }
  });
}
RL_KERNEL_ANY(random_rrelu, 2, nullptr, rrelu_run)

// ---- other distributions --------------------------------------------------------------------------------------------

void exponential_run(const Call& c) {         // (out, state, lambda)
  Generator g(*c.out[1]);
  const double factor = -1.0 / c.fnum(0);
  any_floating(c.out[0]->dtype, "exponential_cpu", [&](auto z) {
    using T = decltype(z);
    draw<T>(*c.out[0], [&] { return store_as<T>(factor * std::log1p(-g.uniform())); });
  });
}
RL_KERNEL_ANY(random_exponential, 2, nullptr, exponential_run)

void cauchy_run(const Call& c) {              // (out, state, median, sigma)
  Generator g(*c.out[1]);
  const double median = c.fnum(0), sigma = c.fnum(1);
  any_floating(c.out[0]->dtype, "cauchy_cpu", [&](auto z) {
    using T = decltype(z);
    draw<T>(*c.out[0], [&] {
      return store_as<T>(__builtin_fma(sigma, std::tan(3.14159265358979323846 * (g.uniform() - 0.5)), median));
    });
  });
}
RL_KERNEL_ANY(random_cauchy, 2, nullptr, cauchy_run)

void log_normal_run(const Call& c) {          // (out, state, mean, std)
  Generator g(*c.out[1]);
  const double mean = c.fnum(0), std = c.fnum(1);
  any_floating(c.out[0]->dtype, "log_normal_cpu", [&](auto z) {
    using T = decltype(z);
    draw<T>(*c.out[0], [&] { return store_as<T>(std::exp(__builtin_fma(g.normal(), std, mean))); });
  });
}
RL_KERNEL_ANY(random_log_normal, 2, nullptr, log_normal_run)

void geometric_run(const Call& c) {           // (out, state, p)
  Generator g(*c.out[1]);
  const double scale = std::log(1.0 - c.fnum(0));
  any_type(c.out[0]->dtype, "geometric_cpu", [&](auto z) {
    using T = decltype(z);
    if constexpr (std::is_same_v<T, bool>) not_implemented("geometric_cpu", DType::b8);
    else draw<T>(*c.out[0], [&] { return store_as<T>(std::ceil(std::log(g.uniform()) / scale)); });
  });
}
RL_KERNEL_ANY(random_geometric, 2, nullptr, geometric_run)

// Poisson: products of uniforms for small rates, Hoermann's transformed rejection (PTRS, 1993) for the others.
double poisson_of(double rate, Generator& g) {
  if (!(rate >= 0)) throw std::runtime_error("invalid Poisson rate, expected rate to be non-negative");
  if (rate == 0) return 0;
  if (rate < 10) {
    const double limit = std::exp(-rate);
    double product = 1;
    for (int64_t k = 0;; ++k) {
      product *= g.uniform();
      if (product <= limit) return static_cast<double>(k);
    }
  }
  const double log_rate = std::log(rate), b = 0.931 + 2.53 * std::sqrt(rate), a = -0.059 + 0.02483 * b;
  const double inv_alpha = 1.1239 + 1.1328 / (b - 3.4), v_r = 0.9277 - 3.6224 / (b - 2);
  for (;;) {
    const double u = g.uniform() - 0.5, v = g.uniform(), us = 0.5 - std::fabs(u);
    const double k = std::floor((2 * a / us + b) * u + rate + 0.43);
    if (us >= 0.07 && v <= v_r) return k;
    if (k < 0 || (us < 0.013 && v > us)) continue;
    const double bound = -rate + k * log_rate - std::lgamma(k + 1);
    if (std::log(v) + std::log(inv_alpha) - std::log(a / (us * us) + b) <= bound) return k;
  }
}

void poisson_run(const Call& c) {             // (out, state, rate): rate has out's shape and dtype
  const Array &out = *c.out[0], &rate = *c.in[0];
  Generator g(*c.out[1]);
  any_floating(out.dtype, "poisson_cpu", [&](auto z) {
    using T = decltype(z);
    T* o = out.ptr<T>();
    const T* r = rate.ptr<T>();
    each_in_order(out, rate, [&](int64_t at, int64_t from) {
      double lambda;
      if constexpr (std::is_same_v<T, bfloat16>) lambda = to_float(r[from]);
      else lambda = static_cast<double>(r[from]);
      o[at] = store_as<T>(poisson_of(lambda, g));
    });
  });
}
RL_KERNEL_ANY(random_poisson, 2, nullptr, poisson_run)

// multinomial(out, state, weights): rows of category numbers, drawn with replacement; contiguous float or double.
void multinomial_run(const Call& c) {
  const Array &out = *c.out[0], &weights = *c.in[0];
  Generator g(*c.out[1]);
  const int64_t rows = weights.ndim == 2 ? weights.shape[0] : 1, n = weights.shape[weights.ndim - 1];
  const int64_t samples = rows ? out.numel / rows : 0;
  int64_t* o = out.ptr<int64_t>();
  any_floating(weights.dtype, "multinomial", [&](auto z) {
    using T = decltype(z);
    using S = std::conditional_t<std::is_same_v<T, double>, double, float>;
    const T* p = weights.ptr<T>();
    Scratch<T> cumulative(n);
    auto value = [](T v) {
      if constexpr (std::is_same_v<T, double>) return v;
      else return load_float(v);
    };
    for (int64_t r = 0; r < rows; ++r) {
      S sum = 0;
      for (int64_t j = 0; j < n; ++j) {
        const S v = value(p[r * n + j]);
        const char* wrong = !(v >= 0) ? "< 0" : !std::isfinite(v) ? "= infinity or NaN" : nullptr;
        if (wrong)
          throw std::runtime_error(std::string("invalid multinomial distribution (encountering probability entry ") +
                                   wrong + ")");
        sum = value(store_as<T>(static_cast<double>(sum + v)));
        cumulative[j] = store_as<T>(static_cast<double>(sum));
      }
      if (!(sum > 0)) throw std::runtime_error("invalid multinomial distribution (sum of probabilities <= 0)");
      if (sum != 1)
        for (int64_t j = 0; j < n; ++j) cumulative[j] = store_as<T>(static_cast<double>(value(cumulative[j]) / sum));
      for (int64_t s = 0; s < samples; ++s) {
        const double u = g.uniform();
        cumulative[n - 1] = store_as<T>(1.0);
        int64_t left = 0, right = n;
        while (left < right) {
          const int64_t middle = left + (right - left) / 2;
          if (static_cast<double>(value(cumulative[middle])) < u) left = middle + 1;
          else right = middle;
        }
        o[r * samples + s] = left;
      }
    }
  });
}
RL_KERNEL_ANY(random_multinomial, 2, nullptr, multinomial_run)

}  // namespace
}  // namespace rl
