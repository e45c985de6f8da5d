// Convolution in Winograd's domain: the forward pass and, with flipped weights, the input gradient.
//
// With many channels tiles are taken in slabs, whose transforms stay in the cache. A job is a panel of output channels and a
// range of tiles: it takes blocks of input channels, multiplies, and transforms the sums back. The weights' transform is made
// once if it is small, and else by each job for itself, so that it never goes through memory. Jobs are in the order of tiles,
// so that a thread multiplies those that it has transformed, and these are of images that other kernels have given it, too.
#pragma once

#include "conv.h"
#include "winograd.h"

namespace rl {
namespace {

template <class Y, class X>
struct WinogradConv {
  using D = Winograd<Y, X>;
  static constexpr int64_t L = D::L;
  static constexpr int64_t kChannelBlock = 64;                 // input channels that are summed in registers
  static constexpr int64_t kSlabBytes = int64_t{4} << 20, kSharedBytes = int64_t{4} << 20;
  // Few channels: transforms of a block of tiles, and the weights, that stay in a core's own cache.
  static constexpr int64_t kBlockBytes = int64_t{400} << 10, kBlockWeights = int64_t{1300} << 10;

  int64_t C, M;                               // channels of the source and of the result
  AnyFloats w;
  int64_t w_row, w_channel;                   // strides of a result's and of a source's channel
  bool flip;
  Finish<float> finish;
  AnyFloats out;
  int64_t OH, OW;
  typename D::Image image;
  typename D::Grid grid;
  int64_t k_block, panels;                    // panels of two vectors

  // Source (N, C, H, W), result (N, M, OH, OW), y0 and x0 zeros before.
  WinogradConv(int64_t n, int64_t c, int64_t m, AnyFloats src, AnyFloats weights, AnyFloats result, int64_t H, int64_t W, int64_t y0, int64_t x0, int64_t oh,
               int64_t ow)
      : C(c), M(m), w(weights), out(result), OH(oh), OW(ow), image{src, c, H, W, y0, x0}, grid(n, oh, ow), k_block(D::even(c, kChannelBlock)),
        panels((D::blocks(m) + 1) / 2) {}

  int64_t vecs(int64_t panel) const { return std::min<int64_t>(2, D::blocks(M) - 2 * panel); }

  // Channels [k0, k0 + kc) of a panel's weights: u[element][k][lane].
  void weights_in(int64_t panel, int64_t k0, int64_t kc, float* u, int64_t element) const {
    constexpr int64_t kMost = 8;
    float taps[D::kTaps * kMost * L];
    const int64_t lanes = vecs(panel) * L;
    for (int64_t h = 0; h < vecs(panel); ++h) {
      const int64_t m = (2 * panel + h) * L;
      for (int64_t k = 0; k < kc;) {
        const int64_t n = w_channel == D::kTaps ? std::min(kMost, kc - k) : 1;
        w.load(m * w_row + (k0 + k) * w_channel, w_row, D::kTaps * n, M - m, taps);
        for (int64_t i = 0; i < n; ++i, ++k) {
          const float* s = taps + (D::kTaps * i + (flip ? D::kTaps - 1 : 0)) * L;
          const int64_t by = flip ? -L : L;
          float* o = u + k * lanes + h * L;
          D::template both<typename D::Weight>([&](int r, int j) { return Simd<float>::load(s + (X::R * r + j) * by); },
                             [&](int r, int j, typename D::V v) { Simd<float>::store(o + (r * X::kWeights + j) * element, v); });
        }
      }
    }
  }

  // Tiles [t0, t1) of a panel's sums become pixels: sums[element][tile][lane].
  void tiles_out(int64_t panel, int64_t t0, int64_t t1, const float* sums, int64_t element) const {
    const int64_t lanes = vecs(panel) * L, most = D::kAcross * std::min(grid.TX, t1 - t0) * L;
    Scratch<float> lines(D::kDown * most);
    for (int64_t h = 0; h < vecs(panel); ++h) {
      const int64_t m = (2 * panel + h) * L;
      typename D::V add = {};
      for (int64_t i = 0; i < std::min(L, M - m); ++i) add[i] = finish.start(m + i);
      for (int64_t t = t0; t < t1;) {
        const int64_t row = t / grid.TX, x = t % grid.TX, n = std::min(grid.TX - x, t1 - t);
        for (int64_t k = 0; k < n; ++k) {
          const float* s = sums + (t + k - t0) * lanes + h * L;
          float* o = lines + D::kAcross * k * L;
          D::template both<typename D::Output>([&](int r, int j) { return Simd<float>::load(s + (r * X::kDomain + j) * element); },
                             [&](int r, int j, typename D::V v) { Simd<float>::store(o + r * most + j * L, finish(v + add)); });
        }
        const int64_t y = row % grid.TY * D::kDown, left = x * D::kAcross, width = std::min(D::kAcross * n, OW - left);
        const int64_t to = ((row / grid.TY * M + m) * OH + y) * OW + left;
        for (int64_t i = 0; i < std::min<int64_t>(D::kDown, OH - y); ++i)
          out.store(lines + i * most, width, M - m, to + i * OW, OH * OW);
        t += n;
      }
    }
  }

  // All weights: those of block kb of channels and a panel are at (panel * k_blocks + kb) * u_size.
  void all_weights(float* u, int64_t u_size, int64_t u_element) const {
    const int64_t k_blocks = (C + k_block - 1) / k_block;
    parallel_for(panels * k_blocks, [&](int64_t i) {
      const int64_t k0 = i % k_blocks * k_block;
      weights_in(i / k_blocks, k0, std::min(k_block, C - k0), u + i * u_size, u_element);
    });
  }

  // Sums over channels [k0, k0 + kc) of n tiles, whose channel 0 is at v: sums[element][tile][lane].
  void multiply(int64_t panel, int64_t n, int64_t k0, int64_t kc, const float* v, int64_t v_element, int64_t pitch,
                const float* weights, int64_t u_element, float* sums, int64_t element) const {
    const int64_t vs = vecs(panel), height = D::even(n, kMR);
    for (int e = 0; e < D::kDomain; ++e)
      for (int64_t t = 0; t < n; t += height)
        D::multiply(static_cast<int>(vs), static_cast<int>(std::min(height, n - t)), kc, v + e * v_element + t * pitch + k0,
                    pitch, 1, weights + D::weight_of(e) * u_element, sums + e * element + t * vs * L, k0 > 0);
  }

  // Few channels: a thread takes some tiles from pixels to pixels, and nothing leaves its cache in between.
  void run_blocks() const {
    const int64_t pitch = D::blocks(C) * L, u_element = D::odd_lines(C * 2 * L), u_size = D::kWeights * u_element;
    Scratch<float> u(panels * u_size);
    all_weights(u, u_size, u_element);
    const int64_t block = std::max<int64_t>(1, kBlockBytes / (D::kDomain * (pitch + 2 * L) * 4 * kMR)) * kMR;
    parallel_for((grid.count + block - 1) / block, [&](int64_t i) {
      const int64_t t0 = i * block, t1 = std::min(grid.count, t0 + block), n = t1 - t0;
      const int64_t v_element = D::odd_lines(n * pitch), element = D::odd_lines(n * 2 * L);
      Scratch<float> v(D::kDomain * v_element), sums(D::kDomain * element);
      for (int64_t c = 0; c < C; c += L) D::template tiles_in<typename D::Input>(image, grid, t0, t1, c, {v + c, v_element, pitch, t0});
      for (int64_t panel = 0; panel < panels; ++panel) {
        multiply(panel, n, 0, C, v, v_element, pitch, u + panel * u_size, u_element, sums, element);
        tiles_out(panel, t0, t1, sums, element);
      }
    });
  }

  void run() const {
    if (C <= kChannelBlock && D::kWeights * C * panels * 2 * L * 4 <= kBlockWeights) return run_blocks();
    const int64_t pitch = D::odd_lines(D::blocks(C) * L), lanes = 2 * L;
    const int64_t ranges_most = (panels >= 4 ? 112 : 56) * 36 / D::kDomain;
    int64_t slab = std::max<int64_t>(ranges_most, kSlabBytes / (D::kDomain * pitch * 4));
    if (slab >= grid.TX) slab = slab / grid.TX * grid.TX;
    slab = D::even(grid.count, std::max<int64_t>(slab, 1));
    const int64_t u_element = D::odd_lines(k_block * lanes), k_blocks = (C + k_block - 1) / k_block;
    const int64_t u_size = D::kWeights * u_element;
    const bool shared = panels * k_blocks * u_size * 4 <= kSharedBytes && grid.count > ranges_most;
    Scratch<float> u(shared ? panels * k_blocks * u_size : 0);
    if (shared) all_weights(u, u_size, u_element);
    const int64_t v_element = D::odd_lines(slab * pitch);
    Scratch<float> v(D::kDomain * v_element);
    for (int64_t s0 = 0; s0 < grid.count; s0 += slab) {
      const int64_t s1 = std::min(grid.count, s0 + slab);
      const int64_t chunk = std::max<int64_t>(1, 64 / grid.TX) * grid.TX, chunks = (s1 - s0 + chunk - 1) / chunk;
      parallel_for(chunks * D::blocks(C), [&](int64_t i) {
        const int64_t t0 = s0 + i / D::blocks(C) * chunk, c = i % D::blocks(C) * L;
        D::template tiles_in<typename D::Input>(image, grid, t0, std::min(s1, t0 + chunk), c, {v + c, v_element, pitch, s0});
      });
      const int64_t range = D::even(s1 - s0, ranges_most), ranges = (s1 - s0 + range - 1) / range;
      parallel_for(panels * ranges, [&](int64_t i) {
        const int64_t panel = i % panels, t0 = s0 + i / panels * range, t1 = std::min(s1, t0 + range), n = t1 - t0;
        const int64_t m_element = D::odd_lines(n * vecs(panel) * L);
        Scratch<float> sums(D::kDomain * m_element), own(shared ? 0 : u_size);
        for (int64_t kb = 0; kb < k_blocks; ++kb) {
          const int64_t k0 = kb * k_block, kc = std::min(k_block, C - k0);
          const float* weights = shared ? u + (panel * k_blocks + kb) * u_size : own.p;
          if (!shared) weights_in(panel, k0, kc, own, u_element);
          multiply(panel, n, k0, kc, v + (t0 - s0) * pitch, v_element, pitch, weights, u_element, sums, m_element);
        }
        tiles_out(panel, t0, t1, sums, m_element);
      });
    }
  }
};

}  // namespace
}  // namespace rl
