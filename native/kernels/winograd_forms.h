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

// F(4, 3), F(3, 4) and F(2, 5), stride 1. The points are 0, +-5/8, +-3/2 and infinity: their powers are exact in binary, and the
// error is a quarter of that of the usual 0, +-1, +-2 (docs/performance.md).
template <int R_>
struct UnitStride {
  using V = Simd<float>::vec;
  static constexpr int R = R_, kStride = 1, kDomain = 6, kWeights = 6, kOut = kDomain + 1 - R, kStep = kOut;
  static constexpr int weight(int e) { return e; }
  static constexpr int gradient(int e) { return e; }
  static constexpr int64_t zeros(int64_t pad) { return R - 1 - pad; }

  static constexpr float a = 0.625f, b = 1.5f, a2 = a * a, b2 = b * b;
  static constexpr float c0 = static_cast<float>(1.0 / (double{a2} * b2));
  static constexpr double da2 = a2, db2 = b2;
  static constexpr double ca = 1.0 / (2 * da2 * (da2 - db2)), cb = 1.0 / (2 * db2 * (db2 - da2));
  static constexpr float ca0 = static_cast<float>(ca), ca1 = static_cast<float>(ca * a), ca2 = static_cast<float>(ca * da2);
  static constexpr float ca3 = static_cast<float>(ca * da2 * a), ca4 = static_cast<float>(ca * da2 * da2);
  static constexpr float cb3 = static_cast<float>(cb * db2 * b), cb4 = static_cast<float>(cb * db2 * db2);
  static constexpr float cb0 = static_cast<float>(cb), cb1 = static_cast<float>(cb * b), cb2 = static_cast<float>(cb * db2);

  // B': 6 pixels.
  struct Input {
    static constexpr int in = 6, out = 6, step = kStep;
    static void run(const V* d, V* o) {
      const V e = d[4] - b2 * d[2], f = a * d[3] - (a * b2) * d[1];
      const V g = d[4] - a2 * d[2], h = b * d[3] - (b * a2) * d[1];
      o[0] = (a2 * b2) * d[0] + (d[4] - (a2 + b2) * d[2]);
      o[1] = e + f;
      o[2] = e - f;
      o[3] = g + h;
      o[4] = g - h;
      o[5] = (a2 * b2) * d[1] + (d[5] - (a2 + b2) * d[3]);
    }
  };

  // A': 6 elements of the domain become 4, 3 or 2 results.
  struct Output {
    static constexpr int in = 6, out = kOut;
    static void run(const V* m, V* o) {
      const V s = m[1] + m[2], d = m[1] - m[2], t = m[3] + m[4], e = m[3] - m[4];
      o[0] = m[0] + (s + t);
      o[1] = a * d + b * e;
      if constexpr (R <= 4) o[2] = a2 * s + b2 * t;
      if constexpr (R == 3) o[3] = (a2 * a) * d + (b2 * b) * e;
      o[kOut - 1] += m[5];
    }
  };

  // A: gradients of 4, 3 or 2 results.
  struct Gradient {
    static constexpr int in = kOut, out = 6, step = kOut;
    static void run(const V* g, V* o) {
      V e = g[0], f = a * g[1], h = g[0], i = b * g[1];
      if constexpr (R <= 4) e += a2 * g[2], h += b2 * g[2];
      if constexpr (R == 3) f += (a2 * a) * g[3], i += (b2 * b) * g[3];
      o[0] = g[0];
      o[1] = e + f;
      o[2] = e - f;
      o[3] = h + i;
      o[4] = h - i;
      o[5] = g[kOut - 1];
    }
  };

  // G: 3, 4 or 5 taps.
  struct Weight {
    static constexpr int in = R, out = 6;
    static void run(const V* w, V* o) {
      V e = ca0 * w[0] + ca2 * w[2], f = ca1 * w[1], g = cb0 * w[0] + cb2 * w[2], h = cb1 * w[1];
      if constexpr (R >= 4) f += ca3 * w[3], h += cb3 * w[3];
      if constexpr (R == 5) e += ca4 * w[4], g += cb4 * w[4];
      o[0] = c0 * w[0];
      o[1] = e + f;
      o[2] = e - f;
      o[3] = g + h;
      o[4] = g - h;
      o[5] = w[R - 1];
    }
  };

  // G': 6 elements of the domain become gradients of 3, 4 or 5 taps.
  struct Taps {
    static constexpr int in = 6, out = R;
    static void run(const V* m, V* o) {
      const V s = m[1] + m[2], d = m[1] - m[2], t = m[3] + m[4], e = m[3] - m[4];
      o[0] = c0 * m[0] + (ca0 * s + cb0 * t);
      o[1] = ca1 * d + cb1 * e;
      o[2] = ca2 * s + cb2 * t;
      if constexpr (R >= 4) o[3] = ca3 * d + cb3 * e;
      if constexpr (R == 5) o[4] = ca4 * s + cb4 * t;
      o[R - 1] += m[5];
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
  using Three = UnitStride<3>;
  using Four = UnitStride<4>;
  using Five = UnitStride<5>;
  return f(Three(), Three()) || f(Four(), Four()) || f(Five(), Five()) || f(P(), Three()) || f(P(), Four()) || f(P(), Five()) ||
         f(Three(), P()) || f(Five(), P());
}

}  // namespace
}  // namespace rl
