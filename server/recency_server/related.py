"""Items that share a fact with others: the same director, cast, maker, … A relation is an attribute, or `categories` or
`provider`; a fact is one of its texts. Pure, over the catalogue's columns.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence, Set

from recency_features.events import rule
from recency_features.history import Interaction
from recency_server.attributes import Attributes
from recency_server.told import Fact

# Of what a user chose last, so many items are looked at.
_NEWEST = 8
# A fact that more items share than this share of the catalogue (and than a few) relates nothing.
_COMMON, _FEW = 0.1, 20
# Items that are ranked, and how often items are looked at to find them: what one request may cost.
_MOST, _LOOKS = 500, 5_000


def newest_chosen(interactions: Sequence[Interaction]) -> list[str]:
    """The items that a user chose last, newest first."""
    chosen: dict[str, None] = {}
    for interaction in reversed(interactions):
        if len(chosen) == _NEWEST:
            break
        if rule(interaction.type).positive_weight > 0:
            chosen.setdefault(interaction.item_id)
    return list(chosen)


def related_to(examples: Collection[str], relations: Sequence[str], attributes: Attributes) -> Mapping[str, Fact]:
    """The items that share facts with the examples, those that share the most and the rarest first, each with the rarest
    fact that it shares."""
    most = max(_FEW, _COMMON * int(attributes.there_R.sum()))
    shared: list[tuple[int, Fact, Set[int]]] = []
    for item_id in examples:
        for relation in relations:
            for text in attributes.texts_of(item_id, relation):
                rows = attributes.rows_with(relation, text)
                if 1 < len(rows) <= most:
                    shared.append((len(rows), Fact(relation, text, item_id), rows))
    # The rarest first, and of one fact that two examples have the one that came first.
    shared.sort(key=lambda one: one[0])
    weights: dict[int, float] = {}
    facts: dict[int, Fact] = {}
    looks = 0
    for count, fact, rows in shared:
        looks += count
        if looks > _LOOKS:
            break
        for row in rows:
            facts.setdefault(row, fact)
            weights[row] = weights.get(row, 0.0) + 1.0 / math.log1p(count)
    order = sorted(weights, key=lambda row: (-weights[row], row))
    known = set(examples)
    ids = [(attributes.item_ids[row], row) for row in order[: _MOST + len(known)]]
    return {item_id: facts[row] for item_id, row in ids if item_id not in known}
