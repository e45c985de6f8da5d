"""Named tuples that reductions return, such as `max(x, dim)`: they unpack as tuples and print as PyTorch's."""

from __future__ import annotations

import operator

__all__ = ["named"]


def named(name: str, *fields: str):
    """A tuple type with these field names; made from its items."""

    def new(cls, *items):
        return tuple.__new__(cls, items[0] if len(items) == 1 else items)

    def text(self):
        items = ",\n".join(f"{f}={x!r}" for f, x in zip(fields, self, strict=True))
        return f"torch.return_types.{name}(\n{items})"

    body = {f: property(operator.itemgetter(i)) for i, f in enumerate(fields)}
    body |= {"__slots__": (), "__new__": new, "__repr__": text, "__module__": "torch.return_types", "n_fields": len(fields),
             "__reduce__": lambda self: (tuple, (tuple(self),)), "n_sequence_fields": len(fields)}  # fmt: skip
    return type(name, (tuple,), body)


_PAIRS = "max min sort topk kthvalue median nanmedian mode cummax cummin"
max, min, sort, topk, kthvalue, median, nanmedian, mode, cummax, cummin = (
    named(_name, "values", "indices") for _name in _PAIRS.split()
)
aminmax = named("aminmax", "min", "max")
geqrf = named("geqrf", "a", "tau")
frexp = named("frexp", "mantissa", "exponent")
linalg_slogdet = named("linalg_slogdet", "sign", "logabsdet")
linalg_svd = named("linalg_svd", "U", "S", "Vh")
svd = named("svd", "U", "S", "V")
linalg_qr = named("linalg_qr", "Q", "R")
linalg_cholesky_ex = named("linalg_cholesky_ex", "L", "info")
linalg_eigh = named("linalg_eigh", "eigenvalues", "eigenvectors")
linalg_lstsq = named("linalg_lstsq", "solution", "residuals", "rank", "singular_values")
