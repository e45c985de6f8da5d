"""Notices modules in a plain list or dict: the module that holds it does not register them, and no optimizer is given their
parameters.

An assignment alone says nothing: the list may be filled later, and the modules may be registered too. So a module with such
an attribute is a suspect until someone asks for its parameters.
"""

from __future__ import annotations

import gc
import weakref

from ...ops._advice import advise

__all__ = ["SUSPECTS", "note", "report"]

# Modules with a list or dict that holds modules, or nothing yet: by id, with how often to look again at an empty one.
SUSPECTS: dict[int, list] = {}
_LOOKS = 3


def note(owner, value, kind) -> None:
    """Remembers `owner` if the list or dict assigned to it may hold modules. `kind`: the class of modules."""
    first = next(iter(value.values() if type(value) is dict else value), None)
    if first is None or isinstance(first, (kind, list, tuple, dict)):
        key = id(owner)
        SUSPECTS[key] = [weakref.ref(owner, lambda _: SUSPECTS.pop(key, None)), _LOOKS]


def _modules_in(value, kind, depth=2):
    if isinstance(value, kind):
        yield value
    elif depth and isinstance(value, (list, tuple, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _modules_in(item, kind, depth - 1)


def _registered_anywhere(modules, kind):
    """Whether some module registers all of these; slow, and asked once before a warning."""
    wanted = {id(m) for m in modules}
    for owner in gc.get_objects():
        if issubclass(type(owner), kind):
            wanted -= {id(m) for m in owner.__dict__.get("_modules", {}).values()}
    return not wanted


def _unseen(root, modules):
    """Those of `modules` that have trainable parameters which are not `root`'s."""
    seen = {id(p) for _, p in root._named_members(lambda m: m._parameters.items())}
    own = {id(m) for m in root.modules()}
    return [m for m in modules if id(m) not in own
            and any(p.requires_grad and id(p) not in seen for _, p in m._named_members(lambda x: x._parameters.items()))]  # fmt: skip


def report(root, kind) -> None:
    """Warns once for each suspect at or below `root` whose modules' parameters are out of sight."""
    for module in root.modules():
        suspect = SUSPECTS.get(id(module))
        if suspect is None:
            continue
        found = {name: list(_modules_in(value, kind)) for name, value in vars(module).items()
                 if type(value) in (list, dict) and name not in ("_modules", "_parameters", "_buffers")}  # fmt: skip
        suspect[1] -= 1
        if not any(found.values()) and suspect[1]:
            continue
        del SUSPECTS[id(module)]
        for name, modules in found.items():
            hidden = _unseen(root, modules)
            if hidden and not _registered_anywhere(hidden, kind):
                what = "dict" if type(vars(module)[name]) is dict else "list"
                advise(f"{type(module).__name__}.{name} is a plain {what} of modules, which registers nothing: parameters(), "
                       f"state_dict() and train() do not see them. Use nn.Module{what.capitalize()}.")  # fmt: skip
