// Convolution whose kernel covers the whole image: one matrix product, and so are its gradients.
#pragma once

#include "conv.h"
#include "product.h"

namespace rl {
namespace {

// x: N x C * taps, w: O x C * taps, y: N x O.
template <class T>
struct WholeImage {
  const ConvGeometry& q;

  static bool fits(const ConvGeometry& q) {
    bool all = q.G == 1;
    for (int d = 0; d < 3; ++d)
      all = all && q.pad[d] == 0 && q.out[d] == 1 && q.k[d] == q.in[d] && (q.dil[d] == 1 || q.k[d] == 1);
    return all;
  }

  int64_t K() const { return q.C * q.taps(); }

  void forward(const T* x, const T* w, const T* b, T* y) const {
    Epilogue<T> e;
    e.relu = q.relu;
    if (q.O == 1) {                           // a row of y, for its dot products
      e.row_bias = b;
      return gemm<T>(1, q.N, K(), Matrix<T>{w, K(), 1}, Matrix<T>{x, 1, K()}, y, q.N, false, e);
    }
    e.col_bias = b;
    gemm<T>(q.N, q.O, K(), Matrix<T>{x, K(), 1}, Matrix<T>{w, 1, K()}, y, q.O, false, e);
  }

  void transpose(const T* g, const T* w, const T* b, T* x) const {
    Scratch<T> bias(b ? K() : 0);
    Epilogue<T> e;
    e.relu = q.relu;
    if (b) {
      for (int64_t k = 0; k < K(); ++k) bias[k] = b[k / q.taps()];
      e.col_bias = bias;
    }
    gemm<T>(q.N, K(), q.O, Matrix<T>{g, q.O, 1}, Matrix<T>{w, K(), 1}, x, K(), false, e);
  }

  void weight(const T* x, const T* g, T* w) const {
    gemm<T>(q.O, K(), q.N, Matrix<T>{g, 1, q.O}, Matrix<T>{x, K(), 1}, w, K(), false, Epilogue<T>{});
  }
};

}  // namespace
}  // namespace rl
