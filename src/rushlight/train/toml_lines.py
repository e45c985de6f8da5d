"""Where a key of a TOML text stands: the standard parser gives values without line numbers."""

from __future__ import annotations

import re

__all__ = ["Lines"]

_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_TABLE = re.compile(rf"^\s*(\[\[?)\s*({_DOTTED})\s*\]\]?")
_ASSIGNMENT = re.compile(rf"^\s*({_DOTTED})\s*=")


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(_KEY, dotted))


class Lines:
    """Lines of keys, by path: ("optimizer", "groups", 0, "lr") and so on. Lines count from 1."""

    def __init__(self, text: str):
        self.text = text.splitlines()
        self.found: dict[tuple, int] = {}
        table: tuple = ()
        counts: dict[tuple, int] = {}
        quotes = None  # inside a multi-line string
        for number, line in enumerate(self.text, 1):
            if quotes:
                if quotes in line:
                    quotes = None
                continue
            header = _TABLE.match(line)
            assignment = None if header else _ASSIGNMENT.match(line)
            if header:
                table = self._within_arrays(_parts(header[2]), counts)
                if header[1] == "[[":
                    counts[table] = counts.get(table, -1) + 1
                    table = (*table, counts[table])
                self._note(table, number)
            elif assignment:
                self._note((*table, *_parts(assignment[1])), number)
                rest = line[assignment.end() :]
                self._inline(table + _parts(assignment[1]), rest, number)
                for mark in ('"""', "'''"):
                    if rest.count(mark) == 1:
                        quotes = mark

    @staticmethod
    def _within_arrays(parts, counts):
        """A header's path, with the index of the latest element behind each array of tables."""
        path: tuple = ()
        for i, part in enumerate(parts):
            path = (*path, part)
            if path in counts and i < len(parts) - 1:
                path = (*path, counts[path])
        return path

    def _note(self, path, number):
        for end in range(1, len(path) + 1):
            self.found.setdefault(path[:end], number)

    def _inline(self, path, rest, number):
        for key in re.findall(rf"[{{,]\s*({_KEY})\s*=", rest):
            self.found.setdefault((*path, *_parts(key)), number)

    def of(self, path: tuple) -> int | None:
        """The line of a key, or of the nearest table around it."""
        while path:
            if path in self.found:
                return self.found[path]
            path = path[:-1]
        return None

    def show(self, number: int, word: str = "") -> str:
        """The line with its number, and a mark under `word`."""
        line = self.text[number - 1]
        at = line.find(word) if word else -1
        mark = " " * at + "^" * len(word) if at >= 0 else ""
        margin = f"{number:>5} | "
        return margin + line + (f"\n{' ' * (len(margin) - 2)}| {mark}" if mark else "")
