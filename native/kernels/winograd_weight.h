// The weight gradient in Winograd's domain: w = G' [ sum_tiles (A g A') o (B' d B) ] G.
//
// Many channels, slab by slab of tiles: both transforms, then jobs of some input channels (rows) by a panel of output channels
// (lanes), whose inner dimension is tiles. Each slab's sums are transformed back and added to w, in the order of the slabs.
#pragma once

#include "winograd.h"

namespace rl {
namespace {

template <class Y, class X>
struct WinogradWeight {
  using D = Winograd<Y, X>;
  static constexpr int64_t kTaps = D::kTaps;
  static constexpr int64_t L = D::L;
  static constexpr int64_t kTileBlock = 64;                    // tiles that are summed in registers
  static constexpr int64_t kSlabBytes = int64_t{6} << 20;
  // Few channels: transforms of a block of tiles that stay in a core's own cache, and how many sums do.
  static constexpr int64_t kBlockBytes = int64_t{400} << 10, kBlockSums = 4096;

  int64_t C, O;
  typename D::Image x, g;
  typename D::Grid grid;
  float* w;                                   // (O, C, kTaps)

  int64_t vecs(int64_t panel) const { return std::min<int64_t>(2, D::blocks(O) - 2 * panel); }

  // Sums of channels [c0, c0 + n) and a panel become taps of w: sums[element][channel][lane].
  void taps_out(int64_t panel, int64_t c0, int64_t n, const float* sums, int64_t element, bool add) const {
    const int64_t lanes = vecs(panel) * L;
    float taps[kMR * kTaps * L], rows[L * kMR * kTaps];
    for (int64_t h = 0; h < vecs(panel); ++h) {
      const int64_t o = (2 * panel + h) * L, outs = std::min(L, O - o);
      for (int64_t c = 0; c < n; ++c) {
        const float* s = sums + c * lanes + h * L;
        float* t = taps + c * kTaps * L;
        D::template both<typename D::Taps>([&](int r, int j) { return Simd<float>::load(s + (r * X::kDomain + j) * element); },
                         [&](int r, int j, typename D::V v) { Simd<float>::store(t + (X::R * r + j) * L, v); });
      }
      float* to = w + (o * C + c0) * kTaps;
      if (!add) {
        channels_first<float>(taps, kTaps * n, outs, to, kTaps * C);
        continue;
      }
      channels_first<float>(taps, kTaps * n, outs, rows, kMR * kTaps);
      for (int64_t i = 0; i < outs; ++i)
        for (int64_t k = 0; k < kTaps * n; ++k) to[i * kTaps * C + k] += rows[i * kMR * kTaps + k];
    }
  }

  // Few channels: a thread takes some tiles from pixels to sums, block by block, and nothing but the sums of its part of the
  // tiles leaves its cache. The parts' sums are added in order.
  void run_parts(int64_t parts) const {
    const int64_t pitch = D::blocks(C) * L, panels = (D::blocks(O) + 1) / 2, u_pitch = panels * 2 * L;
    const int64_t height = D::even(C, kMR), groups = (C + height - 1) / height;
    const int64_t element = D::odd_lines(C * 2 * L), panel_size = D::kDomain * element;
    const int64_t most = block_tiles();
    Scratch<float> sums(parts * panels * panel_size);
    parallel_for(parts, [&](int64_t part) {
      const int64_t first = grid.count * part / parts, end = grid.count * (part + 1) / parts, block = D::even(end - first, most);
      const int64_t v_element = D::odd_lines(block * pitch), u_element = D::odd_lines(block * 2 * L), u_panel = D::kGradients * u_element;
      Scratch<float> v(D::kDomain * v_element), u(panels * u_panel);
      for (int64_t t0 = first; t0 < end; t0 += block) {
        const int64_t t1 = std::min(end, t0 + block);
        for (int64_t c = 0; c < C; c += L) D::template tiles_in<typename D::Input>(x, grid, t0, t1, c, {v + c, v_element, pitch, t0});
        for (int64_t b = 0; b < D::blocks(O); ++b)
          D::template tiles_in<typename D::Gradient>(g, grid, t0, t1, b * L,
                                                     {u + b / 2 * u_panel + b % 2 * L, u_element, vecs(b / 2) * L, t0});
        for (int64_t panel = 0; panel < panels; ++panel)
          for (int e = 0; e < D::kDomain; ++e)
            for (int64_t c = 0; c < C; c += height)
              D::multiply(static_cast<int>(vecs(panel)), static_cast<int>(std::min(height, C - c)), t1 - t0, v + e * v_element + c, 1,
                          pitch, u + panel * u_panel + D::gradient_of(e) * u_element,
                          sums + (part * panels + panel) * panel_size + e * element + c * vecs(panel) * L, t0 > first);
      }
    });
    parallel_for(panels * groups, [&](int64_t i) {
      const int64_t panel = i / groups, c = i % groups * height, rows = std::min(height, C - c), n = rows * vecs(panel) * L;
      Scratch<float> total(D::kDomain * n);
      for (int e = 0; e < D::kDomain; ++e)
        for (int64_t j = 0; j < n; j += L) {
          const float* s = sums + panel * panel_size + e * element + c * vecs(panel) * L + j;
          typename D::V sum = Simd<float>::load(s);
          for (int64_t part = 1; part < parts; ++part) sum += Simd<float>::load(s + part * panels * panel_size);
          Simd<float>::store(total + e * n + j, sum);
        }
      taps_out(panel, c, rows, total, n, false);
    });
  }

  // Tiles of a block, whose transforms stay in a core's own cache.
  int64_t block_tiles() const {
    const int64_t panels = (D::blocks(O) + 1) / 2;
    return std::clamp<int64_t>(kBlockBytes / (4 * L * (D::kDomain * D::blocks(C) + D::kGradients * 2 * panels)), 16, kTileBlock);
  }

  void run() const {
    const int64_t parts = std::min<int64_t>(grid.count / (4 * block_tiles()), C * O <= 2048 ? 8 : 4);
    if (C * O <= kBlockSums && parts > 1) return run_parts(parts);                      // one part would be one thread
    const int64_t pitch = D::odd_lines(D::blocks(C) * L), panels = (D::blocks(O) + 1) / 2;
    const int64_t per_tile = 4 * (D::kDomain * pitch + D::kGradients * D::blocks(O) * L);
    int64_t slab = std::max<int64_t>(2 * kTileBlock, kSlabBytes / per_tile);
    if (slab >= grid.TX) slab = slab / grid.TX * grid.TX;
    slab = D::even(grid.count, slab);
    const int64_t v_element = D::odd_lines(slab * pitch), u_element = D::odd_lines(slab * 2 * L), u_panel = D::kGradients * u_element;
    const int64_t height = D::even(C, kMR), groups = (C + height - 1) / height;
    Scratch<float> v(D::kDomain * v_element), u(panels * u_panel);
    for (int64_t s0 = 0; s0 < grid.count; s0 += slab) {
      const int64_t s1 = std::min(grid.count, s0 + slab), n = s1 - s0;
      const int64_t chunk = std::max<int64_t>(1, 64 / grid.TX) * grid.TX, chunks = (n + chunk - 1) / chunk;
      parallel_for(chunks * (D::blocks(C) + D::blocks(O)), [&](int64_t i) {
        const int64_t all = D::blocks(C) + D::blocks(O), t0 = s0 + i / all * chunk, t1 = std::min(s1, t0 + chunk), c = i % all * L;
        if (c < C) return D::template tiles_in<typename D::Input>(x, grid, t0, t1, c, {v + c, v_element, pitch, s0});
        const int64_t b = i % all - D::blocks(C), lanes = vecs(b / 2) * L;
        D::template tiles_in<typename D::Gradient>(g, grid, t0, t1, b * L, {u + b / 2 * u_panel + b % 2 * L, u_element, lanes, s0});
      });
      const int64_t block = D::even(n, kTileBlock);
      parallel_for(panels * groups, [&](int64_t i) {
        const int64_t panel = i / groups, c0 = i % groups * height, rows = std::min(height, C - c0), lanes = vecs(panel) * L;
        const int64_t element = D::odd_lines(rows * lanes);
        Scratch<float> sums(D::kDomain * element);
        for (int e = 0; e < D::kDomain; ++e)
          for (int64_t t = 0; t < n; t += block)
            D::multiply(static_cast<int>(lanes / L), static_cast<int>(rows), std::min(block, n - t),
                        v + e * v_element + t * pitch + c0, 1, pitch, u + panel * u_panel + D::gradient_of(e) * u_element + t * lanes,
                        sums + e * element, t > 0);
        taps_out(panel, c0, rows, sums, element, s0 > 0);
      });
    }
  }
};

}  // namespace
}  // namespace rl
