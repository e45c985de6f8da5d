// The weight gradient of a convolution: conv_weight(x, g), w[o,c,t] = sum_{n,p} g[n,o,p] x[n,c, p*stride - pad + t*dil].
//
// A product whose inner dimension is pixels: rows are (channel, tap) pairs, read as broadcasts straight from the
// padded image, and the vector lanes are output channels, from a transposed copy of g. Images are summed within a fixed number of
// groups, and the groups' sums are added in order.
#include "conv_depthwise.h"
#include "conv_geometry.h"
#include "conv_point.h"
#include "conv_split.h"
#include "conv_whole.h"
#include "float_copy.h"
#include "rows.h"

#include <type_traits>

namespace rl {
namespace {

constexpr int64_t kPixelBlock = 320;          // a panel of g stays in L1
constexpr int kWeightRows = kVectorBytes == 64 ? 12 : kMR;   // their pointers stay in registers

// acc[row][lane] += sum over pixels of src[offsets[row] + at[pixel]] * panel[pixel][lane].
template <class T, int ROWS, int VECS>
void weight_tile(int rows, const T* src, const int64_t* offsets, const int64_t* at, int64_t pixels, const T* panel, T* out,
                 int64_t pitch) {
  if constexpr (ROWS > 1) {
    if (rows < ROWS) return weight_tile<T, ROWS - 1, VECS>(rows, src, offsets, at, pixels, panel, out, pitch);
  }
  using V = typename Simd<T>::vec;
  constexpr int L = Simd<T>::lanes;
  V c[ROWS][VECS];
  const T* a[ROWS];
  for (int r = 0; r < ROWS; ++r) {
    a[r] = src + offsets[r];
    for (int v = 0; v < VECS; ++v) c[r][v] = V{};
  }
  for (int64_t p = 0; p < pixels; ++p, panel += VECS * L) {
    const int64_t x = at[p];
    V b[VECS];
    for (int v = 0; v < VECS; ++v) b[v] = Simd<T>::load(panel + v * L);
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r) {
      V y = Simd<T>::all(a[r][x]);
      for (int v = 0; v < VECS; ++v) c[r][v] += y * b[v];
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r)
    for (int v = 0; v < VECS; ++v) {
      T* o = out + r * pitch + v * L;
      Simd<T>::store(o, Simd<T>::load(o) + c[r][v]);
    }
}

// Few output channels: vectors of neighbouring pixels, OUTS channels of g by TAPS rows of the implicit matrix. The rows of g are
// `pitch` apart, whole vectors with zeros at the end; what the image holds there is masked, for it may be infinite.
// sums[o][k][lane] += g * x; channels of g are `plane` apart, of sums K * L.
template <class T, int OUTS, int TAPS>
void weight_dots(int64_t taps, const T* src, const int64_t* offsets, const Pixels& px, const T* g, int64_t pitch, int64_t plane,
                 T* sums, int64_t apart) {
  if constexpr (TAPS > 1) {
    if (taps < TAPS) return weight_dots<T, OUTS, TAPS - 1>(taps, src, offsets, px, g, pitch, plane, sums, apart);
  }
  using V = typename Simd<T>::vec;
  typedef Lanes<T> Mask __attribute__((vector_size(kVectorBytes)));
  constexpr int64_t L = Simd<T>::lanes;
  const int64_t W = px.n[2];
  Mask keep;
  for (int i = 0; i < L; ++i) keep[i] = i < W % L ? -1 : 0;
  V acc[OUTS][TAPS];
  for (int o = 0; o < OUTS; ++o)
    for (int t = 0; t < TAPS; ++t) acc[o][t] = V{};
  const T* a[TAPS];
  for (int64_t z = 0, y = 0; z < px.n[0]; g += pitch) {
    const T* s = src + px.base + z * px.read[0] + y * px.read[1];
    for (int t = 0; t < TAPS; ++t) a[t] = s + offsets[t];
    if (++y == px.n[1]) y = 0, ++z;
    auto step = [&](int64_t x, bool last) {
      V v[OUTS];
      for (int o = 0; o < OUTS; ++o) v[o] = Simd<T>::load(g + o * plane + x);
#pragma GCC unroll 16
      for (int t = 0; t < TAPS; ++t) {
        V z = Simd<T>::load(a[t] + x);
        if (last) z = keep ? z : V{};
        for (int o = 0; o < OUTS; ++o) acc[o][t] += v[o] * z;
      }
    };
    int64_t x = 0;
    for (; x + L <= W; x += L) step(x, false);
    if (x < W) step(x, true);
  }
  for (int o = 0; o < OUTS; ++o)
    for (int t = 0; t < TAPS; ++t) {
      T* to = sums + o * apart + t * L;
      Simd<T>::store(to, Simd<T>::load(to) + acc[o][t]);
    }
}

constexpr int64_t kDotOuts = kVectorBytes == 64 ? 6 : 2;

template <class T>
void weight_dots(int64_t outs, const T* src, const int64_t* offsets, int64_t K, const Pixels& px, const T* g, int64_t pitch,
                 int64_t plane, T* sums) {
  constexpr bool wide = kVectorBytes == 64;
  auto run = [&](auto tile) {
    constexpr int OUTS = decltype(tile)::value, TAPS = wide ? (OUTS == 1 ? 10 : 24 / OUTS) : (OUTS == 1 ? 9 : 4);
    const int64_t blocks = (K + TAPS - 1) / TAPS;              // evened out
    for (int64_t i = 0; i < blocks; ++i) {
      const int64_t k = K * i / blocks;
      weight_dots<T, OUTS, TAPS>(K * (i + 1) / blocks - k, src, offsets + k, px, g, pitch, plane, sums + k * Simd<T>::lanes,
                                 K * Simd<T>::lanes);
    }
  };
  switch (outs) {
    case 1: return run(std::integral_constant<int, 1>{});
    case 2: return run(std::integral_constant<int, 2>{});
    case 3: return run(std::integral_constant<int, 3>{});
    case 4: return run(std::integral_constant<int, 4>{});
    case 5: return run(std::integral_constant<int, 5>{});
    default: return run(std::integral_constant<int, 6>{});
  }
}

template <class T>
struct WeightGradient {
  static constexpr int64_t L = Simd<T>::lanes, NR = kNR<T>;

  const ConvGeometry& q;
  const T *x, *g;
  Padded<T> pad;
  Pixels px;
  const int64_t* offsets;                     // (Cg * taps)
  const T* turned = nullptr;                  // g, pixels by lanes, see turn; null if each job does so for itself

  int64_t lanes() const { return (q.Og() + L - 1) / L * L; }
  int64_t pitch() const { return (q.out[2] + L - 1) / L * L; }          // of rows of g in weight_dots
  bool narrow() const {                       // fewer vectors along rows than in channels, with some to spare
    return q.out[0] * q.out[1] * pitch() * q.Og() * 5 <= q.out_pixels() * lanes() * 4;
  }
  const T* gradient(int64_t n, int64_t group) const { return g + (n * q.G + group) * q.Og() * q.out_pixels(); }

  // Images [n0, n1), channels [c0, c1) of group `group` into out (O, Cg, taps).
  void sum(int64_t n0, int64_t n1, int64_t group, int64_t c0, int64_t c1, T* out) const {
    if (narrow()) dots(n0, n1, group, c0, c1, out);
    else products(n0, n1, group, c0, c1, out);
  }

  void dots(int64_t n0, int64_t n1, int64_t group, int64_t c0, int64_t c1, T* out) const {
    const int64_t taps = q.taps(), K = (c1 - c0) * taps, Og = q.Og(), W = px.n[2], rows = px.n[0] * px.n[1];
    const int64_t plane = rows * pitch(), parts = (Og + kDotOuts - 1) / kDotOuts, most = (Og + parts - 1) / parts;
    Scratch<T> padded((c1 - c0) * pad.channel() + kSlack), part(Og * K * L), rows_of_g(Og * plane);
    std::fill(part.p, part.p + Og * K * L, T(0));
    for (int64_t n = n0; n < n1; ++n) {
      const int64_t first = (n * q.G + group) * q.Cg() + c0;
      const T *image = pad.view(x + first * q.in_pixels(), q.N * q.C - first, c1 - c0, padded), *gn = gradient(n, group);
      for (int64_t row = 0; row < Og * rows; ++row) {
        copy_run(rows_of_g + row * pitch(), gn + row * W, W);
        set_run(rows_of_g + row * pitch() + W, T(0), pitch() - W);
      }
      for (int64_t o = 0; o < Og; o += most)
        weight_dots<T>(std::min(most, Og - o), image, offsets, K, px, rows_of_g + o * plane, pitch(), plane, part + o * K * L);
    }
    for (int64_t o = 0; o < Og; ++o) {
      T* to = out + ((group * Og + o) * q.Cg() + c0) * taps;
      for (int64_t k = 0; k < K; ++k) {
        to[k] = T(0);
        for (int64_t i = 0; i < L; ++i) to[k] += part[(o * K + k) * L + i];
      }
    }
  }

  // Pixels [j0, j1) of an image's channels from o on, channels in the lanes.
  void turn(int64_t n, int64_t group, int64_t o, int64_t j0, int64_t j1, T* out) const {
    const int64_t pixels = q.out_pixels();
    channels_last<T>(gradient(n, group) + o * pixels + j0, pixels, j1 - j0, q.Og() - o, out, std::min(NR, lanes() - o));
  }

  // All of g; a panel's images follow each other.
  void turn_all(T* out) const {
    const int64_t panels = (lanes() + NR - 1) / NR, pixels = q.out_pixels(), per = std::max<int64_t>(1, 65536 / (pixels * NR));
    const int64_t runs = (q.N + per - 1) / per;
    parallel_for(q.G * panels * runs, [&](int64_t job) {
      const int64_t n0 = job % runs * per, o = job / runs % panels * NR, group = job / runs / panels;
      for (int64_t n = n0; n < std::min(q.N, n0 + per); ++n) turn(n, group, o, 0, pixels, out + turned_at(n, group, o));
    });
  }
  int64_t turned_at(int64_t n, int64_t group, int64_t o) const {
    return ((group * lanes() + o) * q.N + n * std::min(NR, lanes() - o)) * q.out_pixels();
  }

  // Small images several at a time, so that sums stay in registers for many pixels.
  void products(int64_t n0, int64_t n1, int64_t group, int64_t c0, int64_t c1, T* out) const {
    const int64_t taps = q.taps(), K = (c1 - c0) * taps, Og = q.Og(), pixels = q.out_pixels(), wide = lanes();
    const bool there = pad.as_is();
    const int64_t size = (c1 - c0) * pad.channel(), batch = std::clamp<int64_t>(kPixelBlock / pixels, 1, n1 - n0);
    const int64_t tiles = (K + kWeightRows - 1) / kWeightRows, height = (K + tiles - 1) / tiles;   // evened out
    const int64_t block = std::min(kPixelBlock, batch * pixels);
    Scratch<T> padded(there ? 0 : batch * size), part(K * wide), panel(block * NR);
    Scratch<int64_t> at(batch * pixels);
    Pixels all = px;
    all.image_read = there ? q.C * q.in_pixels() : size;
    for (int64_t row = 0; row < batch * px.n[0] * px.n[1]; ++row)
      for (int64_t i = 0, first = all.source(row); i < px.n[2]; ++i) at[row * px.n[2] + i] = first + i * px.step;
    std::fill(part.p, part.p + K * wide, T(0));
    for (int64_t n = n0; n < n1; n += batch) {
      const int64_t count = std::min(batch, n1 - n);
      const T* first = x + ((n * q.G + group) * q.Cg() + c0) * q.in_pixels();
      for (int64_t i = 0; i < count && !there; ++i) pad.fill(first + i * q.C * q.in_pixels(), c1 - c0, padded + i * size);
      const T* images = there ? first : padded.p;
      for (int64_t j = 0; j < count * pixels; j += block) {
        const int64_t end = std::min(count * pixels, j + block);
        for (int64_t o = 0; o < wide; o += NR) {
          const int64_t lanes = std::min<int64_t>(NR, wide - o);
          const T* b = panel;
          if (turned) b = turned + turned_at(n, group, o) + j * lanes;
          else
            for (int64_t k = j; k < end;) {
              const int64_t to = std::min(end, (k / pixels + 1) * pixels);
              turn(n + k / pixels, group, o, k % pixels, to - k / pixels * pixels, panel + (k - j) * lanes);
              k = to;
            }
          for (int64_t k = 0; k < K; k += height) {
            const int rows = static_cast<int>(std::min(height, K - k));
            T* to = part + k * wide + o;
            if (lanes == NR) weight_tile<T, kWeightRows, 2>(rows, images, offsets + k, at + j, end - j, b, to, wide);
            else weight_tile<T, kWeightRows, 1>(rows, images, offsets + k, at + j, end - j, b, to, wide);
          }
        }
      }
    }
    channels_first<T>(part, K, Og, out + (group * Og * q.Cg() + c0) * taps, q.Cg() * taps, wide);
  }
};

template <class Y, class X>
bool winograd_weight(const ConvGeometry& q, AnyFloats x, AnyFloats g, float* w) {
  using D = Winograd<Y, X>;
  if (!q.fits<Y, X>()) return false;
  const WinogradWeight<Y, X> p{q.C, q.O, {x, q.C, q.in[1], q.in[2], q.pad[1], q.pad[2]}, {g, q.O, q.out[1], q.out[2], 0, 0},
                               {q.N, q.out[1], q.out[2]}, w};
  if (D::cost(p.grid.count, q.C, q.O) >= D::direct(q.N, q.out_pixels(), q.C, q.O)) return false;
  p.run();
  return true;
}

bool winograd_weight(const ConvGeometry& q, AnyFloats x, AnyFloats g, float* w) {
  return winograd([&](auto v, auto u) { return winograd_weight<decltype(v), decltype(u)>(q, x, g, w); }) ||
         winograd_weight<StrideTwo, StrideTwo>(q, x, g, w) ||
         winograd_weight<FourTapsStrideTwo, FourTapsStrideTwo>(q, x, g, w);
}

template <class T>
void weight_gradient(const ConvGeometry& q, const T* x, const T* g, T* w) {
  const int64_t size = q.O * q.Cg() * q.taps();
  if (size == 0) return;
  if (q.N == 0 || q.out_pixels() == 0) {
    std::fill(w, w + size, T(0));
    return;
  }
  if (WholeImage<T>::fits(q)) return WholeImage<T>{q}.weight(x, g, w);
  if constexpr (sizeof(T) == 4) {
    if (Depthwise::fits(q)) return Depthwise(q).weight(x, g, w);
    if (winograd_weight(q, x, g, w)) return;
    if (const QuarterKernels k{q}; k.fits(q) && k.forward_pays()) return k.weight(x, g, w);
  }
  if (OnePixel<T>::fits_weight(q)) return OnePixel<T>{q}.weight(x, g, w);
  WeightGradient<T> job{q, x, g, padded_input<T>(q), {}, nullptr};
  if (!job.narrow()) job.pad = plain_input<T>(q, 1);
  job.px = output_pixels(q, job.pad);
  Scratch<int64_t> offsets(q.Cg() * q.taps());
  tap_offsets(q, job.pad, q.Cg(), offsets);
  job.offsets = offsets;
  // Cut by groups, then by channels while there are enough rows, each of which reads all of g; then by images, each of which
  // costs a pass over the weights, and first by these where the weights are much smaller than g.
  const int64_t all = q.N * q.out_pixels(), least = all * q.O > 100 * size ? q.Cg() : (3 * kWeightRows + q.taps() - 1) / q.taps();
  const int64_t jobs = (std::min<int64_t>(16, 1 + all * size / 1000000) + q.G - 1) / q.G;
  const int64_t most = std::min(q.N, std::max<int64_t>(1, 1048576 / size));
  const int64_t per = std::max((q.Cg() + jobs - 1) / jobs, std::min(least, q.Cg())), cuts = (q.Cg() + per - 1) / per;
  const int64_t images = std::min(most, (jobs + cuts - 1) / cuts);
  const bool turn = cuts > 1 && !job.narrow();
  Scratch<T> turned(turn ? q.G * job.lanes() * q.N * q.out_pixels() : 0);
  if (turn) {
    job.turn_all(turned);
    job.turned = turned;
  }
  Scratch<T> sums(images > 1 ? images * size : 0);
  T* to = images > 1 ? sums.p : w;
  parallel_for(images * q.G * cuts, [&](int64_t i) {
    const int64_t part = i / (q.G * cuts), group = i / cuts % q.G, c0 = i % cuts * per;
    job.sum(q.N * part / images, q.N * (part + 1) / images, group, c0, std::min(q.Cg(), c0 + per), to + part * size);
  });
  if (images == 1) return;
  const int64_t chunk = 16384;
  parallel_for((size + chunk - 1) / chunk, [&](int64_t i) {
    for (int64_t k = i * chunk; k < std::min(size, (i + 1) * chunk); ++k) {
      T s = sums[k];
      for (int64_t n = 1; n < images; ++n) s += sums[n * size + k];
      w[k] = s;
    }
  });
}

void conv_weight_infer(const Call& c, Meta* m) {
  const int rank = c.in[0]->ndim - 2;
  infer(c, *c.in[0], c.in[1]->shape[1], c.in[0]->shape[1] / c.inum(3 * rank), m);
}

void conv_weight_run(const Call& c) {
  const ConvGeometry q = geometry(c, c.in[0], c.in[1], nullptr);
  if (is_half(c.out[0]->dtype)) {             // Winograd's forms convert on their way; the others work on copies
    const FloatCopy result(*c.out[0]);
    const bool some = c.out[0]->numel > 0 && q.N > 0 && q.out_pixels() > 0 && !WholeImage<float>::fits(q);
    if (!some || !winograd_weight(q, AnyFloats(*c.in[0]), AnyFloats(*c.in[1]), result.data())) {
      const FloatCopy x(c.in[0]), g(c.in[1]);
      weight_gradient<float>(q, x.data(), g.data(), result.data());
    }
    return result.write();
  }
  floating(c.out[0]->dtype, "slow_conv2d_grad_weight", [&](auto z) {
    using T = decltype(z);
    weight_gradient<T>(q, c.in[0]->ptr<T>(), c.in[1]->ptr<T>(), c.out[0]->ptr<T>());
  });
}
RL_KERNEL_ROWS(conv_weight, 1, conv_weight_infer, conv_weight_run, 0b111)

// channel_sum(g): the bias gradient, a sum over everything but dimension 1.
void channel_sum_infer(const Call& c, Meta* m) {
  m->dtype = c.in[0]->dtype;
  m->ndim = 1;
  m->shape[0] = c.in[0]->shape[1];
}

// In vectors over up to 1024 elements, of several planes if these are small; their sums in double.
template <class T>
struct LongSum {
  using S = Sixteen<T>;
  typename S::vec even = {}, odd = {};
  int64_t held = 0;
  double total = 0;

  void flush() {
    total += static_cast<double>(S::sum(even + odd));
    even = odd = typename S::vec{};
    held = 0;
  }
  template <class P>
  void add(const P* p, int64_t n) {
    if (held + n > 1024) flush();
    held += n;
    typename S::vec v, w;
    int64_t k = 0;
    for (; k + 2 * kLanes <= n; k += 2 * kLanes) {
      S::load(v, p + k);
      S::load(w, p + k + kLanes);
      even += v;
      odd += w;
    }
    if (k + kLanes <= n) {
      S::load(v, p + k);
      even += v;
      k += kLanes;
    }
    if (k == n) return;
    S::load(v, p + k, n - k, T(0));
    odd += v;
  }
};

void channel_sum_run(const Call& c) {
  const Array& g = *c.in[0];
  const int64_t N = g.shape[0], C = g.shape[1], S = N > 0 && C > 0 ? g.numel / (N * C) : 0;
  floating_or_half(g.dtype, "sum_cpu", [&](auto z) {
    using P = decltype(z);
    using T = Compute<P>;
    P* out = c.out[0]->ptr<P>();
    const P* p = g.ptr<P>();
    const int64_t per = std::max<int64_t>(1, 65536 / std::max<int64_t>(1, N * S));
    parallel_for((C + per - 1) / per, [&](int64_t job) {
      for (int64_t i = job * per; i < std::min(C, (job + 1) * per); ++i) {
        LongSum<T> sum;
        for (int64_t n = 0; n < N; ++n)
          for (int64_t k = 0; k < S; k += 1024) sum.add(p + (n * C + i) * S + k, std::min<int64_t>(1024, S - k));
        sum.flush();
        out[i] = narrowed_to<P>(static_cast<T>(sum.total));
      }
    });
  });
}
RL_KERNEL_ROWS(channel_sum, 1, channel_sum_infer, channel_sum_run, 0b11)

}  // namespace
}  // namespace rl
