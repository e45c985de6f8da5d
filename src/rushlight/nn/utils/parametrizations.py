"""Parametrizations ready to use: orthogonal matrices, spectral norm one, magnitude apart from direction."""

from __future__ import annotations

import enum

from ... import _dtypes
from ...autograd.grad_mode import no_grad
from ...autograd.tensor import Tensor
from ...linalg import householder_product, matrix_exp, solve
from ...ops.algebra import allclose
from ...ops.creation import eye, zeros_like
from ...ops.matmul import matmul
from ...ops.matrix_maps import geqrf
from ...ops.norms import _weight_norm as _weight_of
from ...ops.norms import norm_except_dim
from ...ops.random import randn
from ...ops.shape import cat
from ...ops.similarity import normalize
from ..modules.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from ..modules.module import Module
from . import parametrize

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


def _tensor_of(module, name):
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    return weight


# -- orthogonal matrices ---------------------------------------------------------------------------------------------------


def _is_orthogonal(Q):
    n, k = Q.shape[-2:]
    return allclose(matmul(Q.mT, Q), eye(k, dtype=Q.dtype), atol=10.0 * n * _dtypes.finfo(Q.dtype).eps)


def _make_orthogonal(A):
    """The Q of A = QR whose R has no negative diagonal."""
    X, tau = geqrf(A)
    return householder_product(X, tau) * X.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)


class _OrthMaps(enum.Enum):
    matrix_exp = enum.auto()
    cayley = enum.auto()
    householder = enum.auto()


class _Orthogonal(Module):
    def __init__(self, weight, orthogonal_map, *, use_trivialization=True):
        super().__init__()
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def _skew(self, X, n, k):
        """X's lower triangle as a skew-symmetric matrix of n x n."""
        X = X.tril()
        if n != k:
            X = cat([X, X.new_zeros(*X.shape[:-2], n, n - k)], -1)
        return X - X.mT

    def forward(self, X):
        wide = X.size(-2) < X.size(-1)
        X = X.mT if wide else X
        n, k = X.shape[-2:]
        if self.orthogonal_map is _OrthMaps.householder:
            A = X.tril(diagonal=-1)
            Q = householder_product(A, 2.0 / (1.0 + (A * A).sum(-2)))
            # Signs, which are neither trained nor differentiated.
            Q = Q * X.diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)
        else:
            A = self._skew(X, n, k)
            if self.orthogonal_map is _OrthMaps.matrix_exp:
                Q = matrix_exp(A)
            else:
                one = eye(n, dtype=A.dtype)
                Q = solve(one - A * 0.5, one + A * 0.5)
            Q = Q if n == k else Q[..., :k]
        if hasattr(self, "base"):
            Q = matmul(self.base, Q)
        return Q.mT if wide else Q

    @no_grad()
    def right_inverse(self, Q):
        if Q.shape != self.shape:
            raise ValueError(f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of shape {Q.shape}.")
        given, wide = Q, Q.size(-2) < Q.size(-1)
        Q = Q.mT if wide else Q
        n, k = Q.shape[-2:]
        if not hasattr(self, "base"):
            if self.orthogonal_map is not _OrthMaps.householder:
                raise NotImplementedError("It is not possible to assign to the matrix exponential or the Cayley parametrizations "
                                          "when use_trivialization=False.")  # fmt: skip
            A, tau = geqrf(Q)
            # Q = (QS)(SR): signs that make R's diagonal positive; LAPACK says tau = 0 where it reflects nothing.
            A.diagonal(dim1=-2, dim2=-1).sign_()
            A.diagonal(dim1=-2, dim2=-1)[tau == 0.0] *= -1
            return A.mT if wide else A
        if n != k:
            Q = _make_orthogonal(cat([Q, randn(*Q.shape[:-2], n, n - k, dtype=Q.dtype)], -1))
        else:
            Q = Q.clone() if _is_orthogonal(Q) else _make_orthogonal(Q)
        self.base = Q
        # Every map takes -1 to 1: householder(-1) because the diagonal holds its signs.
        start = zeros_like(given)
        start.diagonal(dim1=-2, dim2=-1).fill_(-1.0)
        return start


def orthogonal(module: Module, name: str = "weight", orthogonal_map: str | None = None, *,
               use_trivialization: bool = True) -> Module:  # fmt: skip
    """Keeps a matrix (or each of a batch) orthogonal: Q^T Q = 1 if it is tall, Q Q^T = 1 if it is wide. Returns `module`.

    Args: `orthogonal_map`, from free parameters to orthogonal matrices: "matrix_exp" (the default of square matrices) and
    "cayley" take a skew-symmetric A to exp(A) and (1 + A/2)(1 - A/2)^-1, "householder" (the default of others) multiplies
    reflections; `use_trivialization`: the map is applied around a fixed matrix `base`, which is the initial value made
    orthogonal, so that training starts at zero.
    Raises: ValueError for a tensor that is not there or has one dimension, or for an unknown map.
    Reference: Lezcano-Casado, "Trivializations for Gradient-Based Optimization on Manifolds", 2019;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.parametrizations.orthogonal.html
    """
    weight = _tensor_of(module, name)
    if weight.ndim < 2:
        raise ValueError(f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions.")
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.size(-2) == weight.size(-1) else "householder"
    chosen = getattr(_OrthMaps, orthogonal_map, None)
    if chosen is None:
        raise ValueError(f'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: {orthogonal_map}')
    orth = _Orthogonal(weight, chosen, use_trivialization=use_trivialization)
    return parametrize.register_parametrization(module, name, orth, unsafe=True)


# -- weight normalisation --------------------------------------------------------------------------------------------------


class _WeightNorm(Module):
    def __init__(self, dim=0):
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g, weight_v):
        return _weight_of(weight_v, weight_g, self.dim)

    def right_inverse(self, weight):
        return norm_except_dim(weight, 2, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """w = g v / |v|: a weight's magnitude g (`original0`) and direction v (`original1`) are trained apart. Returns `module`.

    Args: `dim`: a magnitude for each index of this dimension; None, one for the whole weight.
    Reads checkpoints of the older `nn.utils.weight_norm` (`weight_g`, `weight_v`).
    Reference: Salimans and Kingma, "Weight Normalization", 2016;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.parametrizations.weight_norm.html
    """
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs):
        old = [f"{prefix}{name}_g", f"{prefix}{name}_v"]
        if all(key in state_dict for key in old):
            for i, key in enumerate(old):
                state_dict[f"{prefix}parametrizations.{name}.original{i}"] = state_dict.pop(key)

    module._register_load_state_dict_pre_hook(rename)
    return module


# -- spectral normalisation ------------------------------------------------------------------------------------------------


class _SpectralNorm(Module):
    def __init__(self, weight, n_power_iterations=1, dim=0, eps=1e-12):
        super().__init__()
        ndim = weight.ndim
        if dim >= ndim or dim < -ndim:
            raise IndexError(f"Dimension out of range (expected to be in range of [-{ndim}, {ndim - 1}] but got {dim})")
        if n_power_iterations <= 0:
            raise ValueError(f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}")
        self.dim = dim if dim >= 0 else dim + ndim
        self.eps = eps
        if ndim > 1:
            self.n_power_iterations = n_power_iterations
            matrix = self._reshape_weight_to_matrix(weight)
            h, w = matrix.size()
            u, v = (matrix.new_empty(n).normal_(0, 1) for n in (h, w))
            self.register_buffer("_u", normalize(u, dim=0, eps=eps))
            self.register_buffer("_v", normalize(v, dim=0, eps=eps))
            self._power_method(matrix, 15)

    def _reshape_weight_to_matrix(self, weight):
        if self.dim != 0:
            weight = weight.movedim(self.dim, 0)
        return weight.flatten(1)

    @no_grad()
    def _power_method(self, matrix, steps):
        # In place: the buffers stay the same tensors.
        for _ in range(steps):
            normalize(matrix.mv(self._v), dim=0, eps=self.eps, out=self._u)
            normalize(matrix.t().mv(self._u), dim=0, eps=self.eps, out=self._v)

    def forward(self, weight):
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = self._reshape_weight_to_matrix(weight)
        if self.training:
            self._power_method(matrix, self.n_power_iterations)
        # Copies, because the next forward overwrites the buffers before this one's backward may have run.
        u, v = self._u.clone(), self._v.clone()
        return weight / u.dot(matrix.mv(v))

    def right_inverse(self, value):
        return value


def spectral_norm(module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12,
                  dim: int | None = None) -> Module:  # fmt: skip
    """w / sigma(w): a weight divided by its largest singular value as a matrix (a vector: by its norm). Returns `module`.

    In training mode every use improves the estimate of the singular vectors by `n_power_iterations` of the power method.

    Args: `dim`, the dimension of the matrix's rows: 1 for transposed convolutions, else 0.
    Raises: ValueError for a tensor that is not there or no iterations, IndexError for a dimension out of range.
    Reference: Miyato et al., "Spectral Normalization for Generative Adversarial Networks", 2018;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.parametrizations.spectral_norm.html
    """
    weight = _tensor_of(module, name)
    if dim is None:
        dim = 1 if isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)) else 0
    return parametrize.register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))
