"""PyTorch's repr of a tensor."""


def tensor_repr(t):
    return f"tensor({t.tolist()})"
