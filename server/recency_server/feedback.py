"""Events of one request: which may be stored, what is filled in before, and the acknowledgement after."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from recency.v1 import event_pb2
from recency_server import limits
from recency_server.consistency import encode_token
from recency_server.errors import TooLate
from recency_server.parts import Parts
from recency_server.query import Deadline
from recency_server.validate import Problem, count, refuse, with_prefix
from recency_server.validate_event import event_problems
from recency_store.errors import StoreBusy
from recency_store.records import Appended

# Events checked between two turns of the event loop: about 2 ms.
_STRETCH = 500
# Slates looked up for one request; impressions past it keep their recommendation_id alone.
_SLATES = 100
# Between two tries of a bulk load while the store is busy.
_BUSY_SECONDS = 0.02
_ERASED = "was erased after this had happened; what they do from now on is stored"


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What became of the events, as FeedbackResponse and StreamFeedbackResponse say it."""

    consistency_token: str
    accepted: int
    duplicates: int
    rejected: tuple[event_pb2.RejectedEvent, ...]


async def take_feedback(
    events: Sequence[event_pb2.Event], parts: Parts, deadline: Deadline, *, bulk: bool
) -> Acknowledged:
    """Stores the good events durably and says what is wrong with the others.

    A request without a good event is an error that names every field. A `bulk` load goes on with its next chunk
    instead, and waits where the store is busy: it has nobody behind it.
    """
    reason = count(len(events), 1, limits.FEEDBACK_EVENTS, "events")
    if reason is not None:
        refuse([Problem("events", reason)])
    now_micros, custom = parts.clock(), parts.config.custom_types
    foreign = await _foreign(events, parts)
    good: list[event_pb2.Event] = []
    # Of each good one in the request.
    places: list[int] = []
    problems: list[Problem] = []
    rejected: list[event_pb2.RejectedEvent] = []
    for index, event in enumerate(events):
        if index % _STRETCH == _STRETCH - 1:
            await asyncio.sleep(0)
        found = event_problems(event, now_micros, custom) or foreign.get(index, [])
        if not found:
            good.append(event)
            places.append(index)
            continue
        found = with_prefix(found, f"events[{index}].")
        # One entry an event: its first wrong field; a request that is refused whole names them all.
        rejected.append(event_pb2.RejectedEvent(index=index, field=found[0].field, reason=found[0].reason))
        if not bulk and not good:
            problems += found
    if not good and not bulk:
        refuse(problems)
    appended = await _store(good, parts, deadline, now_micros, patient=bulk) if good else []
    late = [index for index, one in zip(places, appended, strict=True) if one.erased]
    if late and len(late) == len(good) and not bulk:
        refuse([*problems, *(Problem(f"events[{index}].user_id", _ERASED) for index in late)])
    rejected += [event_pb2.RejectedEvent(index=i, field=f"events[{i}].user_id", reason=_ERASED) for i in late]
    rejected.sort(key=lambda one: one.index)
    sequence = max((one.sequence for one in appended), default=0)
    duplicates = sum(one.duplicate for one in appended)
    accepted = len(good) - duplicates - len(late)
    return Acknowledged(encode_token(sequence), accepted, duplicates, tuple(rejected))


async def take_all(events: Sequence[event_pb2.Event], parts: Parts, deadline: Deadline) -> int:
    """Stores all of the events durably, or none where one of them is wrong; answers the newest sequence. What was done
    before its user was erased is refused as well; what came with it is stored."""
    reason = count(len(events), 1, limits.FEEDBACK_EVENTS, "events")
    if reason is not None:
        refuse([Problem("events", reason)])
    now_micros, custom = parts.clock(), parts.config.custom_types
    foreign = await _foreign(events, parts)
    problems = [
        problem
        for index, event in enumerate(events)
        for problem in with_prefix(
            event_problems(event, now_micros, custom) or foreign.get(index, []), f"events[{index}]."
        )
    ]
    refuse(problems)
    appended = await _store(list(events), parts, deadline, now_micros, patient=False)
    refuse([Problem(f"events[{i}].user_id", _ERASED) for i, one in enumerate(appended) if one.erased])
    return max(one.sequence for one in appended)


async def _foreign(events: Sequence[event_pb2.Event], parts: Parts) -> dict[int, list[Problem]]:
    """Which events would take back another user's. What is not in the log yet is not known to be: it is kept, and takes
    back nothing of anybody else when it comes."""
    taking = {index: event for index, event in enumerate(events) if event.retracts_event_id}
    if not taking:
        return {}
    names = [event.retracts_event_id for event in taking.values()]
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(parts.threads, parts.store.get_events, names)
    owners = {event.event_id: event.user_id for event in events} | {one.event_id: one.user_id for one in found.values()}
    problem = Problem("retracts_event_id", "names an event of another user; a user takes back their own")
    return {
        index: [problem]
        for index, event in taking.items()
        if owners.get(event.retracts_event_id, event.user_id) != event.user_id
    }


async def _store(
    events: list[event_pb2.Event], parts: Parts, deadline: Deadline, now_micros: int, *, patient: bool
) -> list[Appended]:
    """Fills in what was left to the gateway and writes; answers what became of each."""
    for event in events:
        if event.custom_type:
            event.type = parts.config.custom_types[event.custom_type]  # type: ignore[assignment]
        if not event.HasField("event_time"):
            event.event_time.seconds, rest = divmod(now_micros, 1_000_000)
            event.event_time.nanos = rest * 1_000
    await _fill_impressions(events, parts)
    remaining = deadline.remaining_seconds()
    if not remaining:
        raise TooLate("the deadline passed before the events were written; nothing was stored")
    try:
        async with asyncio.timeout(remaining):
            appended = await _append(events, parts, patient)
    except TimeoutError as error:
        raise TooLate("the events were not durable in time; send them again: an event_id counts once") from error
    parts.follower.nudge()
    return appended


async def _append(events: list[event_pb2.Event], parts: Parts, patient: bool) -> list[Appended]:
    while True:
        try:
            return await parts.commit.append(events)
        except StoreBusy:
            if not patient:
                raise
            await asyncio.sleep(_BUSY_SECONDS)


async def _fill_impressions(events: Sequence[event_pb2.Event], parts: Parts) -> None:
    """An IMPRESSION with a recommendation_id and no items means the slate as it was served. Where the slate is not (or
    no longer) known, or is another user's, the event is kept as it came."""
    waiting = [
        event
        for event in events
        if event.type == event_pb2.EVENT_TYPE_IMPRESSION and not event.item_id and not event.shown_item_ids
    ]
    if not waiting:
        return
    # The slate may have been answered a moment ago and still wait to be written.
    await parts.slates.flush()
    loop = asyncio.get_running_loop()
    for event in waiting[:_SLATES]:
        slate = await loop.run_in_executor(parts.threads, parts.store.get_slate, event.recommendation_id)
        if slate is not None and slate.user_id == event.user_id:
            event.shown_item_ids.extend(slate.item_ids[: limits.SHOWN_ITEMS])
