"""A pickle interpreter that executes nothing by itself.

It builds numbers, strings and containers. Everything else (names, calls, instances, tensors' memory) goes through a
`Builder`, which decides what a name stands for. With `SafeBuilder` (safe.py) only a list of known names exists; with
the inspecting one (inspecting.py) every name is an inert record.

The interpreter is a loop, not a recursion, so nesting costs no stack; every length is checked against the bytes that
are there before anything is allocated.
"""

from __future__ import annotations

import struct
from collections import Counter, OrderedDict
from pickle import UnpicklingError, decode_long

__all__ = ["Builder", "Unpickler", "UnpicklingError", "MARK"]

_MAX_KEY = 1000  # nodes of a tuple used as a dictionary key
MARK = object()


class Builder:
    """What an interpreter may make. `find` is the only way to a callable."""

    def find(self, module: str, name: str):
        raise UnpicklingError(f"Unsupported global: GLOBAL {module}.{name}")

    def call(self, function, args: tuple):
        raise UnpicklingError(f"Trying to call reduce for unrecognized function {function!r}")

    def new(self, cls, args: tuple, kwargs: dict):
        raise UnpicklingError(f"Can only create new object for allowlisted classes, but got {cls!r}")

    def build(self, instance, state) -> None:
        raise UnpicklingError(f"Can only build allowlisted types, but got {type(instance)!r}")

    def persistent(self, pid):
        raise UnpicklingError("unsupported persistent id encountered")

    def append(self, target, items: list) -> None:
        raise UnpicklingError(f"Can only append to lists, but got {type(target)!r}")

    def set_items(self, target, pairs: list) -> None:
        raise UnpicklingError(
            f"Can only SETITEMS for dict, collections.OrderedDict, collections.Counter, but got {type(target)!r}"
        )


def check_key(key) -> None:
    """Refuses keys whose hash would be slow, deep or not ours: a tuple of tuples can take exponential time."""
    stack, seen = [key], 0
    while stack:
        item = stack.pop()
        seen += 1
        if seen > _MAX_KEY:
            raise UnpicklingError("a dictionary key or set element is too large")
        if isinstance(item, (tuple, frozenset)):
            if len(item) > _MAX_KEY:
                raise UnpicklingError("a dictionary key or set element is too large")
            stack.extend(item)


class Unpickler:
    """Interprets one pickle in `data` from `position` on; afterwards `position` is behind it."""

    def __init__(self, data, builder: Builder, position: int = 0, encoding: str = "utf-8"):
        self.data, self.position, self.end = memoryview(data), position, len(data)
        self.builder, self.encoding = builder, encoding
        self.stack: list = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}
        self.protocol = 0

    def load(self):
        """The object.

        Raises: UnpicklingError for anything that is not a complete, consistent pickle of known opcodes.
        """
        operations, data = _OPERATIONS, self.data
        try:
            while True:
                if self.position >= self.end:
                    raise UnpicklingError("pickle data was truncated")
                opcode = data[self.position]
                self.position += 1
                if opcode == 0x2E:  # STOP
                    if self.marks or len(self.stack) != 1:
                        raise UnpicklingError("the pickle ends with unfinished objects")
                    return self.stack.pop()
                operation = operations.get(opcode)
                if operation is None:
                    raise UnpicklingError(f"Unsupported operand {opcode}")
                operation(self)
        except UnpicklingError:
            raise
        except (IndexError, KeyError, TypeError, ValueError, AttributeError, OverflowError, struct.error) as error:
            detail = f"{type(error).__name__}: {error}"
            raise UnpicklingError(f"damaged pickle at byte {self.position}: {detail}") from error

    # -- bytes --------------------------------------------------------------------------------------------------------

    def take(self, n: int) -> bytes:
        if n < 0 or n > self.end - self.position:
            raise UnpicklingError(f"pickle data was truncated: {n} bytes wanted, {self.end - self.position} left")
        at = self.position
        self.position = at + n
        return bytes(self.data[at : at + n])

    def number(self, form: str) -> int:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        at, chunk = self.position, 256
        while True:  # names are short; do not search gigabytes for a newline
            found = bytes(self.data[at : at + chunk]).find(b"\n")
            if found >= 0:
                self.position = at + found + 1
                return bytes(self.data[at : at + found]).decode("utf-8")
            if chunk >= 65536 or at + chunk >= self.end:
                raise UnpicklingError("pickle data was truncated: a line without an end")
            chunk *= 16

    # -- stack --------------------------------------------------------------------------------------------------------

    def pop(self):
        self._above_mark(1)
        return self.stack.pop()

    def top(self):
        self._above_mark(1)
        return self.stack[-1]

    def _above_mark(self, n):
        if len(self.stack) - (self.marks[-1] if self.marks else 0) < n:
            raise UnpicklingError("the pickle takes more from its stack than there is")

    def pop_mark(self) -> list:
        if not self.marks:
            raise UnpicklingError("the pickle closes a group that was not opened")
        at = self.marks.pop()
        items = self.stack[at:]
        del self.stack[at:]
        return items

    def remember(self, index: int):
        self.memo[index] = self.top()

    def recall(self, index: int):
        if index not in self.memo:
            raise UnpicklingError(f"the pickle refers to object {index}, which is not there")
        self.stack.append(self.memo[index])

    def tuple_of(self, n: int):
        self._above_mark(n)
        items = tuple(self.stack[-n:])
        del self.stack[-n:]
        self.stack.append(items)

    # -- containers ---------------------------------------------------------------------------------------------------

    def append(self, items):
        target = self.top()
        if type(target) is list:
            target.extend(items)
        else:
            self.builder.append(target, items)

    def set_items(self, items):
        target = self.top()
        if len(items) % 2:
            raise UnpicklingError("a dictionary entry has no value")
        pairs = list(zip(items[::2], items[1::2], strict=True))
        for key, _ in pairs:
            check_key(key)
        if type(target) in (dict, OrderedDict, Counter):
            target.update(pairs) if type(target) is not Counter else dict.update(target, pairs)
        else:
            self.builder.set_items(target, pairs)

    def dict_of(self, items):
        self.stack.append({})
        self.set_items(items)

    def add_items(self, items):
        target = self.top()
        if type(target) is not set:
            raise UnpicklingError(f"Can only add items to sets, but got {type(target)!r}")
        target.update(_checked(items))

    # -- names and calls ----------------------------------------------------------------------------------------------

    def name(self):
        module, name = self.line(), self.line()
        self.stack.append(self.builder.find(module, name))

    def stack_name(self):
        name, module = self.pop(), self.pop()
        if type(name) is not str or type(module) is not str:
            raise UnpicklingError("STACK_GLOBAL requires str")
        self.stack.append(self.builder.find(module, name))

    def reduce(self):
        args, function = self.pop(), self.pop()
        self.stack.append(self.builder.call(function, _arguments(args)))

    def new_object(self):
        args, cls = self.pop(), self.pop()
        self.stack.append(self.builder.new(cls, _arguments(args), {}))

    def new_object_ex(self):
        kwargs, args, cls = self.pop(), self.pop(), self.pop()
        if type(kwargs) is not dict or any(type(k) is not str for k in kwargs):
            raise UnpicklingError("NEWOBJ_EX expects keyword arguments")
        self.stack.append(self.builder.new(cls, _arguments(args), kwargs))

    def instance(self):
        module, name = self.line(), self.line()
        args = tuple(self.pop_mark())
        self.stack.append(self.builder.new(self.builder.find(module, name), args, {}))

    def obj(self):
        items = self.pop_mark()
        if not items:
            raise UnpicklingError("OBJ without a class")
        self.stack.append(self.builder.new(items[0], tuple(items[1:]), {}))

    def build(self):
        state = self.pop()
        self.builder.build(self.top(), state)

    def text(self, n):
        self.stack.append(self.take(n).decode("utf-8", "surrogatepass"))

    def string(self, n):  # Python 2's str
        raw = self.take(n)
        self.stack.append(raw if self.encoding == "bytes" else raw.decode(self.encoding))

    def proto(self):
        self.protocol = self.number("B")
        if self.protocol > 5:
            raise UnpicklingError(f"unsupported pickle protocol: {self.protocol}")

    def bits(self, n):
        self.stack.append(decode_long(self.take(n)))


def _arguments(args):
    if type(args) is not tuple:
        raise UnpicklingError(f"a call needs a tuple of arguments, but got {type(args)!r}")
    return args


def _checked(items):
    for item in items:
        check_key(item)
    return items


def _push(value):
    return lambda u: u.stack.append(value())


# By protocol. The text forms of protocol 0 and registered extensions never occur in checkpoints.
_OPERATIONS = {ord(code): operation for code, operation in {
    "\x80": Unpickler.proto,
    "(": lambda u: u.marks.append(len(u.stack)),
    "0": Unpickler.pop,
    "1": Unpickler.pop_mark,
    "2": lambda u: u.stack.append(u.top()),
    "N": _push(lambda: None),
    "\x88": _push(lambda: True),
    "\x89": _push(lambda: False),
    ")": _push(tuple),
    "]": _push(list),
    "}": _push(dict),
    "\x8f": _push(set),
    "J": lambda u: u.stack.append(u.number("<i")),
    "K": lambda u: u.stack.append(u.number("B")),
    "M": lambda u: u.stack.append(u.number("<H")),
    "G": lambda u: u.stack.append(u.number(">d")),
    "\x8a": lambda u: u.bits(u.number("B")),
    "\x8b": lambda u: u.bits(u.number("<i")),
    "X": lambda u: u.text(u.number("<I")),
    "\x8c": lambda u: u.text(u.number("B")),
    "\x8d": lambda u: u.text(u.number("<Q")),
    "U": lambda u: u.string(u.number("B")),
    "T": lambda u: u.string(u.number("<i")),
    "B": lambda u: u.stack.append(u.take(u.number("<I"))),
    "C": lambda u: u.stack.append(u.take(u.number("B"))),
    "\x8e": lambda u: u.stack.append(u.take(u.number("<Q"))),
    "\x96": lambda u: u.stack.append(bytearray(u.take(u.number("<Q")))),
    "t": lambda u: u.stack.append(tuple(u.pop_mark())),
    "\x85": lambda u: u.tuple_of(1),
    "\x86": lambda u: u.tuple_of(2),
    "\x87": lambda u: u.tuple_of(3),
    "l": lambda u: u.stack.append(u.pop_mark()),
    "d": lambda u: u.dict_of(u.pop_mark()),
    "a": lambda u: u.append([u.pop()]),
    "e": lambda u: u.append(u.pop_mark()),
    "s": lambda u: u.set_items([u.pop(), u.pop()][::-1]),
    "u": lambda u: u.set_items(u.pop_mark()),
    "\x90": lambda u: u.add_items(u.pop_mark()),
    "\x91": lambda u: u.stack.append(frozenset(_checked(u.pop_mark()))),
    "h": lambda u: u.recall(u.number("B")),
    "j": lambda u: u.recall(u.number("<I")),
    "q": lambda u: u.remember(u.number("B")),
    "r": lambda u: u.remember(u.number("<I")),
    "\x94": lambda u: u.remember(len(u.memo)),
    "\x95": lambda u: u.take(8) and None,
    "c": Unpickler.name,
    "\x93": Unpickler.stack_name,
    "R": Unpickler.reduce,
    "\x81": Unpickler.new_object,
    "\x92": Unpickler.new_object_ex,
    "i": Unpickler.instance,
    "o": Unpickler.obj,
    "b": Unpickler.build,
    "Q": lambda u: u.stack.append(u.builder.persistent(u.pop())),
}.items()}  # fmt: skip
