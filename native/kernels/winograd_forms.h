// Winograd's forms along one dimension: `Input` takes a tile's pixels into the domain, `Weight` the taps, `Output` brings results
// back; `Gradient` and `Taps` are the transposes of Output and Weight. See winograd.h.
//
// A form has kDomain elements, weights for kWeights of them, and tiles of kOut results, kStep pixels of the source apart. The
// transpose of a convolution with `pad` zeros before begins with `zeros(pad)` zeros before its source.
#pragma once

#include "channels.h"

namespace rl {
namespace {

// One tap: nothing to transform.
struct Pointwise {
  using V = Simd<float>::vec;
  static constexpr int R = 1, kStride = 1, kDomain = 1, kWeights = 1, kOut = 1, kStep = 1;
  static constexpr int weight(int e) { return e; }
  static constexpr int gradient(int e) { return e; }
  static constexpr int64_t zeros(int64_t pad) { return -pad; }

  struct Input {
    static constexpr int in = 1, out = 1, step = 1;
    static void run(const V* d, V* o) { *o = *d; }
  };
  using Output = Input;
  using Gradient = Input;
  using Weight = Input;
  using Taps = Input;
};

// The points of a form are 0, +-p for each of `pairs`, and infinity.
template <int PAIRS>
struct Points {
  // Powers of these are exact in binary. In two dimensions errors multiply, and with +-5/8 and +-3/2 they are a quarter of those
  // of the usual 0, +-1, +-2 (docs/performance.md). Three pairs are for one dimension: in one of two, they double the error of 5 x 5.
  static constexpr double pairs[][3] = {{}, {}, {0.625, 1.5}, {0.5, 1, 2}};

  float power[PAIRS][2 * PAIRS + 2] = {};     // p^k
  float all[PAIRS + 1] = {};                  // prod (x - p^2), a polynomial in x
  float but[PAIRS][PAIRS] = {};               // the same without pair i
  float odd[PAIRS][PAIRS] = {};               // p times that
  float weight[PAIRS][2 * PAIRS + 2] = {};    // p^k / (2 p^2 but(p^2)): of the weights
  float zero = 0;                             // 1 / all(0)

  constexpr Points() {
    double q[PAIRS + 1] = {1};
    for (int i = 0; i < PAIRS; ++i) times(q, i, at(i));
    for (int k = 0; k <= PAIRS; ++k) all[k] = static_cast<float>(q[k]);
    zero = static_cast<float>(1 / q[0]);
    for (int i = 0; i < PAIRS; ++i) {
      double r[PAIRS + 1] = {1}, scale = 2 * at(i) * at(i), p = 1;
      for (int j = 0, n = 0; j < PAIRS; ++j)
        if (j != i) times(r, n++, at(j)), scale *= at(i) * at(i) - at(j) * at(j);
      for (int k = 0; k < PAIRS; ++k) but[i][k] = static_cast<float>(r[k]), odd[i][k] = static_cast<float>(at(i) * r[k]);
      for (int k = 0; k < 2 * PAIRS + 2; ++k, p *= at(i))
        power[i][k] = static_cast<float>(p), weight[i][k] = static_cast<float>(p / scale);
    }
  }

 private:
  static constexpr double at(int i) { return pairs[PAIRS][i]; }
  static constexpr void times(double* q, int degree, double p) {           // by x - p^2
    q[degree + 1] = q[degree];
    for (int k = degree; k > 0; --k) q[k] = q[k - 1] - p * p * q[k];
    q[0] *= -p * p;
  }
};

// R taps with stride 1: F(4, 3), F(3, 4) and F(2, 5) with two pairs of points, F(6, 3), F(4, 5) and F(2, 7) with three.
template <int R_, int PAIRS>
struct UnitStride {
  using V = Simd<float>::vec;
  static constexpr int R = R_, kStride = 1, kDomain = 2 * PAIRS + 2, kWeights = kDomain, kOut = kDomain + 1 - R, kStep = kOut;
  static constexpr int weight(int e) { return e; }
  static constexpr int gradient(int e) { return e; }
  static constexpr int64_t zeros(int64_t pad) { return R - 1 - pad; }
  static constexpr Points<PAIRS> q{};

  // B'.
  struct Input {
    static constexpr int in = kDomain, out = kDomain, step = kStep;
    static void run(const V* d, V* o) {
      V first = d[2 * PAIRS], last = d[2 * PAIRS + 1];
#pragma GCC unroll 8
      for (int k = PAIRS - 1; k >= 0; --k) first += q.all[k] * d[2 * k], last += q.all[k] * d[2 * k + 1];
      o[0] = first, o[kDomain - 1] = last;
#pragma GCC unroll 8
      for (int i = 0; i < PAIRS; ++i) {
        V e = d[2 * PAIRS], f = q.odd[i][PAIRS - 1] * d[2 * PAIRS - 1];
#pragma GCC unroll 8
        for (int k = PAIRS - 2; k >= 0; --k) e += q.but[i][k] * d[2 * k + 2], f += q.odd[i][k] * d[2 * k + 1];
        o[1 + 2 * i] = e + f;
        o[2 + 2 * i] = e - f;
      }
    }
  };

  // Sums over the points of m p^k, for N powers times `factor`; G' and A' differ in their ends.
  template <int N>
  static void powers(const V* m, const float (&factor)[PAIRS][kDomain], V* o) {
    V s[PAIRS], d[PAIRS];
#pragma GCC unroll 8
    for (int i = 0; i < PAIRS; ++i) s[i] = m[1 + 2 * i] + m[2 + 2 * i], d[i] = m[1 + 2 * i] - m[2 + 2 * i];
#pragma GCC unroll 8
    for (int k = 0; k < N; ++k) {
      o[k] = factor[0][k] * (k % 2 ? d[0] : s[0]);
#pragma GCC unroll 8
      for (int i = 1; i < PAIRS; ++i) o[k] += factor[i][k] * (k % 2 ? d[i] : s[i]);
    }
    o[N - 1] += m[kDomain - 1];
  }

  // The polynomial with N coefficients v, times `factor`, at the points; G and A differ in their ends.
  template <int N>
  static void values(const V* v, const float (&factor)[PAIRS][kDomain], V* o) {
#pragma GCC unroll 8
    for (int i = 0; i < PAIRS; ++i) {
      V e = factor[i][0] * v[0], f = V{};
      if constexpr (N > 1) f = factor[i][1] * v[1];
#pragma GCC unroll 8
      for (int k = 2; k < N; ++k) (k % 2 ? f : e) += factor[i][k] * v[k];
      o[1 + 2 * i] = e + f;
      o[2 + 2 * i] = e - f;
    }
    o[kDomain - 1] = v[N - 1];
  }

  // A': elements of the domain become results.
  struct Output {
    static constexpr int in = kDomain, out = kOut;
    static void run(const V* m, V* o) {
      powers<kOut>(m, q.power, o);
      o[0] += m[0];
    }
  };

  // A: gradients of results.
  struct Gradient {
    static constexpr int in = kOut, out = kDomain, step = kOut;
    static void run(const V* g, V* o) {
      values<kOut>(g, q.power, o);
      o[0] = g[0];
    }
  };

  // G.
  struct Weight {
    static constexpr int in = R, out = kDomain;
    static void run(const V* w, V* o) {
      values<R>(w, q.weight, o);
      o[0] = q.zero * w[0];
    }
  };

  // G': elements of the domain become gradients of taps.
  struct Taps {
    static constexpr int in = kDomain, out = R;
    static void run(const V* m, V* o) {
      powers<R>(m, q.weight, o);
      o[0] += q.zero * m[0];
    }
  };
};

// Three taps with a stride of two: y[i] = w0 e[i] + w2 e[i + 1] + w1 o[i], where e and o are the even and the odd pixels. The first
// two terms are F(4, 2), with the points 0, +-3/4, 2 and infinity, the last is itself: 9 products instead of 12.
struct TwoTaps {
  using V = Simd<float>::vec;
  static constexpr float a = 0.75f, b = 2, a2 = a * a, b2 = b * b;
  static constexpr float c0 = 1 / (a2 * b), c1 = 1 / (2 * a2 * (a - b)), c2 = -1 / (2 * a2 * (a + b)), c3 = 1 / (b * (b2 - a2));

  template <int STEP>
  static void input(const V* d, V* o) {
    const V d0 = d[0], d1 = d[STEP], d2 = d[2 * STEP], d3 = d[3 * STEP], d4 = d[4 * STEP];
    const V e = d3 - b * d2, f = a * (d2 - b * d1);
    o[0] = e + ((a2 * b) * d0 - a2 * d1);
    o[1] = e + f;
    o[2] = e - f;
    o[3] = d3 - a2 * d1;
    o[4] = (d4 - b * d3) + ((a2 * b) * d1 - a2 * d2);
  }
  static void output(const V* m, V* y) {
    const V s = m[1] + m[2], d = a * (m[1] - m[2]), t = b * m[3];
    y[0] = m[0] + (s + m[3]);
    y[1] = d + t;
    y[2] = a2 * s + b * t;
    y[3] = a2 * d + (b2 * t + m[4]);
  }
  static void gradient(const V* g, V* o) {
    const V e = g[0] + a2 * g[2], f = a * (g[1] + a2 * g[3]);
    o[0] = g[0];
    o[1] = e + f;
    o[2] = e - f;
    o[3] = g[0] + b * (g[1] + b * (g[2] + b * g[3]));
    o[4] = g[3];
  }
  static void weight(V w0, V w1, V* o) {
    o[0] = c0 * w0;
    o[1] = c1 * (w0 + a * w1);
    o[2] = c2 * (w0 - a * w1);
    o[3] = c3 * (w0 + b * w1);
    o[4] = w1;
  }
  static void taps(const V* m, V* w0, V* w1) {
    const V p = c1 * m[1], q = c2 * m[2], r = c3 * m[3];
    *w0 = c0 * m[0] + (p + q + r);
    *w1 = a * (p - q) + (b * r + m[4]);
  }
};

struct StrideTwo {
  using V = Simd<float>::vec;
  static constexpr int R = 3, kStride = 2, kDomain = 9, kWeights = 6, kOut = 4, kStep = 8;
  static constexpr int weight(int e) { return e < 5 ? e : 5; }         // the odd pixels' are all the same
  static constexpr int gradient(int e) { return e; }

  struct Input {
    static constexpr int in = 9, out = 9, step = kStep;
    static void run(const V* d, V* o) {
      TwoTaps::input<2>(d, o);
      for (int i = 0; i < 4; ++i) o[5 + i] = d[2 * i + 1];
    }
  };
  struct Output {
    static constexpr int in = 9, out = kOut;
    static void run(const V* m, V* o) {
      TwoTaps::output(m, o);
      for (int i = 0; i < 4; ++i) o[i] += m[5 + i];
    }
  };
  struct Gradient {
    static constexpr int in = kOut, out = 9, step = kOut;
    static void run(const V* g, V* o) {
      TwoTaps::gradient(g, o);
      for (int i = 0; i < 4; ++i) o[5 + i] = g[i];
    }
  };
  struct Weight {
    static constexpr int in = R, out = kWeights;
    static void run(const V* w, V* o) {
      TwoTaps::weight(w[0], w[2], o);
      o[5] = w[1];
    }
  };
  struct Taps {
    static constexpr int in = 9, out = R;
    static void run(const V* m, V* o) {
      TwoTaps::taps(m, o, o + 2);
      o[1] = (m[5] + m[6]) + (m[7] + m[8]);
    }
  };
};

// Its transpose: two taps over five pixels of the gradient make an even pixel of the padded image, the middle tap of one an odd one.
// The first result is an even or, with odd padding, an odd one.
template <bool ODD>
struct StrideTwoBack : StrideTwo {
  static constexpr int kOut = 8, kStep = 4;
  static constexpr int64_t zeros(int64_t pad) { return !ODD - pad / 2; }

  struct Input {
    static constexpr int in = 5, out = 9, step = kStep;
    static void run(const V* d, V* o) {
      TwoTaps::input<1>(d, o);
      for (int i = 0; i < 4; ++i) o[5 + i] = d[i + 1 - ODD];
    }
  };
  struct Output {
    static constexpr int in = 9, out = kOut;
    static void run(const V* m, V* o) {
      V even[4];
      TwoTaps::output(m, even);
      for (int i = 0; i < 4; ++i) o[2 * i + ODD] = even[i], o[2 * i + 1 - ODD] = m[5 + i];
    }
  };
};

// Four taps with a stride of two: F(4, 2) for the even pixels and taps 0 and 2, and for the odd ones and taps 1 and 3: 10
// products instead of 16.
struct FourTapsStrideTwo {
  using V = Simd<float>::vec;
  static constexpr int R = 4, kStride = 2, kDomain = 10, kWeights = 10, kOut = 4, kStep = 8;
  static constexpr int weight(int e) { return e; }
  static constexpr int gradient(int e) { return e % 5; }

  struct Input {
    static constexpr int in = 10, out = 10, step = kStep;
    static void run(const V* d, V* o) {
      TwoTaps::input<2>(d, o);
      TwoTaps::input<2>(d + 1, o + 5);
    }
  };
  struct Output {
    static constexpr int in = 10, out = kOut;
    static void run(const V* m, V* o) {
      V s[5];
      for (int i = 0; i < 5; ++i) s[i] = m[i] + m[5 + i];
      TwoTaps::output(s, o);
    }
  };
  struct Gradient {
    static constexpr int in = kOut, out = 5, step = kOut;
    static void run(const V* g, V* o) { TwoTaps::gradient(g, o); }
  };
  struct Weight {
    static constexpr int in = R, out = kWeights;
    static void run(const V* w, V* o) {
      TwoTaps::weight(w[0], w[2], o);
      TwoTaps::weight(w[1], w[3], o + 5);
    }
  };
  struct Taps {
    static constexpr int in = 10, out = R;
    static void run(const V* m, V* o) {
      TwoTaps::taps(m, o, o + 2);
      TwoTaps::taps(m + 5, o + 1, o + 3);
    }
  };
};

// Its transpose: two taps over five pixels of the gradient for the odd pixels of the padded image, two for the even ones, which
// begin one pixel later where the padding is odd, and then come second.
template <bool ODD>
struct FourTapsStrideTwoBack : FourTapsStrideTwo {
  static constexpr int kOut = 8, kStep = 4;
  static constexpr int64_t zeros(int64_t pad) { return 1 - pad / 2; }

  struct Input {
    static constexpr int in = 5 + ODD, out = 10, step = kStep;
    static void run(const V* d, V* o) {
      TwoTaps::input<1>(d, o);
      TwoTaps::input<1>(d + ODD, o + 5);
    }
  };
  struct Output {
    static constexpr int in = 10, out = kOut;
    static void run(const V* m, V* o) {
      V odd[4], even[4];
      TwoTaps::output(m, odd);
      TwoTaps::output(m + 5, even);
      for (int i = 0; i < 4; ++i) o[2 * i + !ODD] = odd[i], o[2 * i + ODD] = even[i];
    }
  };
};

// The first pair of forms with stride 1, along columns and rows, for which f(Y(), X()) is true.
template <class F>
bool winograd(const F& f) {
  using P = Pointwise;
  using Three = UnitStride<3, 3>;
  using Four = UnitStride<4, 3>;
  using Five = UnitStride<5, 3>;
  using Seven = UnitStride<7, 3>;
  return f(UnitStride<3, 2>(), UnitStride<3, 2>()) || f(UnitStride<4, 2>(), UnitStride<4, 2>()) ||
         f(UnitStride<5, 2>(), UnitStride<5, 2>()) || f(P(), Three()) || f(P(), Four()) || f(P(), Five()) || f(P(), Seven()) ||
         f(Three(), P()) || f(Five(), P()) || f(Seven(), P());
}

}  // namespace
}  // namespace rl
