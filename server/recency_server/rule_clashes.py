"""Rules that cannot both be meant. What this finds needs the rules alone; what depends on the catalogue is found where
that is known (`rules_in_force.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

from recency_server.filter_text import And, Compare, Filter, Not, Or, Words
from recency_server.rules import Action, Rule

_DOES = {Action.PIN: "pins", Action.BOOST: "boosts", Action.BURY: "buries", Action.EXCLUDE: "excludes"}
_DONE = {Action.PIN: "pinned", Action.BOOST: "boosted", Action.BURY: "buried", Action.EXCLUDE: "excluded"}


def clashes(rules: Sequence[Rule]) -> Iterator[tuple[Rule, str]]:
    """(the later of the two rules, what is wrong) for each pair that contradicts itself."""
    for first, second in combinations(rules, 2):
        if first.name == second.name:
            yield second, f"has the name of the rule{_at(first)}; give each its own"
        elif first.meets(second) and (said := _clash(first, second)):
            yield second, f"{said} at the same time as rule {first.name!r}{_at(first)}; keep one, or part their times"


def _clash(first: Rule, second: Rule) -> str:
    actions = {first.action, second.action}
    if actions == {Action.PIN}:
        if first.target == second.target:
            return f"pins the item {first.target!r}"
        return f"pins to place {first.place}" if first.place == second.place else ""
    if actions == {Action.PIN, Action.EXCLUDE}:
        pin, exclude = (first, second) if first.action is Action.PIN else (second, first)
        assert exclude.tree is not None
        taken = surely_holds(exclude.tree, pin.target)
        return f"{_DOES[second.action]} the item {pin.target!r}, {_DONE[first.action]}" if taken else ""
    if first.tree is None or second.tree is None or first.action is second.action:
        return ""
    same = _meaning(first.tree) == _meaning(second.tree)
    return f"{_DOES[second.action]} what is {_DONE[first.action]}" if same else ""


def surely_holds(tree: Filter, item_id: str) -> bool | None:
    """Whether a filter lets an item through whatever else is known of it; None where that depends on more than its id."""
    if isinstance(tree, Compare):
        if tree.path != "item_id" or tree.operator not in ("=", "!=") or "*" in tree.value.text:
            return None
        return (tree.value.text == item_id) == (tree.operator == "=")
    if isinstance(tree, Words):
        return None
    if isinstance(tree, Not):
        inner = surely_holds(tree.part, item_id)
        return None if inner is None else not inner
    parts = [surely_holds(part, item_id) for part in tree.parts]
    decisive = isinstance(tree, Or)
    if decisive in parts:
        return decisive
    return None if None in parts else not decisive


def _meaning(tree: Filter) -> Any:
    """What a filter says, whatever its order and blanks."""
    if isinstance(tree, Compare):
        return (tree.path, tree.operator, tree.value.text)
    if isinstance(tree, Words):
        return tree.text.text.casefold()
    if isinstance(tree, Not):
        return ("not", _meaning(tree.part))
    return (isinstance(tree, And), frozenset(_meaning(part) for part in tree.parts))


def _at(rule: Rule) -> str:
    return f" of line {rule.line}" if rule.line else ""
