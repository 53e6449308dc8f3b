"""A conversation answers the newest: what is out of date is dropped, what was said is taken in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
from google.protobuf import message, wrappers_pb2

from recency_server.conversation import Exchange


class Talk:
    """Answers with how much it has taken, each time when it is let."""

    def __init__(self) -> None:
        self.said: list[int] = []
        self.answering: list[int] = []
        self.may_answer = asyncio.Event()

    async def take(self, said: message.Message) -> None:
        assert isinstance(said, wrappers_pb2.Int64Value)
        if said.value < 0:
            raise ValueError(f"{said.value} is negative")
        self.said.append(said.value)

    async def answer(self, taken: int) -> message.Message:
        self.answering.append(taken)
        await self.may_answer.wait()
        return wrappers_pb2.Int64Value(value=taken)


class Side:
    """What a caller says and hears, and how much work is noted as running."""

    def __init__(self) -> None:
        self.saying: asyncio.Queue[int | None] = asyncio.Queue()
        self.heard: list[int] = []
        self.busy = 0

    async def requests(self) -> AsyncIterator[message.Message]:
        while (value := await self.saying.get()) is not None:
            yield wrappers_pb2.Int64Value(value=value)

    async def write(self, response: message.Message, started: float) -> None:
        assert isinstance(response, wrappers_pb2.Int64Value)
        self.heard.append(response.value)

    @contextmanager
    def working(self) -> Iterator[None]:
        self.busy += 1
        yield
        self.busy -= 1

    def say(self, *values: int | None) -> None:
        for value in values:
            self.saying.put_nowait(value)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_comes_while_an_answer_is_made_is_answered_once() -> None:
    talk, side = Talk(), Side()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(Exchange(talk, side.working).run(side.requests(), side.write))
        side.say(1)
        await settled()
        side.say(2, 3, 4, 5)
        await settled()
        assert talk.said == [1, 2, 3, 4, 5]
        assert talk.answering == [1]
        talk.may_answer.set()
        side.say(None)
    assert side.heard == [1, 5]
    assert side.busy == 0


async def test_a_wrong_message_ends_it_after_what_came_before_was_answered() -> None:
    talk, side = Talk(), Side()
    talk.may_answer.set()
    side.say(1, 2, -3, 4)
    with pytest.raises(ValueError, match="-3 is negative"):
        await Exchange(talk, side.working).run(side.requests(), side.write)
    assert side.heard == [2]
    assert talk.said == [1, 2]


async def test_told_to_end_it_finishes_the_answer_that_it_makes() -> None:
    talk, side = Talk(), Side()
    exchange = Exchange(talk, side.working)
    side.say(1)
    running = asyncio.ensure_future(exchange.run(side.requests(), side.write))
    await settled()
    exchange.end(RuntimeError("closing"))
    await settled()
    assert not running.done()
    assert side.busy == 1
    talk.may_answer.set()
    with pytest.raises(RuntimeError, match="closing"):
        await running
    assert side.heard == [1]


async def test_an_open_one_that_is_cancelled_leaves_nothing_running() -> None:
    talk, side = Talk(), Side()
    running = asyncio.ensure_future(Exchange(talk, side.working).run(side.requests(), side.write))
    await settled()
    before = len(asyncio.all_tasks())
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(asyncio.all_tasks()) == before - 2
