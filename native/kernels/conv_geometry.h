// How a convolution kernel's arguments become a geometry, a padded copy and its offsets.
#pragma once

#include "conv.h"

namespace rl {
namespace {

struct Numbers {
  const Call& c;
  int rank, at = 0;
  void take(int64_t* out, int64_t lead) {
    for (int d = 0; d < 3 - rank; ++d) out[d] = lead;
    for (int d = 0; d < rank; ++d) out[3 - rank + d] = c.inum(at++);
  }
};

inline void spatial(const Array& a, int64_t* out) {
  const int rank = a.ndim - 2;
  for (int d = 0; d < 3 - rank; ++d) out[d] = 1;
  for (int d = 0; d < rank; ++d) out[3 - rank + d] = a.shape[2 + d];
}

// Along one dimension, a kernel dilated by d meets every d-th pixel: the line is an image of rows of d pixels, along whose columns the
// taps are neighbours.
inline void fold_dilation(ConvGeometry& q) {
  constexpr int64_t kRow = 4, kChannels = 16;                // shorter rows, or few channels, are slower as an image
  const int64_t d = q.dil[2];
  if (d < kRow || q.G != 1 || std::min(q.C, q.O) < kChannels || q.stride[2] != 1 || q.k[2] == 1 || q.in[2] % d || q.out[2] % d || q.pad[2] % d) return;
  for (int i = 0; i < 2; ++i)
    if (q.in[i] * q.out[i] * q.k[i] != 1 || q.pad[i] != 0) return;
  q.in[1] = q.in[2] / d, q.out[1] = q.out[2] / d, q.pad[1] = q.pad[2] / d, q.k[1] = q.k[2], q.stride[1] = q.dil[1] = 1;
  q.in[2] = q.out[2] = d, q.pad[2] = 0, q.k[2] = q.dil[2] = 1;
}

// x, g, w: null for the one that is being computed, whose spatial size is in the numbers.
inline ConvGeometry geometry(const Call& c, const Array* x, const Array* g, const Array* w) {
  ConvGeometry q;
  Numbers n{c, (x ? x : g)->ndim - 2};
  n.take(q.stride, 1);
  n.take(q.pad, 0);
  n.take(q.dil, 1);
  q.G = c.inum(n.at++);
  if (x) spatial(*x, q.in);
  else n.take(q.in, 1);
  if (g) spatial(*g, q.out);
  else n.take(q.out, 1);
  if (w) spatial(*w, q.k);
  else n.take(q.k, 1);
  q.N = (x ? x : g)->shape[0];
  q.C = x ? x->shape[1] : w->shape[1] * q.G;
  q.O = g ? g->shape[1] : w->shape[0];
  q.relu = c.nnum > n.at && c.inum(n.at);
  fold_dilation(q);
  return q;
}

inline void infer(const Call& c, const Array& like, int64_t first, int64_t second, Meta* m) {
  m->dtype = like.dtype;
  m->ndim = like.ndim;
  m->shape[0] = first;
  m->shape[1] = second;
  const int rank = like.ndim - 2;
  for (int d = 0; d < rank; ++d) m->shape[2 + d] = c.inum(3 * rank + 1 + d);
}

template <class T>
Padded<T> padded_input(const ConvGeometry& q) {
  Padded<T> pad;
  for (int d = 0; d < 3; ++d) {
    pad.size[d] = q.in[d];
    pad.front[d] = q.pad[d];
    pad.full[d] = (q.out[d] - 1) * q.stride[d] + (q.k[d] - 1) * q.dil[d] + 1;
  }
  for (int d = 0; d < 2; ++d) pad.steps[d] = q.stride[1 + d], pad.one_tap[d] = q.k[1 + d] == 1;
  return pad;
}

// For reading single pixels: rows are not split into phases if `phases` is 1, and images without borders stay where they are.
template <class T>
Padded<T> plain_input(const ConvGeometry& q, int64_t phases) {
  Padded<T> pad = padded_input<T>(q);
  pad.steps[0] = 1;
  pad.steps[1] = phases;
  if (phases == 1 && q.pad[0] + q.pad[1] + q.pad[2] == 0) std::copy_n(q.in, 3, pad.full);
  return pad;
}

template <class T>
Pixels output_pixels(const ConvGeometry& q, const Padded<T>& pad) {
  Pixels px;
  for (int d = 0; d < 3; ++d) px.n[d] = q.out[d];
  px.read[0] = q.stride[0] * pad.plane();
  px.read[1] = q.stride[1] / pad.steps[0] * pad.pitch();
  px.step = q.stride[2] / pad.steps[1];
  px.base = px.write_base = 0;
  px.write[0] = q.out[1] * q.out[2];
  px.write[1] = q.out[2];
  px.write[2] = 1;
  return px;
}

template <class T>
void tap_offsets(const ConvGeometry& q, const Padded<T>& pad, int64_t channels, int64_t* out) {
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t z = 0; z < q.k[0]; ++z)
      for (int64_t y = 0; y < q.k[1]; ++y)
        for (int64_t x = 0; x < q.k[2]; ++x)
          *out++ = c * pad.channel() + pad.at(z * q.dil[0], y * q.dil[1], x * q.dil[2]);
}

}  // namespace
}  // namespace rl
