"""Reasons out of what is known of an item's place. Pure.

Contributions of events and of the steer add up: to the score with all of them less the score without any. A likeness tells
what an event's contribution comes from and has none of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from recency.v1 import item_pb2, recommendation_pb2
from recency_features.history import Interaction
from recency_server.counterfactual import Contributions
from recency_server.likeness import shared_traits, shared_words
from recency_server.query import Placed, Query
from recency_server.reasons import Language
from recency_server.told import Reason

# Trends that lift a score by less (a tenth of the odds) are not worth a sentence.
_LEAST_TREND = 0.1
# Taken up so often lately (decayed), an item may be said to be popular.
_MANY = 3.0


@dataclass(frozen=True, slots=True)
class Grounds:
    """What the reasons of one slate are made of, as far as it could be had.

    by_model    whether a model ordered the slate, or else the trend
    newest      the newest events of the history, newest first, and `event_ids` theirs (empty texts where unknown)
    items       what is shown, what the events are about, and the seeds
    added       what each of the events, and what trends, add to each item's score
    taken_up    by item, how often it was taken up lately
    lifts       by item, what business rules add
    seed_of     by item, the seed that it is most like
    """

    query: Query
    language: Language
    by_model: bool
    newest: Sequence[Interaction] = ()
    event_ids: Sequence[str] = ()
    items: Mapping[str, item_pb2.Item] = field(default_factory=dict)
    added: Contributions = field(default_factory=Contributions)
    taken_up: Mapping[str, float] = field(default_factory=dict)
    lifts: Mapping[str, float] = field(default_factory=dict)
    seed_of: Mapping[str, str] = field(default_factory=dict)

    def title(self, item_id: str) -> str:
        """What people call an item."""
        item = self.items.get(item_id)
        return item.title if item is not None and item.title else item_id

    def event_id(self, place: int) -> str:
        """The id of one of the newest events."""
        return self.event_ids[place] if place < len(self.event_ids) else ""


def reasons_of(placed: Placed, grounds: Grounds) -> tuple[Reason, ...]:
    """Why an item is at its place: what put it there, what speaks for it (the strongest first), what it has in common with
    the history and the words, and last what speaks against it."""
    measured = sorted(
        [*_behaviour(placed, grounds), *_steer(placed, grounds), *_trend(placed, grounds)],
        key=lambda reason: -reason.contribution,
    )
    speaks_for = [reason for reason in measured if reason.contribution > 0.0 or not grounds.by_model]
    speaks_against = [reason for reason in measured if reason.contribution <= 0.0 and grounds.by_model]
    said = (*_policy(placed, grounds), *speaks_for, *_content(placed, grounds), *speaks_against)
    return said or tuple(_popular(placed, grounds))


def _behaviour(placed: Placed, grounds: Grounds) -> Iterator[Reason]:
    for place, added in enumerate(grounds.added.of_events(placed.item_id)):
        event = grounds.newest[place]
        text = grounds.language.event(event.type, grounds.title(event.item_id), added)
        yield Reason(
            recommendation_pb2.REASON_KIND_BEHAVIOUR, text, grounds.event_id(place), event.item_id, contribution=added
        )


def _steer(placed: Placed, grounds: Grounds) -> Iterator[Reason]:
    added = grounds.added.of_steer(placed.item_id)
    if added is None:
        return
    seed = "" if grounds.query.text else grounds.seed_of.get(placed.item_id, "")
    text = grounds.language.like.format(title=grounds.title(seed)) if seed else grounds.language.asked_for
    yield Reason(recommendation_pb2.REASON_KIND_QUERY, text, item_id=seed, contribution=added)


def _trend(placed: Placed, grounds: Grounds) -> Iterator[Reason]:
    kind = recommendation_pb2.REASON_KIND_TREND
    if not grounds.by_model:
        # The score is how often it and its kind were taken up lately; what nobody took up is there for being new.
        text = grounds.language.trending if placed.score > 0.0 else grounds.language.newest
        yield Reason(kind, text, contribution=placed.score)
        return
    added = grounds.added.of_trend(placed.item_id)
    if added >= _LEAST_TREND:
        yield Reason(kind, grounds.language.trending, contribution=added)


def _popular(placed: Placed, grounds: Grounds) -> Iterator[Reason]:
    """Of somebody unknown who asks for nothing there is nothing else to say: the model shows what most people take up."""
    if grounds.taken_up.get(placed.item_id, 0.0) >= _MANY:
        yield Reason(recommendation_pb2.REASON_KIND_TREND, grounds.language.popular)


def _content(placed: Placed, grounds: Grounds) -> Iterator[Reason]:
    item = grounds.items.get(placed.item_id)
    if item is None:
        return
    kind, language = recommendation_pb2.REASON_KIND_CONTENT, grounds.language
    if words := shared_words(item, grounds.query.text):
        yield Reason(kind, language.has_words.format(words=language.between.join(words)))
    if placed.fact is not None:
        fact = placed.fact
        text = language.same.format(
            relation=fact.relation.replace("_", " "), title=grounds.title(fact.item_id), text=fact.text
        )
        yield Reason(kind, text, grounds.event_id(_place_of(fact.item_id, grounds.newest)), fact.item_id)
        return
    likest, traits = -1, list[str]()
    for place, event in enumerate(grounds.newest):
        other = grounds.items.get(event.item_id)
        shared = shared_traits(item, other) if other is not None and event.item_id != placed.item_id else []
        if len(shared) > len(traits):
            likest, traits = place, shared
    if traits:
        other_id = grounds.newest[likest].item_id
        text = language.shares.format(traits=language.between.join(traits), title=grounds.title(other_id))
        yield Reason(kind, text, grounds.event_id(likest), other_id)


def _place_of(item_id: str, newest: Sequence[Interaction]) -> int:
    """Where among the newest events one is about an item; past them all where none is."""
    return next((place for place, event in enumerate(newest) if event.item_id == item_id), len(newest))


def _policy(placed: Placed, grounds: Grounds) -> Iterator[Reason]:
    kind, language, epsilon = recommendation_pb2.REASON_KIND_POLICY, grounds.language, grounds.query.exploration
    if placed.promotion:
        yield Reason(kind, language.promoted.format(name=placed.promotion))
    elif placed.source == recommendation_pb2.SOURCE_NEW:
        yield Reason(kind, language.newest)
    # The best one left is placed with a chance of 1 - epsilon at the least.
    elif placed.propensity is not None and (placed.propensity < 1.0 - epsilon or epsilon == 1.0):
        yield Reason(kind, language.explored)
    if (lift := grounds.lifts.get(placed.item_id, 0.0)) > 0.0:
        yield Reason(kind, language.lifted, contribution=lift)
