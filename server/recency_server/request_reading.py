"""What has been read of a request so far, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recency_server import limits
from recency_server.validate import Problem, count, identifier


class Reading:
    """What has been read so far: the arguments of Query, and what is wrong."""

    __slots__ = ("custom", "digest", "labels", "now_micros", "problems", "query", "user_id")

    def __init__(self, now_micros: int, user_id: str, digest: bytes, custom: Mapping[str, int]) -> None:
        self.custom = custom
        self.now_micros = now_micros
        self.user_id = user_id
        self.digest = digest
        self.query: dict[str, Any] = {}
        self.labels: dict[str, str] = {}
        self.problems: list[Problem] = []

    def check(self, field: str, reason: str | None) -> bool:
        """Notes what is wrong with a field, if anything; whether it is right."""
        if reason is None:
            return True
        self.problems.append(Problem(field, reason))
        return False

    def check_ids(self, field: str, ids: Sequence[str], most: int) -> bool:
        """Checks a list of item ids."""
        if not self.check(field, count(len(ids), 0, most, "ids")):
            return False
        before = len(self.problems)
        for index, item_id in enumerate(ids):
            # Most ids are short printable ASCII; the message is made for the others alone.
            if not item_id or len(item_id) > limits.ID_BYTES or not item_id.isascii() or not item_id.isprintable():
                self.check(f"{field}[{index}]", identifier(item_id))
        return len(self.problems) == before
