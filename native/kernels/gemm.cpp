// matmul (batched, any strides) and linear (x W^T + b).
#include "product_bf16.h"

namespace rl {
namespace {

// One matrix of a batch.
template <class M, class T>
M matrix(const Array& a, int64_t at) {
  return {a.ptr<T>() + at, a.strides[a.ndim - 2], a.strides[a.ndim - 1]};
}

// Offset of batch b in `a`, whose batch dimensions are the out's (expanded, stride 0 where broadcast).
int64_t batch_offset(const Array& a, const Array& out, int64_t b) {
  int64_t at = 0;
  for (int d = out.ndim - 3; d >= 0; --d) {
    int j = d - (out.ndim - a.ndim);
    int64_t i = b % out.shape[d];
    b /= out.shape[d];
    if (j >= 0 && a.shape[j] != 1) at += i * a.strides[j];
  }
  return at;
}

// matmul(a, b): a (..., M, K), b (..., K, N), batch dimensions broadcast.
void matmul_infer(const Call& c, Meta* m) {
  const Array &a = *c.in[0], &b = *c.in[1];
  m->dtype = a.dtype;
  m->ndim = a.ndim > b.ndim ? a.ndim : b.ndim;
  for (int i = 0; i < m->ndim - 2; ++i) {
    int ia = i - (m->ndim - a.ndim), ib = i - (m->ndim - b.ndim);
    int64_t sa = ia >= 0 ? a.shape[ia] : 1, sb = ib >= 0 ? b.shape[ib] : 1;
    m->shape[i] = sa == 1 ? sb : sa;
  }
  m->shape[m->ndim - 2] = a.shape[a.ndim - 2];
  m->shape[m->ndim - 1] = b.shape[b.ndim - 1];
}

template <class T>
void matmul_integers(const Call& c) {
  const Array &out = *c.out[0], &a = *c.in[0], &b = *c.in[1];
  const int64_t M = out.shape[out.ndim - 2], N = out.shape[out.ndim - 1], K = a.shape[a.ndim - 1];
  const int64_t batches = (M > 0 && N > 0) ? out.numel / (M * N) : 0;
  parallel_for(batches, [&](int64_t k) {
    const auto A = matrix<Matrix<T>, T>(a, batch_offset(a, out, k)), B = matrix<Matrix<T>, T>(b, batch_offset(b, out, k));
    T* C = out.ptr<T>() + k * M * N;
    for (int64_t i = 0; i < M; ++i) {
      for (int64_t j = 0; j < N; ++j) C[i * N + j] = T(0);
      for (int64_t p = 0; p < K; ++p)
        for (int64_t j = 0; j < N; ++j)
          C[i * N + j] = static_cast<T>(C[i * N + j] + A.p[i * A.rs + p * A.cs] * B.p[p * B.rs + j * B.cs]);
    }
  });
}

// multiply(M, N, K, A, B, C, parallel) for each matrix of the batch.
template <class Factor, class T, class F>
void each_product(const Call& c, const F& multiply) {
  const Array &out = *c.out[0], &a = *c.in[0], &b = *c.in[1];
  const int64_t M = out.shape[out.ndim - 2], N = out.shape[out.ndim - 1], K = a.shape[a.ndim - 1];
  const int64_t batches = (M > 0 && N > 0) ? out.numel / (M * N) : 0;
  auto one = [&](int64_t k, bool parallel) {
    multiply(M, N, K, matrix<Factor, T>(a, batch_offset(a, out, k)), matrix<Factor, T>(b, batch_offset(b, out, k)),
             out.ptr<T>() + k * M * N, parallel);
  };
  if (batches == 1) {
    one(0, M * N * K > 1000000);
  } else {
    // Batches are cut into jobs of at least ~0.5 MFLOP.
    const int64_t work = M * N * K + 1;
    const int64_t per = work >= 500000 ? 1 : 500000 / work;
    parallel_for((batches + per - 1) / per, [&](int64_t g) {
      for (int64_t k = g * per; k < batches && k < (g + 1) * per; ++k) one(k, false);
    });
  }
}

template <class T>
void matmul_floats(const Call& c) {
  each_product<Matrix<T>, T>(c, [](int64_t M, int64_t N, int64_t K, const Matrix<T>& A, const Matrix<T>& B, T* C, bool parallel) {
    gemm_serial_or_parallel<T>(M, N, K, A, B, C, N, false, Epilogue<T>{}, parallel);
  });
}

void matmul_run(const Call& c) {
  const Array& out = *c.out[0];
#ifdef RL_BF16
  if (out.dtype == DType::bf16)
    return each_product<HalfMatrix, bfloat16>(
        c, [](int64_t M, int64_t N, int64_t K, const HalfMatrix& A, const HalfMatrix& B, bfloat16* C, bool parallel) {
          half_product(M, N, K, A, B, C, N, {}, parallel);
        });
#endif
  all_types(out.dtype, "addmm_impl_cpu_", [&](auto z) {
    using T = decltype(z);
    if constexpr (std::is_floating_point_v<T>) matmul_floats<T>(c);
    else if constexpr (std::is_same_v<T, bool>) not_implemented("addmm_impl_cpu_", DType::b8);
    else matmul_integers<T>(c);
  });
}
RL_KERNEL_HALF(matmul, 1, matmul_infer, matmul_run, bf16_products() ? kBFloat16 : 0)

// linear(x, w, b; relu = 0): x (..., K), w (N, K), b (N) or None; with `relu`, relu of it. x is contiguous but for its last two dimensions.
void linear_infer(const Call& c, Meta* m) {
  m->like(*c.in[0]);
  m->shape[m->ndim - 1] = c.in[1]->shape[0];
}

// The matrices of the product, of type Factor.
template <class Factor, class T>
struct Linear {
  const Array &x, &w;
  const int64_t K = w.shape[1], N = w.shape[0];
  // Contiguous inputs may have any stride in a dimension of size 1, so only a matrix's own is used.
  Factor A{x.ptr<T>(), x.ndim == 2 ? x.strides[0] : K, x.strides[x.ndim - 1]};
  Factor B{w.ptr<T>(), w.strides[1], w.strides[0]};
};

template <class T>
void linear_floats(const Call& c, int64_t M, bool relu) {
  const Linear<Matrix<T>, T> f{*c.in[0], *c.in[1]};
  Epilogue<T> e;
  if (c.in[2]) e.col_bias = c.in[2]->ptr<T>();
  e.relu = relu;
  gemm<T>(M, f.N, f.K, f.A, f.B, c.out[0]->ptr<T>(), f.N, false, e);
}

void linear_run(const Call& c) {
  const Array& out = *c.out[0];
  const int64_t N = c.in[1]->shape[0], M = N ? out.numel / N : 0;
  const bool relu = c.nnum > 0 && c.inum(0);
#ifdef RL_BF16
  if (out.dtype == DType::bf16) {
    const Linear<HalfMatrix, bfloat16> f{*c.in[0], *c.in[1]};
    return half_product(M, N, f.K, f.A, f.B, out.ptr<bfloat16>(), N, {c.in[2] ? c.in[2]->ptr<bfloat16>() : nullptr, relu},
                        M * N * f.K > 1000000);
  }
#endif
  floating(out.dtype, "addmm_impl_cpu_", [&](auto z) { linear_floats<decltype(z)>(c, M, relu); });
}
RL_KERNEL_HALF(linear, 1, linear_infer, linear_run, bf16_products() ? kBFloat16 : 0)

}  // namespace
}  // namespace rl
