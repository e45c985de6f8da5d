// Convolution: three kernels that are each other's derivatives, in one to three spatial dimensions.
//
//     conv(x, w, b)          y[n,o,p]    = b[o] + sum_{c,t} w[o,c,t] x[n,c, p*stride - pad + t*dil]
//     conv_input(g, w, b)    the transpose in x (also conv_transpose)
//     conv_weight(x, g)      the transpose in w
//
// Numbers: stride, pad, dil (one per spatial dimension), groups, the spatial size of the result, and perhaps 1: relu of it.
#include "conv_depthwise.h"
#include "conv_geometry.h"
#include "conv_images.h"
#include "conv_lanes.h"
#include "conv_point.h"
#include "conv_split.h"
#include "conv_whole.h"
#include "float_copy.h"
#include "winograd_conv.h"

namespace rl {
namespace {

constexpr int64_t kJobWork = 1000000;         // multiply-adds per parallel job, at least
constexpr int64_t kMinJobs = 16;              // wanted, so that any number of threads has work

// ---- products over images ---------------------------------------------------------------------------------

template <class T>
struct Products : Operands<T> {
  using Operands<T>::N, Operands<T>::G, Operands<T>::Ks, Operands<T>::M, Operands<T>::src, Operands<T>::dst, Operands<T>::pad;
  using Operands<T>::src_plane, Operands<T>::dst_plane, Operands<T>::finish, Operands<T>::phases, Operands<T>::nphases;

  bool lanes;                                 // see better_in_lanes
  bool unpacked;                              // see better_direct

  bool is_direct() const { return unpacked; }

  // Time in vector multiply-adds, of `steps` phases of `size` pixels with `taps` taps each; measured on small and large images.
  double cost(double taps, const int64_t* size, int64_t steps, int64_t stride) const {
    constexpr int64_t L = Simd<T>::lanes;
    const int64_t plane = size[0] * size[1] * size[2], W = size[2], items = N * G * steps;
    const double K = taps * static_cast<double>(Ks);
    if (lanes) return static_cast<double>(items * plane * ((M + L - 1) / L)) * (1.1 * K + 25);
    if (!is_direct()) return static_cast<double>(items * M * ((plane + 2 * L - 1) / (2 * L) * 2)) * (1.25 * K + 10);
    const double rest = 9 + (W % L ? 12 : 0) + (stride > 1 ? 320.0 / static_cast<double>(W) : 0) + (steps > 1 ? 100 : 0);
    const double loads = M == 1 ? 2 : 1;      // of vectors that lie across two cache lines, one per multiply-add
    return static_cast<double>(items * M * size[0] * DirectShape<T>(size[1], W, pad.pitch()).vectors) * (loads * K + rest);
  }
  int64_t weight_size(const Phase<T>& f) const {
    if (lanes) return LaneProducts<T>::weight_size(M, f.K);
    return is_direct() ? M * f.K : PanelShape(M, f.K).size();
  }

  // Row panels [p0, p1) and pixels [j0, j1) of image n (the first, if `px` holds several), group g.
  void rows(const Phase<T>& f, const Pixels& px, int64_t n, int64_t g, const T* padded, int64_t p0, int64_t p1,
            int64_t j0, int64_t j1) const {
    T* out = dst + (n * G + g) * M * dst_plane;
    const T* w = f.weights + g * weight_size(f);
    product<T>(PanelShape(M, f.K), w, padded, f.offsets, px, finish.from(g * M), out, dst_plane, p0, p1, j0, j1);
  }

  void run() const {
    if (lanes) return LaneProducts<T>{*this}.run();
    int64_t work = 0, largest = 0;
    for (int64_t i = 0; i < nphases; ++i) {
      work += phases[i].px.image() * phases[i].K;
      largest = std::max(largest, phases[i].px.image());
    }
    work = work * M + 1;
    const int64_t items = N * G, size = Ks * pad.channel() + kSlack;
    // Small images are put side by side, so that their last pixels share panels.
    const bool together = N > 1 && largest <= 256 && !is_direct() && N * work >= 2 * kJobWork;
    if (!together && (items >= kMinJobs || items * work < 2 * kJobWork || is_direct())) return by_image(work, items, size);
    const int64_t slab = together ? std::max<int64_t>(2, (int64_t{4} << 20) / (G * size)) : N;
    Scratch<T> padded(std::min(N, slab) * G * size);
    for (int64_t n0 = 0; n0 < N; n0 += slab) by_pixels(n0, std::min(slab, N - n0), together, size, padded);
  }

  int64_t block() const { return std::max<int64_t>(4 * kNR<T>, 131072 / M / kNR<T> * kNR<T>); }

  // Jobs are whole images.
  void by_image(int64_t work, int64_t items, int64_t size) const {
    const int64_t per = std::max<int64_t>(1, kJobWork / work);
    parallel_for((items + per - 1) / per, [&](int64_t job) {
      const int64_t i0 = job * per, i1 = std::min(items, i0 + per);
      if (is_direct()) return direct_images(i0, i1, size);
      Scratch<T> padded(size);
      for (int64_t i = i0; i < i1; ++i) {
        const T* image = pad.view(src + i * Ks * src_plane, (items - i) * Ks, Ks, padded);
        for (int64_t f = 0; f < nphases; ++f) {
          const int64_t total = phases[f].px.total(), step = block();
          for (int64_t j = 0; j < total; j += step)
            rows(phases[f], phases[f].px, i / G, i % G, image, 0, PanelShape(M, phases[f].K).panels, j,
                 std::min(total, j + step));
        }
      }
    });
  }

  // Small images go through each stage several at a time: a load that covers several stores waits for them.
  void direct_images(int64_t i0, int64_t i1, int64_t size) const {
    constexpr int64_t kBatch = 8;
    const int64_t parts = (M + kDirectRows - 1) / kDirectRows, step = (M + parts - 1) / parts;
    int64_t vectors = 0;
    for (int64_t f = 0; f < nphases; ++f) {
      const Pixels& px = phases[f].px;
      const DirectShape<T> shape(px.n[1], px.n[2], px.read[1]);
      if (shape.run) vectors = std::max(vectors, px.n[0] * shape.vectors);
    }
    const int64_t run = step * vectors * Simd<T>::lanes;
    const int64_t batch = std::min(i1 - i0, std::max<int64_t>(1, std::min<int64_t>(kBatch, 6144 / (size + run))));
    Scratch<T> padded(batch * size), runs(batch * run);
    for (int64_t i = i0; i < i1; i += batch) {
      const int64_t n = std::min(batch, i1 - i);
      const T* images[kBatch];
      for (int64_t b = 0; b < n; ++b)
        images[b] = pad.view(src + (i + b) * Ks * src_plane, (N * G - i - b) * Ks, Ks, padded + b * size);
      for (int64_t f = 0; f < nphases; ++f) {
        const Phase<T>& phase = phases[f];
        const Pixels& px = phase.px;
        for (int64_t r = 0; r < M; r += step) {
          const int64_t count = std::min(step, M - r);
          for (int64_t b = 0; b < n; ++b) {
            const int64_t g = (i + b) % G;
            direct<T, kDirectRows>(static_cast<int>(count), phase.weights + g * weight_size(phase) + r * phase.K, images[b],
                                   phase.offsets, phase.K, px, finish.from(g * M + r),
                                   dst + ((i + b) * M + r) * dst_plane, dst_plane, runs + b * run);
          }
          if (!DirectShape<T>(px.n[1], px.n[2], px.read[1]).run) continue;
          for (int64_t b = 0; b < n; ++b)
            direct_out<T>(count, runs + b * run, px, dst + ((i + b) * M + r) * dst_plane, dst_plane);
        }
      }
    }
  }

  // `count` images from n0 on are padded at once; jobs are blocks of pixels and, if these are few, of rows.
  void by_pixels(int64_t n0, int64_t count, bool together, int64_t size, T* padded) const {
    const int64_t per = std::max<int64_t>(1, 32768 / std::max<int64_t>(1, pad.channel()));
    const int64_t parts = (Ks + per - 1) / per, items = together ? G : count * G;
    auto in_place = [&](int64_t i) { return !together && pad.in_place(((N - n0) * G - i) * Ks, Ks); };
    parallel_for(count * G * parts, [&](int64_t job) {
      const int64_t i = job / parts, c = job % parts * per;
      if (in_place(i)) return;
      pad.fill(src + ((n0 * G + i) * Ks + c) * src_plane, std::min(per, Ks - c), padded + i * size + c * pad.channel());
    });
    for (int64_t f = 0; f < nphases; ++f) {
      Pixels px = phases[f].px;
      if (together) {
        px.images = count;
        px.image_read = G * size;
        px.image_write = G * M * dst_plane;
      }
      const int64_t total = px.total(), panels = PanelShape(M, phases[f].K).panels;
      if (total == 0) continue;
      const int64_t wanted = (kMinJobs + items - 1) / items;
      const int64_t even = ((total + wanted - 1) / wanted + kNR<T> - 1) / kNR<T> * kNR<T>;
      const int64_t step = std::min(block(), even), blocks = (total + step - 1) / step;
      const int64_t cuts = std::min(panels, (wanted + blocks - 1) / blocks);
      parallel_for(items * blocks * cuts, [&](int64_t job) {
        const int64_t i = job / (blocks * cuts), cut = job / blocks % cuts, j = job % blocks * step;
        const T* image = in_place(i) ? src + (n0 * G + i) * Ks * src_plane : padded + i * size;
        rows(phases[f], px, n0 + (together ? 0 : i / G), i % G, image, panels * cut / cuts,
             panels * (cut + 1) / cuts, j, std::min(total, j + step));
      });
    }
  }
};

// Runs with images in the lanes if that takes less than `others`.
template <class T>
bool images_are_faster(const ImageProducts<T>& p, double others) {
  if (!ImageProducts<T>::fits(p.q, p.forward) || p.cost() > others || p.band() == 0) return false;
  p.run();
  return true;
}

// Whether a product of M rows is better done with channels in the lanes.
template <class T>
bool better_in_lanes(int64_t M, int64_t K) {
  constexpr int64_t L = Simd<T>::lanes;
  return M * 4 >= (M + L - 1) / L * L * 3 && K >= 48;
}

// Weights into every group's place of one phase: element (row, k) of group g is w[g * group + row * step + (from ? from[k] : k)].
template <class T>
void pack_phase(const Products<T>& p, const Phase<T>& f, const T* w, int64_t group, int64_t step, const int64_t* from) {
  for (int64_t g = 0; g < p.G; ++g) {
    T* out = f.weights + g * p.weight_size(f);
    const T* a = w + g * group;
    if (p.is_direct()) {
      for (int64_t r = 0; r < p.M; ++r)
        for (int64_t k = 0; k < f.K; ++k) out[r * f.K + k] = a[r * step + (from ? from[k] : k)];
    } else {
      pack_weights<T>(PanelShape(p.M, f.K), a, step, from, out);
    }
  }
}

// ---- forward --------------------------------------------------------------------------------------------------

template <class Y, class X>
bool winograd_forward(const ConvGeometry& q, AnyFloats x, AnyFloats w, const float* b, AnyFloats y) {
  using D = Winograd<Y, X>;
  if (!q.fits<Y, X>()) return false;
  WinogradConv<Y, X> p(q.N, q.C, q.O, x, w, y, q.in[1], q.in[2], q.pad[1], q.pad[2], q.out[1], q.out[2]);
  if (D::cost(p.grid.count, q.C, q.O) >= D::direct(q.N, q.out_pixels(), q.C, q.O)) return false;
  p.w_row = D::kTaps * q.C, p.w_channel = D::kTaps, p.flip = false;
  p.finish = Finish<float>::of(q, b);
  p.run();
  return true;
}

bool winograd_forward(const ConvGeometry& q, AnyFloats x, AnyFloats w, const float* b, AnyFloats y) {
  return winograd([&](auto v, auto u) { return winograd_forward<decltype(v), decltype(u)>(q, x, w, b, y); }) ||
         winograd_forward<StrideTwo, StrideTwo>(q, x, w, b, y) ||
         winograd_forward<FourTapsStrideTwo, FourTapsStrideTwo>(q, x, w, b, y);
}

template <class T>
void forward(const ConvGeometry& q, const T* x, const T* w, const T* b, T* y) {
  if (q.N == 0 || q.O == 0 || q.out_pixels() == 0) return;
  if (WholeImage<T>::fits(q)) return WholeImage<T>{q}.forward(x, w, b, y);
  if constexpr (sizeof(T) == 4) {
    if (Depthwise::fits(q)) return Depthwise(q).forward(x, w, b, y);
    if (winograd_forward(q, x, w, b, y)) return;
    if (const QuarterKernels k{q}; k.fits(q) && k.forward_pays()) return k.forward(x, w, b, y);
  }
  if (OnePixel<T>::fits(q)) return OnePixel<T>{q}.forward(x, w, b, y);
  Products<T> p;
  p.N = q.N, p.G = q.G, p.Ks = q.Cg(), p.M = q.Og();
  p.src = x, p.dst = y, p.finish = Finish<T>::of(q, b);
  p.src_plane = q.in_pixels(), p.dst_plane = q.out_pixels();
  p.width = q.out[2];
  p.lanes = better_in_lanes<T>(p.M, q.Cg() * q.taps());
  const bool plain = q.stride[2] <= 2 || q.k[2] <= q.stride[2];       // pixels that a row of a tile reads, or single ones
  p.pad = p.lanes ? plain_input<T>(q, plain ? 1 : q.stride[2]) : padded_input<T>(q);
  p.unpacked = !p.lanes && better_direct<T>(p.M, q.out[1], q.out[2], p.pad.pitch(), q.N * q.G);
  const double others = p.cost(static_cast<double>(q.taps()), q.out, 1, q.stride[2]);
  if (images_are_faster(ImageProducts<T>{q, true, x, w, p.finish, y}, others)) return;
  Phase<T> f;
  f.px = output_pixels(q, p.pad);
  f.taps = q.taps();
  f.K = p.Ks * f.taps;
  Scratch<int64_t> offsets(f.K);
  tap_offsets(q, p.pad, p.Ks, offsets);
  f.offsets = offsets;
  Scratch<T> weights(q.G * p.weight_size(f));
  f.weights = weights;
  f.tap = nullptr;
  p.phases = &f;
  p.nphases = 1;
  if (p.lanes) LaneProducts<T>{p}.pack(w, p.M * f.K, f.K, 1, f.K, f.K);
  else pack_phase(p, f, w, p.M * f.K, f.K, nullptr);
  p.run();
}

// Half types: Winograd's forms convert on their way; the others work on float32 copies.
using AnyConv = bool (*)(const ConvGeometry&, AnyFloats, AnyFloats, const float*, AnyFloats);
using FloatConv = void (*)(const ConvGeometry&, const float*, const float*, const float*, float*);

void in_halves(const Call& c, bool may, AnyConv winograd, FloatConv conv, const ConvGeometry& q) {
  const FloatCopy bias(c.in[2]);
  if (may && winograd(q, AnyFloats(*c.in[0]), AnyFloats(*c.in[1]), bias.data(), AnyFloats(*c.out[0]))) return;
  const FloatCopy source(c.in[0]), weights(c.in[1]);
  FloatCopy result(*c.out[0]);
  conv(q, source.data(), weights.data(), bias.data(), result.data());
  result.write();
}

void conv_infer(const Call& c, Meta* m) { infer(c, *c.in[0], c.in[0]->shape[0], c.in[1]->shape[0], m); }

void conv_run(const Call& c) {
  const ConvGeometry q = geometry(c, c.in[0], nullptr, c.in[1]);
  if (is_half(c.out[0]->dtype)) {
    const bool none = q.N == 0 || q.O == 0 || q.out_pixels() == 0;
    return in_halves(c, !none && !WholeImage<float>::fits(q), winograd_forward, forward<float>, q);
  }
  floating(c.out[0]->dtype, "slow_conv2d_cpu", [&](auto z) {
    using T = decltype(z);
    forward<T>(q, c.in[0]->ptr<T>(), c.in[1]->ptr<T>(), c.in[2] ? c.in[2]->ptr<T>() : nullptr, c.out[0]->ptr<T>());
  });
}
RL_KERNEL_ROWS(conv, 1, conv_infer, conv_run, 0b1111)

// ---- transpose in the input -------------------------------------------------------------------------------------

template <class Y, class X>
bool winograd_transpose(const ConvGeometry& q, AnyFloats g, AnyFloats w, const float* b, AnyFloats x) {
  using D = Winograd<Y, X>;
  if (!q.fits<Y, X>()) return false;
  WinogradConv<Y, X> p(q.N, q.O, q.C, g, w, x, q.out[1], q.out[2], Y::zeros(q.pad[1]), X::zeros(q.pad[2]), q.in[1], q.in[2]);
  if (D::cost(p.grid.count, q.O, q.C) >= D::direct(q.N, q.in_pixels() / (Y::kStride * X::kStride), q.O, q.C)) return false;
  p.w_row = D::kTaps, p.w_channel = D::kTaps * q.C, p.flip = true;
  p.finish = Finish<float>::of(q, b);
  p.run();
  return true;
}

template <bool ODD>                           // padding
bool winograd_strided_transpose(const ConvGeometry& q, AnyFloats g, AnyFloats w, const float* b, AnyFloats x) {
  using Three = StrideTwoBack<ODD>;
  using Four = FourTapsStrideTwoBack<ODD>;
  return winograd_transpose<Three, Three>(q, g, w, b, x) || winograd_transpose<Four, Four>(q, g, w, b, x);
}

bool winograd_transpose(const ConvGeometry& q, AnyFloats g, AnyFloats w, const float* b, AnyFloats x) {
  if (winograd([&](auto v, auto u) { return winograd_transpose<decltype(v), decltype(u)>(q, g, w, b, x); })) return true;
  if (q.pad[1] % 2 != q.pad[2] % 2) return false;
  return q.pad[1] % 2 ? winograd_strided_transpose<true>(q, g, w, b, x) : winograd_strided_transpose<false>(q, g, w, b, x);
}

template <class T>
void transpose(const ConvGeometry& q, const T* g, const T* w, const T* b, T* x) {
  if (q.N == 0 || q.C == 0 || q.in_pixels() == 0) return;
  if (WholeImage<T>::fits(q)) return WholeImage<T>{q}.transpose(g, w, b, x);
  if constexpr (sizeof(T) == 4) {
    if (Depthwise::fits(q)) return Depthwise(q).transpose(g, w, b, x);
    if (winograd_transpose(q, g, w, b, x)) return;
    if (const QuarterKernels k{q}; k.fits(q) && k.transpose_pays()) return k.transpose(g, w, b, x);
  }
  if (OnePixel<T>::fits(q)) return OnePixel<T>{q}.transpose(g, w, b, x);
  Products<T> p;
  p.N = q.N, p.G = q.G, p.Ks = q.Og(), p.M = q.Cg();
  p.src = g, p.dst = x, p.finish = Finish<T>::of(q, b);
  p.src_plane = q.out_pixels(), p.dst_plane = q.in_pixels();
  p.width = q.in[2];
  p.lanes = better_in_lanes<T>(p.M, p.Ks * q.taps() / (q.stride[0] * q.stride[1] * q.stride[2]));
  int64_t lead[3];
  for (int d = 0; d < 3; ++d) {
    lead[d] = (q.k[d] - 1) * q.dil[d] / q.stride[d];
    p.pad.size[d] = q.out[d];
    p.pad.front[d] = lead[d];
    p.pad.full[d] = (q.in[d] - 1 + q.pad[d]) / q.stride[d] + lead[d] + 1;
  }
  p.pad.steps[0] = p.pad.steps[1] = 1;
  p.unpacked = !p.lanes && better_direct<T>(p.M, (q.in[1] + q.stride[1] - 1) / q.stride[1],
                                            (q.in[2] + q.stride[2] - 1) / q.stride[2], p.pad.pitch(), q.N * q.G);
  const int64_t all = q.taps(), steps = q.stride[0] * q.stride[1] * q.stride[2];
  int64_t size[3];
  for (int d = 0; d < 3; ++d) size[d] = (q.in[d] + q.stride[d] - 1) / q.stride[d];
  const double others = p.cost(static_cast<double>(all) / static_cast<double>(steps), size, steps, 1);
  if (images_are_faster(ImageProducts<T>{q, false, g, w, p.finish, x}, others)) return;
  Scratch<Phase<T>> phases(steps);
  Scratch<int64_t> offsets(p.Ks * all), from(p.Ks * all), taps(all);
  Scratch<T> weights(q.G * p.Ks * all * (2 * p.M + 2 * Simd<T>::lanes + kMR));
  int64_t* next_offset = offsets;
  int64_t* next_tap = taps;
  T* next_weight = weights;
  p.nphases = 0;
  bool gaps = false;
  for (int64_t rz = 0; rz < q.stride[0]; ++rz)
    for (int64_t ry = 0; ry < q.stride[1]; ++ry)
      for (int64_t rx = 0; rx < q.stride[2]; ++rx) {
        const Residue z = residue(q, 0, rz), y = residue(q, 1, ry), v = residue(q, 2, rx);
        if (z.count * y.count * v.count == 0) continue;
        Phase<T>& f = phases[p.nphases++];
        f.px = Pixels();
        f.px.n[0] = z.count, f.px.n[1] = y.count, f.px.n[2] = v.count;
        f.px.read[0] = p.pad.plane(), f.px.read[1] = p.pad.pitch();
        f.px.base = p.pad.at(z.q + lead[0], y.q + lead[1], v.q + lead[2]);
        f.px.write[0] = q.stride[0] * q.in[1] * q.in[2];
        f.px.write[1] = q.stride[1] * q.in[2];
        f.px.write[2] = q.stride[2];
        f.px.write_base = (z.first * q.in[1] + y.first) * q.in[2] + v.first;
        f.taps = 0;
        f.offsets = next_offset;
        f.tap = next_tap;
        for (int64_t t = 0; t < all; ++t) {
          const int64_t tz = t / (q.k[1] * q.k[2]) * q.dil[0], ty = t / q.k[2] % q.k[1] * q.dil[1], tx = t % q.k[2] * q.dil[2];
          if (tz % q.stride[0] != rz || ty % q.stride[1] != ry || tx % q.stride[2] != rx) continue;
          *next_tap++ = t;
          f.offsets[f.taps++] = -(tz / q.stride[0] * p.pad.plane() + ty / q.stride[1] * p.pad.pitch() + tx / q.stride[2]);
        }
        f.K = p.Ks * f.taps;
        if (f.taps == 0 && !p.lanes) {        // no tap reaches these pixels
          --p.nphases;
          gaps = true;
          continue;
        }
        for (int64_t o = 1; o < p.Ks; ++o)
          for (int64_t t = 0; t < f.taps; ++t) f.offsets[o * f.taps + t] = f.offsets[t] + o * p.pad.channel();
        next_offset += f.K;
        f.weights = next_weight;
        next_weight += q.G * p.weight_size(f);
        if (p.lanes) continue;
        for (int64_t k = 0; k < f.K; ++k) from[k] = k / f.taps * p.M * all + f.tap[k % f.taps];
        pack_phase(p, f, w, p.Ks * p.M * all, all, from);
      }
  if (gaps) {
    const int64_t per = std::max<int64_t>(1, 65536 / p.dst_plane), planes = q.N * q.C;
    parallel_for((planes + per - 1) / per, [&](int64_t job) {
      for (int64_t i = job * per; i < std::min(planes, (job + 1) * per); ++i)
        set_run(x + i * p.dst_plane, std::max(p.finish.start(i % q.C), p.finish.low), p.dst_plane);
    });
  }
  p.phases = phases;
  if (p.lanes) LaneProducts<T>{p}.pack(w, p.Ks * p.M * all, all, p.Ks, p.M * all, all);
  p.run();
}

void conv_input_infer(const Call& c, Meta* m) {
  const int rank = c.in[0]->ndim - 2;
  infer(c, *c.in[0], c.in[0]->shape[0], c.in[1]->shape[1] * c.inum(3 * rank), m);
}

void conv_input_run(const Call& c) {
  const ConvGeometry q = geometry(c, nullptr, c.in[0], c.in[1]);
  if (is_half(c.out[0]->dtype)) {
    const bool none = q.N == 0 || q.C == 0 || q.in_pixels() == 0;
    return in_halves(c, !none && !WholeImage<float>::fits(q), winograd_transpose, transpose<float>, q);
  }
  floating(c.out[0]->dtype, "slow_conv_transpose2d_out_cpu", [&](auto z) {
    using T = decltype(z);
    transpose<T>(q, c.in[0]->ptr<T>(), c.in[1]->ptr<T>(), c.in[2] ? c.in[2]->ptr<T>() : nullptr, c.out[0]->ptr<T>());
  });
}
RL_KERNEL_ROWS(conv_input, 1, conv_input_infer, conv_input_run, 0b1111)

}  // namespace
}  // namespace rl
