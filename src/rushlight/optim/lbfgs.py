"""L-BFGS, with an optional line search for the strong Wolfe conditions."""

from __future__ import annotations

import math

from .. import _native
from .._kernels import K
from ..autograd.grad_mode import enable_grad, no_grad
from ..autograd.tensor import Tensor
from ..ops._declare import contig
from ..ops.shape import cat
from .optimizer import Optimizer

__all__ = ["LBFGS"]


def _dot(a, b) -> float:
    return a.dot(b).item()


def _largest(x) -> float:
    return x.abs().max().item()


def _cubic(x1, f1, g1, x2, f2, g2, bounds=None):
    """The minimum of the cubic through two points with their slopes, kept inside the bounds (default: the points)."""
    low, high = bounds if bounds is not None else (min(x1, x2), max(x1, x2))
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
    square = d1 * d1 - g1 * g2
    if square < 0 or math.isnan(square):
        return (low + high) / 2.0
    d2 = math.sqrt(square)
    if x1 <= x2:
        best = x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2))
    else:
        best = x1 - (x1 - x2) * ((g1 + d2 - d1) / (g1 - g2 + 2 * d2))
    return min(max(best, low), high)


class _Point:
    """A step length with the function's value, gradient and slope there."""

    __slots__ = ("t", "f", "g", "slope")

    def __init__(self, t, f, g, slope):
        self.t, self.f, self.g, self.slope = t, f, g, slope


def _bracket(evaluate, start, first, c1, c2, max_ls):
    """Steps outward until the minimum lies between two points. Returns them (one, if it will do) and the iterations."""
    before, now, n = start, first, 0
    while n < max_ls:
        if now.f > start.f + c1 * now.t * start.slope or (n > 1 and now.f >= before.f):
            return [before, now], n
        if abs(now.slope) <= -c2 * start.slope:
            return [now], n
        if now.slope >= 0:
            return [before, now], n
        bounds = (now.t + 0.01 * (now.t - before.t), now.t * 10)
        t = _cubic(before.t, before.f, before.slope, now.t, now.f, now.slope, bounds)
        before, now = now, evaluate(t)
        n += 1
    return [start, now], n


def _strong_wolfe(evaluate, start, t, d_norm, *, c1=1e-4, c2=0.9, tolerance=1e-9, max_ls=25):
    """A step that decreases f enough (c1) and flattens it enough (c2). Returns the point and the evaluations made."""
    calls = 0

    def counted(t):
        nonlocal calls
        calls += 1
        return evaluate(t)

    points, n = _bracket(counted, start, counted(t), c1, c2, max_ls)
    done, slow = len(points) == 1, False
    low, high = (0, 1) if points[0].f <= points[-1].f else (1, 0)
    while not done and n < max_ls:
        a, b = points
        if abs(b.t - a.t) * d_norm < tolerance:
            break
        t = _cubic(a.t, a.f, a.slope, b.t, b.f, b.slope)
        left, right = min(a.t, b.t), max(a.t, b.t)
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            # Close to an end for the second time, or at it: move inside.
            if slow or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                slow = False
            else:
                slow = True
        else:
            slow = False
        now = counted(t)
        n += 1
        if now.f > start.f + c1 * t * start.slope or now.f >= points[low].f:
            points[high] = now
            low, high = (0, 1) if points[0].f <= points[1].f else (1, 0)
            continue
        if abs(now.slope) <= -c2 * start.slope:
            done = True
        elif now.slope * (points[high].t - points[low].t) >= 0:
            points[high] = points[low]
        points[low] = now
    return points[low if len(points) > 1 else 0], calls


class LBFGS(Optimizer):
    """Quasi-Newton steps from the last `history_size` changes of the gradient. `step(closure)` evaluates several times.

    Args: `params` (one group); `lr` (default 1), `max_iter` (20, per step), `max_eval` (max_iter * 1.25),
    `tolerance_grad` (1e-7), `tolerance_change` (1e-9), `history_size` (100), `line_search_fn` (None or "strong_wolfe").
    Raises: ValueError for several groups, RuntimeError for another line search.
    Reference: Nocedal and Wright, Numerical Optimization, chapters 3 and 7;
    https://docs.pytorch.org/docs/stable/generated/torch.optim.LBFGS.html
    """

    unrepeatable = "reads losses and gradients to decide how far to go"

    def __init__(self, params, lr=1, max_iter=20, max_eval=None, tolerance_grad=1e-7, tolerance_change=1e-9,
                 history_size=100, line_search_fn=None):  # fmt: skip
        if isinstance(lr, Tensor) and lr._a.numel != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not 0.0 <= lr:
            raise ValueError(f"Invalid learning rate: {lr}")
        super().__init__(params, {
            "lr": lr, "max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change, "history_size": history_size,
            "line_search_fn": line_search_fn,
        })  # fmt: skip
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    @property
    def _params(self):
        return self.param_groups[0]["params"]

    def _flat_grad(self):
        return cat([p.new_zeros(p.numel()) if p._grad is None else p._grad.to_dense().reshape(-1) for p in self._params], 0)

    def _move(self, step, direction):
        at = 0
        for p in self._params:
            n = p.numel()
            p.add_(direction.narrow(0, at, n).view(p.shape), alpha=step)
            at += n

    def _direction(self, state, g, history_size):
        """-H g, with H the approximate inverse Hessian of the remembered changes, after adding the newest."""
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return g.neg()
        dirs, steps, ro = state["old_dirs"], state["old_stps"], state["ro"]
        y, s = g - state["prev_flat_grad"], state["d"] * float(state["t"])
        ys = _dot(y, s)
        if ys > 1e-10:
            if len(dirs) == history_size:
                for memory in (dirs, steps, ro):
                    memory.pop(0)
            dirs.append(y)
            steps.append(s)
            ro.append(1.0 / ys)
            state["H_diag"] = ys / _dot(y, y)
        r, al = K.lbfgs_direction(
            contig(g._a), [contig(s._a) for s in steps], [contig(y._a) for y in dirs], len(dirs), *map(float, ro), float(state["H_diag"])
        )
        state["al"] = al.tolist() + [None] * (history_size - len(dirs))
        return _native.wrap(r)

    def _search(self, closure, t, d, loss, g, slope, max_ls):
        before = [p.clone() for p in self._params]

        def evaluate(t):
            self._move(t, d)
            f = float(closure())
            g = self._flat_grad()
            for p, old in zip(self._params, before, strict=True):
                p.copy_(old)
            return _Point(t, f, g, _dot(g, d))

        start = _Point(0.0, loss, g, slope)
        return _strong_wolfe(evaluate, start, t, _largest(d), max_ls=max_ls)

    @no_grad()
    def step(self, closure):
        """Up to `max_iter` iterations; `closure` clears the gradients, computes the loss, calls backward and returns it."""
        closure = enable_grad()(closure)
        group = self.param_groups[0]
        lr, max_iter, max_eval = float(group["lr"]), group["max_iter"], group["max_eval"]
        search = group["line_search_fn"]
        if search not in (None, "strong_wolfe"):
            raise RuntimeError("only 'strong_wolfe' is supported")
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = closure()
        loss, evals = float(first_loss), 1
        state["func_evals"] += 1
        g = self._flat_grad()
        if _largest(g) <= group["tolerance_grad"]:
            return first_loss
        for n in range(1, max_iter + 1):
            state["n_iter"] += 1
            d = self._direction(state, g, group["history_size"])
            state["prev_flat_grad"], state["prev_loss"], last_loss = g.clone(), loss, loss
            t = min(1.0, 1.0 / g.abs().sum().item()) * lr if state["n_iter"] == 1 else lr
            state["d"], state["t"] = d, t
            slope = _dot(g, d)
            if slope > -group["tolerance_change"]:
                break
            made = 0
            if search:
                point, made = self._search(closure, t, d, loss, g, slope, max_eval - evals)
                loss, g, t = point.f, point.g, point.t
                state["t"] = t
                self._move(t, d)
            else:
                self._move(t, d)
                if n != max_iter:
                    loss, made = float(closure()), 1
                    g = self._flat_grad()
            evals += made
            state["func_evals"] += made
            stop = n == max_iter or evals >= max_eval or _largest(g) <= group["tolerance_grad"]
            if stop or _largest(d * t) <= group["tolerance_change"] or abs(loss - last_loss) < group["tolerance_change"]:
                break
        return first_loss
