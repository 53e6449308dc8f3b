"""Where the rules of a TOML text stand, for errors that point at a line and a column. tomllib reads values, not places."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_HEADER = re.compile(r"\s*\[\[\s*(?:rule|\"rule\"|'rule')\s*\]\]")
_KEY = re.compile(r"\s*[\"']?([A-Za-z0-9_-]+)[\"']?\s*=\s*")
_ESCAPE = {"u": 6, "U": 10}


@dataclass(frozen=True, slots=True)
class RulePlace:
    """Where a rule stands: the line of its header, and of each key the line, the column of its value (both from 1) and
    the value as written. A line of 0 is not known."""

    line: int = 0
    keys: Mapping[str, tuple[int, int, str]] = field(default_factory=dict)

    def of(self, key: str, position: int = 0) -> tuple[int, int]:
        """Line and column of a character of a key's value (from 0, as read); of the rule where it has no such key."""
        if key not in self.keys:
            return self.line, 1 if self.line else 0
        line, column, written = self.keys[key]
        if written[:3] in ('"""', "'''"):
            return line, column
        return line, column + _written(written, position)


def places_of(text: str, count: int) -> list[RulePlace]:
    """The places of `count` rules; unknown ones where they are not written under [[rule]]."""
    found: list[tuple[int, dict[str, tuple[int, int, str]]]] = []
    within = ""
    for number, line in enumerate(text.splitlines(), 1):
        if within:
            within = "" if within in line else within
            continue
        if _HEADER.match(line):
            found.append((number, {}))
        elif (key := _KEY.match(line)) and found:
            written = line[key.end() :]
            found[-1][1][key[1]] = (number, key.end() + 1, written)
            if written[:3] in ('"""', "'''") and written[:3] not in written[3:]:
                within = written[:3]
    if len(found) != count:
        return [RulePlace()] * count
    return [RulePlace(line, keys) for line, keys in found]


def _written(written: str, position: int) -> int:
    """How far from the start of a value's text a character of what it means stands."""
    if written[:1] == "'":
        return 1 + position
    if written[:1] != '"':
        return 0
    at = 1
    for _ in range(position):
        at += _ESCAPE.get(written[at + 1 : at + 2], 2) if written[at : at + 1] == "\\" else 1
    return at
