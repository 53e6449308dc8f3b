"""From what a request aims at to its slate: scored in a call or two, decided, with places for what is pinned, promoted and
new."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from recency.v1 import recommendation_pb2
from recency_server.candidates import Aim, all_narrowed, naming
from recency_server.caps import Room
from recency_server.fresh import places_for, without_last
from recency_server.limits import MAX_PAGE_SIZE
from recency_server.parts import Parts
from recency_server.policy import Terms, decide
from recency_server.promote import Given, filled, promote, spread
from recency_server.query import Placed, Query
from recency_server.reading import User
from recency_server.related import newest_chosen, related_to
from recency_server.release import Release
from recency_server.rules import Rule
from recency_server.score import Scored
from recency_server.showable import Showable
from recency_server.told import Fact

# Gives how long a stage may take now.
Left = Callable[[], float]
# With caps more is retrieved, for the best ones may be of one kind.
_CAPPED = 5


@dataclass(frozen=True, slots=True)
class Choice:
    """One request in the middle of being answered: what each way of finding items for it starts from."""

    release: Release | None
    user: User
    aim: Aim
    query: Query
    left: Left
    parts: Parts
    showable: Showable

    async def score(self, aim: Aim, query: Query) -> Scored:
        """Items for an aim, scored."""
        now = self.showable.now_micros
        return await self.parts.scorer.score(self.release, self.user, aim, query, now, self.left())

    def may_be_shown(self, item_id: str) -> bool:
        """Whether nothing keeps an item out of the answer."""
        return not self.showable.cause(item_id)

    async def best_of(self, aim: Aim, query: Query, showable: Showable, places: int) -> tuple[Placed, ...]:
        """The best items of an aim by score alone."""
        plain = replace(query, diversity=0.0, exploration=0.0)
        return decide(await self.score(aim, plain), plain, self.release, showable, Terms(places=places))


def bounds(user: User, aim: Aim, query: Query, parts: Parts) -> Showable:
    """What may be shown now. What is pinned to a later page has its place there."""
    now = parts.clock()
    effect = parts.rules.in_force.effect(now)
    later = frozenset(pin.target for pin in effect.pins if pin.place > query.offset + query.page_size)
    placed = later if query.candidate_item_ids is None else frozenset()
    return Showable(user, query, parts.follower.catalog, now, aim.narrowed, effect, placed)


async def choose(
    release: Release | None,
    user: User,
    aim: Aim,
    query: Query,
    dice: np.random.Generator | None,
    left: Left,
    parts: Parts,
) -> tuple[Scored, tuple[Placed, ...]]:
    """Scores and decides; what was steered gets its chances later (`chances.py`). Where what was retrieved does not fill the
    slate within a filter or caps, more is ranked: neither empties a slate that could be filled."""
    config, showable = parts.config.policy, bounds(user, aim, query, parts)
    catalog, effect = showable.catalog, parts.rules.in_force.effect(showable.now_micros)
    choice = Choice(release, user, aim, query, left, parts, showable)
    wide = replace(query, page_size=min(_CAPPED * query.page_size, MAX_PAGE_SIZE)) if config.capped else query
    pins = [pin for pin in effect.pins if query.offset < pin.place <= query.offset + query.page_size]
    given: Given = {}
    facts = _facts(choice)
    if pins or query.promotions:
        # At once, so that what they ask of the model shares a batch where it can.
        scored, given = await asyncio.gather(_blended(choice, wide, facts), _given(choice, pins))
        showable = replace(showable, placed=showable.placed.union(there.item_id for there in given.values()))
    else:
        scored = await _blended(choice, wide, facts)
    places = query.page_size - len(given)

    def slate_of(scored: Scored) -> tuple[tuple[Placed, ...], Room | None]:
        room = Room(config, catalog.attributes) if config.capped else None
        if room is not None:
            for there in given.values():
                room.take(there.item_id)
        return decide(scored, query, release, showable, Terms(config, places, room, dice)), room

    ranked, room = slate_of(scored)
    more = _ranks_more(choice, room) if len(ranked) < places and scored.by_model else None
    if more is not None:
        scored = await choice.score(*more)
        ranked, room = slate_of(scored)
        if room is not None:
            # Whether more was ranked hung on what was drawn first: nobody can tell the chances of the second draw.
            ranked = _without_propensities(ranked)
    if scored.by_model and release is not None:
        given, ranked = await _with_fresh(choice, release, given, ranked, room, dice)
    slate = filled(given, ranked, query.page_size)
    if facts:
        scored = replace(scored, facts=facts)
        slate = tuple(placed._replace(fact=facts.get(placed.item_id)) for placed in slate)
    short = _short_of(scored, query, room, len(slate))
    return replace(scored, degraded=(*scored.degraded, *short)) if short else scored, slate


async def _blended(choice: Choice, query: Query, facts: Mapping[str, Fact]) -> Scored:
    """What the request aims at, and beside it what trends in the user's segments and what shares facts with the examples;
    scored at once, so that all share a batch where they can."""
    aim, release = choice.aim, choice.release
    if release is None or aim.named is not None:
        return await choice.score(aim, query)
    found = {
        recommendation_pb2.SOURCE_TREND: _trending(choice, release),
        recommendation_pb2.SOURCE_RELATED: _related(choice, release, facts),
    }
    beside = {source: item_ids for source, item_ids in found.items() if item_ids}
    if not beside:
        return await choice.score(aim, query)
    scored, *others = await asyncio.gather(
        choice.score(aim, query),
        *(choice.score(naming(aim, item_ids, release), query) for item_ids in beside.values()),
    )
    for source, other in zip(beside, others, strict=True):
        if scored.by_model and other.by_model:
            scored = scored.blended(other, source)
    return scored


def _trending(choice: Choice, release: Release) -> Sequence[str]:
    count, now = choice.parts.config.policy.trend_candidates, choice.showable.now_micros
    if not count:
        return ()
    interactions = choice.user.behaviour.interactions
    return choice.parts.trending.of(release, interactions, count, now, choice.may_be_shown)


def _related(choice: Choice, release: Release, facts: Mapping[str, Fact]) -> Sequence[str]:
    known = (item_id for item_id in facts if item_id in release.index_of and choice.may_be_shown(item_id))
    return tuple(islice(known, choice.parts.config.policy.related_candidates))


def _facts(choice: Choice) -> Mapping[str, Fact]:
    """What items share with the examples, or without them with what the user chose last; found only where it counts."""
    config, query = choice.parts.config.policy, choice.query
    if not config.relations or not (config.related_candidates or query.explain):
        return {}
    examples = query.seed_item_ids or newest_chosen(choice.user.behaviour.interactions)
    return related_to(examples, config.relations, choice.parts.follower.catalog.attributes)


def _ranks_more(choice: Choice, room: Room | None) -> tuple[Aim, Query] | None:
    """What to ask next where retrieval found too little: all that the filter lets through, or as much as can be had."""
    aim, query = choice.aim, choice.query
    if choice.release is None or aim.named is not None:
        return None
    if aim.narrowed is not None:
        return all_narrowed(aim, choice.release), query
    return (aim, replace(query, page_size=MAX_PAGE_SIZE)) if room is not None else None


async def _given(choice: Choice, pins: Sequence[Rule]) -> Given:
    """The places that rules and promotions give."""
    query = choice.query
    pinned, promoted = await asyncio.gather(
        _pinned(choice, pins), asyncio.gather(*(_promoted(choice, n) for n in range(len(query.promotions))))
    )
    return promote(list(zip(query.promotions, promoted, strict=True)), query.page_size, pinned)


async def _pinned(choice: Choice, pins: Sequence[Rule]) -> Given:
    """What rules pin to this page, as far as this user may be shown it within this request: a pin gives a place, it opens
    no door. An item that no model can score yet has the score 0 and no probability."""
    query, showable = choice.query, choice.showable
    if query.candidate_item_ids is not None:
        pins = [pin for pin in pins if pin.target in query.candidate_item_ids]
    pins = [pin for pin in pins if not showable.cause(pin.target)]
    if not pins:
        return {}
    item_ids = tuple(pin.target for pin in pins)
    own = replace(query, candidate_item_ids=item_ids)
    found = await choice.best_of(naming(choice.aim, item_ids, choice.release), own, showable, len(item_ids))
    placed_of: Mapping[str, Placed] = {placed.item_id: placed for placed in found}
    source = recommendation_pb2.SOURCE_PROMOTION
    given = {}
    for pin in pins:
        placed = placed_of.get(pin.target) or Placed(pin.target, 0.0, None, source)
        given[pin.place - query.offset - 1] = placed._replace(source=source, promotion=pin.name)
    return given


async def _promoted(choice: Choice, number: int) -> tuple[Placed, ...]:
    """The best of what a promotion lets through, within the request's own filter."""
    query, aim = choice.query, choice.aim
    narrowed = choice.parts.filters.narrow(query.promotions[number].filter, f"promotions[{number}].filter")
    both = narrowed if aim.narrowed is None else aim.narrowed.also(narrowed)
    its = replace(aim, narrowed=both)
    if choice.release is not None and both is not None:
        its = all_narrowed(its, choice.release)
    return await choice.best_of(its, query, replace(choice.showable, narrowed=both), query.page_size)


async def _with_fresh(
    choice: Choice,
    release: Release,
    given: Given,
    ranked: tuple[Placed, ...],
    room: Room | None,
    dice: np.random.Generator | None,
) -> tuple[Given, tuple[Placed, ...]]:
    """Gives new items what is missing of their share, to the best of them by score, in place of the last of the others."""
    parts, query, showable = choice.parts, choice.query, choice.showable
    new = parts.fresh.of(release, showable.now_micros)
    there = [placed.item_id for placed in (*given.values(), *ranked)]
    fresh = sum(map(new.has, there))
    chance = float(dice.random()) if dice is not None else 1.0
    missing = places_for(parts.config.policy.fresh_share, query.page_size, chance) - fresh
    chosen: list[Placed] = []
    takes_part = bool(new.newest) and query.candidate_item_ids is None
    if takes_part and query.exploration > 0.0 and parts.config.policy.fresh_share > 0.0:
        # How many places they get, and so where the others stand, hangs on what was drawn before.
        ranked = _without_propensities(ranked)
    if missing > 0 and takes_part:
        own = replace(query, candidate_item_ids=new.newest)
        bounds = replace(showable, placed=showable.placed.union(there))
        best = await choice.best_of(naming(choice.aim, new.newest, release), own, bounds, len(new.newest))
        chosen = _within(room, best, min(missing, query.page_size - len(given)))
    given = {**given, **spread(chosen, query.page_size, given)}
    over = max(0, len(given) + len(ranked) - query.page_size)
    parts.counters.placed(len(there) + len(chosen) - over, fresh + len(chosen), len(chosen))
    return given, without_last(ranked, over, new.has)


def _without_propensities(ranked: Sequence[Placed]) -> tuple[Placed, ...]:
    return tuple(placed._replace(propensity=None) for placed in ranked)


def _within(room: Room | None, best: Sequence[Placed], count: int) -> list[Placed]:
    """The first so many that there is room for, as new items."""
    chosen: list[Placed] = []
    for placed in best:
        if len(chosen) == count:
            break
        if room is None or room.has(placed.item_id):
            chosen.append(placed._replace(source=recommendation_pb2.SOURCE_NEW))
            if room is not None:
                room.take(placed.item_id)
    return chosen


def _short_of(scored: Scored, query: Query, room: Room | None, placed: int) -> tuple[str, ...]:
    """What of the request a slate does not do."""
    said = []
    if not scored.by_model and (query.diversity > 0.0 or query.exploration > 0.0):
        said.append("diversity and exploration: not without a model; the order is what is trending")
    if room is not None and placed < query.page_size and room.turned_away:
        full = ", ".join(sorted(f"{name} {text!r}" for name, text in room.turned_away)[:3])
        said.append(f"caps: {placed} of {query.page_size} places; no more items fit beside what is full ({full})")
    return tuple(said)
