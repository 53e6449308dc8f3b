"""A promotion, as a request has it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Promotion:
    """`share` of the slate at most goes to items that `filter` lets through."""

    name: str
    filter: str
    share: float

    def places(self, page_size: int) -> int:
        """How many places that is: rounded down, but for what floating point takes away."""
        return int(self.share * page_size + 1e-9)
