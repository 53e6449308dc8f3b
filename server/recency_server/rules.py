"""Business rules, as their file has them: what is pinned, boosted, buried or left out, and when.

A rule says one thing by the key that names it (`pin`, `boost`, `bury`, `exclude`), under a name of its own, from some time
until another. `rules_file` reads them, `rules_in_force` applies them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from recency_server.filter_text import Filter

_ALWAYS = (0, 1 << 62)


class Action(StrEnum):
    """What a rule does."""

    PIN = "pin"
    BOOST = "boost"
    BURY = "bury"
    EXCLUDE = "exclude"


@dataclass(frozen=True, slots=True)
class Rule:
    """target   the item that is pinned, or the text of the filter of the other three
    tree     the filter, read; None for a pin
    place    where a pin goes: 1 is the first place of the first page
    by       how much a boost adds to the score, or a bury takes from it, in log-odds; 0 for the others
    line     where the rule stands in its file, 0 where that is not known
    """

    name: str
    action: Action
    target: str
    tree: Filter | None = None
    place: int = 0
    by: float = 0.0
    from_micros: int = _ALWAYS[0]
    until_micros: int = _ALWAYS[1]
    reason: str = ""
    line: int = 0

    def holds_at(self, now_micros: int) -> bool:
        """Whether it is in force at a time."""
        return self.from_micros <= now_micros < self.until_micros

    def meets(self, other: Rule) -> bool:
        """Whether there is a time at which both are in force."""
        return self.from_micros < other.until_micros and other.from_micros < self.until_micros

    @property
    def lift(self) -> float:
        """What it adds to the score of what it is about."""
        return -self.by if self.action is Action.BURY else self.by


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules of one file in one state."""

    rules: tuple[Rule, ...] = ()
    digest: str = ""

    def of(self, *actions: Action) -> tuple[Rule, ...]:
        """The rules of some kinds."""
        return tuple(rule for rule in self.rules if rule.action in actions)


def digest_of(content: bytes) -> str:
    """By what a state of a rules file is known: the start of its SHA-256."""
    return hashlib.sha256(content).hexdigest()[:16]


class RulesError(Exception):
    """A rules file that cannot come into force: every problem of it, each with its place in the file."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)
