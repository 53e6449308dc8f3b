"""A stream both ways whose answers are of the newest message: what was said is taken in its order, and an answer reflects
all that was taken when it was begun. Answers that would be out of date are never begun, so that none waits in a queue.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from google.protobuf import message


class Conversation(Protocol):
    """One open stream."""

    async def take(self, said: message.Message) -> None:
        """Takes one message in; what it raises ends the stream, after what came before it was answered."""
        ...

    async def answer(self, taken: int) -> message.Message:
        """The answer to what has been taken so far, which is so many messages."""
        ...


@dataclass(frozen=True, slots=True)
class Newest:
    """A method that is a conversation: `begin` is handed the end of the call's deadline in seconds from now, or None."""

    begin: Callable[[Callable[[], float | None]], Conversation]


# Sends an answer that was begun at a time of the performance counter.
Write = Callable[[message.Message, float], Awaitable[None]]


class Exchange:
    """Two tasks: one takes what comes, the other answers the newest."""

    def __init__(self, talk: Conversation, busy: Callable[[], AbstractContextManager[None]]) -> None:
        self._talk = talk
        self._busy = busy
        self._news = asyncio.Event()
        self._taken = 0
        self._over = False
        self._failure: Exception | None = None

    def end(self, reason: Exception) -> None:
        """Takes no more; what has been taken is still answered."""
        self._failure = self._failure or reason
        self._news.set()

    async def run(self, requests: AsyncIterator[message.Message], write: Write) -> None:
        """Goes on until the caller has said all, or something goes wrong."""
        failure: Exception | None = None
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(self._read(requests))
            try:
                await self._write(write)
            except Exception as error:
                # Out of the group's sight: it would put it into a group of its own.
                failure = error
            reading.cancel()
        if failure is not None:
            raise failure

    async def _read(self, requests: AsyncIterator[message.Message]) -> None:
        try:
            async for said in requests:
                if self._failure is not None:
                    break
                with self._busy():
                    await self._talk.take(said)
                    self._taken += 1
                    self._news.set()
        except Exception as error:
            self._failure = self._failure or error
        self._over = True
        self._news.set()

    async def _write(self, write: Write) -> None:
        answered = 0
        while True:
            await self._news.wait()
            self._news.clear()
            while self._taken > answered:
                answered, started = self._taken, time.perf_counter()
                with self._busy():
                    await write(await self._talk.answer(answered), started)
            if self._failure is not None:
                raise self._failure
            if self._over:
                return
