"""The text of a rules file → its rules, all of them or the reasons why not, each with file, line and column."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, date, datetime
from typing import Any

from recency_server.filter_text import Filter, FilterError, parse_filter
from recency_server.limits import (
    FILTER_BYTES,
    ID_BYTES,
    MAX_PAGE_SIZE,
    REASON_BYTES,
    RULE_NAME_BYTES,
    RULES,
    RULES_BYTES,
)
from recency_server.rule_clashes import clashes
from recency_server.rule_places import RulePlace, places_of
from recency_server.rules import Action, Rule, RulesError, RuleSet, digest_of

# A logit moves by so much at most: past it nothing changes any more.
MOST_LIFT = 20.0
_AT = re.compile(r"(.*?) ?\(at (?:line (\d+), column (\d+)|end of document)\)$")
_TIMES = {"from": "from_micros", "until": "until_micros"}
_OWN_KEYS = {
    Action.PIN: frozenset({"place"}),
    Action.BOOST: frozenset({"by"}),
    Action.BURY: frozenset({"by"}),
    Action.EXCLUDE: frozenset[str](),
}


def read_rules(content: bytes, file: str) -> RuleSet:
    """The rules of a file's content. RulesError names every problem in it, or the first one where it is no TOML."""
    if len(content) > RULES_BYTES:
        raise RulesError([f"{file}: has {len(content):,} bytes; the most are {RULES_BYTES:,}"])
    try:
        text = content.decode()
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise RulesError([f"{file}: is not UTF-8 at byte {error.start}"]) from error
    except tomllib.TOMLDecodeError as error:
        raise RulesError([_at_its_line(file, str(error))]) from error
    entries = document.get("rule", [])
    unknown = sorted(set(document) - {"rule"})
    if unknown or not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        what = f"knows no {unknown[0]!r}" if unknown else "takes its rules as tables"
        raise RulesError([f"{file}: {what}; write each rule under [[rule]]"])
    if len(entries) > RULES:
        raise RulesError([f"{file}: has {len(entries)} rules; the most are {RULES}"])
    places = places_of(text, len(entries))
    readers = [
        _Reader(entry, place, file, number)
        for number, (entry, place) in enumerate(zip(entries, places, strict=True), 1)
    ]
    rules = [rule for reader in readers if (rule := reader.read()) is not None]
    problems = [problem for reader in readers for problem in reader.problems]
    problems += [f"{file}{_line(rule.line)}: rule {rule.name!r}: {what}" for rule, what in clashes(rules)]
    if problems:
        raise RulesError(problems)
    return RuleSet(tuple(rules), digest_of(content))


class _Reader:
    """One table of the file, read key by key."""

    def __init__(self, entry: dict[str, Any], place: RulePlace, file: str, number: int) -> None:
        self._entry = entry
        self._place = place
        self._file = file
        name = entry.get("name")
        self._called = repr(name) if isinstance(name, str) and name else f"number {number}"
        self.problems: list[str] = []

    def read(self) -> Rule | None:
        """The rule; None where there are problems."""
        entry, actions = self._entry, [action for action in Action if action.value in self._entry]
        name = self._text("name", RULE_NAME_BYTES)
        reason = self._text("reason", REASON_BYTES) if "reason" in entry else ""
        times = {field: self._time(key) for key, field in _TIMES.items() if key in entry}
        if len(actions) != 1:
            said = " and ".join(action.value for action in actions) or "nothing"
            self._refuse("", f"says {said}; a rule says exactly one of pin, boost, bury and exclude")
            return None
        action = actions[0]
        for key in entry:
            if key not in {"name", "reason", action.value, *_TIMES, *_OWN_KEYS[action]}:
                self._refuse(key, f"is not a key of a {action.value} rule")
        pin = action is Action.PIN
        target = self._text(action.value, ID_BYTES if pin else FILTER_BYTES)
        tree = None if pin else self._filter(action.value, target)
        place = self._place_number() if pin else 0
        by = self._lift() if "by" in _OWN_KEYS[action] else 0.0
        if times.get("until_micros", 1 << 62) <= times.get("from_micros", 0):
            self._refuse("until", "is not after `from`: the rule would never be in force")
        if self.problems:
            return None
        return Rule(name, action, target, tree, place, by, reason=reason, line=self._place.line, **times)

    def _text(self, key: str, most_bytes: int) -> str:
        value = self._entry.get(key)
        if not isinstance(value, str) or not value.strip():
            self._refuse(key, "is missing" if value is None else "must be a text that is not empty")
            return ""
        if len(value.encode()) > most_bytes:
            self._refuse(key, f"is longer than {most_bytes:,} bytes")
            return ""
        return value

    def _filter(self, key: str, text: str) -> Filter | None:
        try:
            return parse_filter(text) if text else None
        except FilterError as error:
            self._refuse(key, error.reason, error.position)
            return None

    def _place_number(self) -> int:
        value = self._entry.get("place", 1)
        if type(value) is int and 1 <= value <= MAX_PAGE_SIZE:
            return value
        self._refuse("place", f"must be a whole number from 1 to {MAX_PAGE_SIZE}")
        return 0

    def _lift(self) -> float:
        value = self._entry.get("by")
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0.0 < value <= MOST_LIFT:
            return float(value)
        self._refuse("by", f"must be a number over 0, up to {MOST_LIFT:g}: how far the score moves, in log-odds")
        return 0.0

    def _time(self, key: str) -> int:
        value = self._entry[key]
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day, tzinfo=UTC)
        if not isinstance(value, datetime) or value.tzinfo is None:
            self._refuse(key, "must be a day, or a time with its offset such as 2026-06-01T08:00:00Z, without quotes")
            return 0
        return int(value.timestamp() * 1e6)

    def _refuse(self, key: str, what: str, position: int = 0) -> None:
        line, column = self._place.of(key, position)
        where = f"{self._file}{_line(line)}" + (f":{column}" if line and column else "")
        said = f"{key}: " if key else ""
        self.problems.append(f"{where}: rule {self._called}: {said}{what}")


def _line(line: int) -> str:
    return f":{line}" if line else ""


def _at_its_line(file: str, said: str) -> str:
    """A reader's complaint, with its place in front as everywhere."""
    found = _AT.match(said)
    if found is None:
        return f"{file}: {said}"
    line = f":{found[2]}:{found[3]}" if found[2] else ""
    return f"{file}{line}: {found[1]}"
