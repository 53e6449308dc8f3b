"""How much runs at once. What finds no place is refused at once: a queue here would only make everyone late."""

from __future__ import annotations

from types import TracebackType

from recency_server.errors import Overloaded


class Admission:
    """`limit` places for one kind of work: `with admission:` takes one, or raises Overloaded."""

    def __init__(self, kind: str, limit: int) -> None:
        self.kind = kind
        self.limit = limit
        self.busy = 0
        self.refused = 0

    def __enter__(self) -> None:
        if self.busy >= self.limit:
            self.refused += 1
            raise Overloaded(f"{self.limit} {self.kind} calls are running already; retry after a short wait")
        self.busy += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.busy -= 1
