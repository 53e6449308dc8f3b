"""The business rules that are in force, over the catalogue as it is now: what they leave out, lift and pin.

Filters become masks over the catalogue's columns, made anew when the rules, the catalogue or the hour that a rule begins
or ends says so. A filter that the catalogue cannot mean (an attribute that no item has any more) holds for nothing, and
is told in `blind`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from recency_server.attributes import Attributes, Mask
from recency_server.filter_text import FilterError
from recency_server.filters import Narrowed, evaluate
from recency_server.rules import Action, Rule, RuleSet

_LIFTED = (Action.BOOST, Action.BURY)
_EVER = (0, 1 << 62)


@dataclass(frozen=True)
class Effect:
    """What the rules do between two times, over one state of the catalogue. An effect is the same object while nothing of
    that has changed.

    excluded   what no answer may hold; None where no such rule is in force
    pins       the pins in force, by place
    """

    rules: tuple[Rule, ...]
    attributes: Attributes
    masks: Mapping[str, Mask] = field(repr=False)
    blind: tuple[tuple[Rule, str], ...] = ()
    from_micros: int = _EVER[0]
    until_micros: int = _EVER[1]

    @cached_property
    def excluded(self) -> Narrowed | None:
        """What no answer may hold; None where no such rule is in force."""
        masks = [self.masks[rule.name] for rule in self.rules if rule.action is Action.EXCLUDE]
        return Narrowed(self.attributes, np.logical_or.reduce(masks)) if masks else None

    @cached_property
    def pins(self) -> tuple[Rule, ...]:
        """The pins in force, by place."""
        pins = [rule for rule in self.rules if rule.action is Action.PIN]
        return tuple(sorted(pins, key=lambda rule: rule.place))

    @cached_property
    def lifts(self) -> Mapping[str, float]:
        """What is added to the scores of items, by id: -inf for what is excluded; items that no rule is about are not in
        it."""
        lift_R: npt.NDArray[np.float64] = np.zeros(len(self.attributes.item_ids))
        for rule in self.rules:
            if rule.action in _LIFTED:
                mask_R = self.masks[rule.name]
                lift_R[: len(mask_R)][mask_R] += rule.lift
        if self.excluded is not None:
            lift_R[: len(self.excluded.mask_R)][self.excluded.mask_R] = -np.inf
        item_ids = self.attributes.item_ids
        return {item_ids[row]: float(lift_R[row]) for row in np.flatnonzero(lift_R).tolist()}

    def about(self, item_id: str) -> list[Rule]:
        """The rules in force that an item falls under."""
        row = self.attributes.row_of.get(item_id, -1)
        found = []
        for rule in self.rules:
            mask_R = self.masks.get(rule.name)
            under = rule.target == item_id if mask_R is None else 0 <= row < len(mask_R) and bool(mask_R[row])
            if under:
                found.append(rule)
        return found


class RulesInForce:
    """The rules of this gateway. All methods run on the event loop."""

    def __init__(self, attributes: Attributes) -> None:
        self.rules = RuleSet()
        self.attributes = attributes
        self._effect = self._none = Effect((), attributes, {})
        self._made_of: tuple[int, str] = (-1, "")

    def put(self, rules: RuleSet) -> None:
        """Brings a file's rules into force."""
        self.rules = rules
        self._made_of = (-1, "")

    def effect(self, now_micros: int) -> Effect:
        """What they do at a time."""
        if not self.rules.rules:
            return self._none
        effect, made_of = self._effect, (self.attributes.version, self.rules.digest)
        if made_of != self._made_of or not effect.from_micros <= now_micros < effect.until_micros:
            self._effect = effect = make_effect(self.rules, self.attributes, now_micros)
            self._made_of = made_of
        return effect


def make_effect(rules: RuleSet, attributes: Attributes, now_micros: int) -> Effect:
    """What rules do at a time, over a catalogue."""
    edges = sorted({0, 1 << 62} | {edge for rule in rules.rules for edge in (rule.from_micros, rule.until_micros)})
    since = max(edge for edge in edges if edge <= now_micros)
    until = min(edge for edge in edges if edge > now_micros)
    masks: dict[str, Mask] = {}
    blind = []
    held = tuple(rule for rule in rules.rules if rule.holds_at(now_micros))
    for rule in held:
        if rule.tree is None:
            continue
        try:
            masks[rule.name] = evaluate(rule.tree, attributes)
        except FilterError as error:
            masks[rule.name] = np.zeros(len(attributes.item_ids), dtype=bool)
            blind.append((rule, str(error)))
    return Effect(held, attributes, masks, tuple(blind), since, until)


def misfits(rules: RuleSet, attributes: Attributes) -> list[str]:
    """What of rules this catalogue contradicts: filters that it cannot mean, items that are pinned and excluded. Nothing
    where there is no item yet."""
    if not attributes.there_R.any():
        return []
    found = []
    masks = {}
    for rule in rules.of(Action.BOOST, Action.BURY, Action.EXCLUDE):
        assert rule.tree is not None
        try:
            masks[rule.name] = evaluate(rule.tree, attributes)
        except FilterError as error:
            found.append((rule, f"{rule.action}: {error}"))
    for pin in rules.of(Action.PIN):
        row = attributes.row_of.get(pin.target)
        for rule in rules.of(Action.EXCLUDE):
            mask_R = masks.get(rule.name)
            if row is not None and mask_R is not None and mask_R[row] and rule.meets(pin):
                found.append((pin, f"pins the item {pin.target!r}, which rule {rule.name!r} excludes at the same time"))
    return [f"line {rule.line}: rule {rule.name!r}: {what}" for rule, what in found]
