"""Whether an answer may hold an item: every cause that keeps one out, in one place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from recency_server.catalog import Catalog
from recency_server.filters import Narrowed
from recency_server.query import Query
from recency_server.reading import User
from recency_server.rules_in_force import Effect


@dataclass(frozen=True)
class Showable:
    """The bounds of one answer.

    Seen, excluded and hidden items, and those that a rule leaves out, were masked inside the graph already; here they are
    looked at once more, because what was hidden while the model worked must not be shown either.
    """

    user: User
    query: Query
    catalog: Catalog
    now_micros: int
    narrowed: Narrowed | None = None
    effect: Effect | None = None
    # What has its place in the slate already.
    placed: frozenset[str] = field(default_factory=frozenset)

    def cause(self, item_id: str) -> str:
        """What keeps an item out; empty where nothing does."""
        user = self.user
        if item_id in user.rejected or (user.leave_out_seen and item_id in user.seen):
            return "seen"
        if item_id in self._left_out:
            return "excluded"
        if not self.catalog.shows(item_id, self.now_micros):
            return "hidden"
        if self.effect is not None and self.effect.excluded is not None and self.effect.excluded.fits(item_id):
            return "rule"
        if self.narrowed is not None and not self.narrowed.fits(item_id):
            return "filter"
        return "placed" if item_id in self.placed else ""

    def causes(self, item_ids: Iterable[str]) -> dict[str, set[str]]:
        """The same for many items, by cause; what nothing keeps out is under the empty text. By sets, because a trace looks
        at the whole catalogue."""
        user, rest, found = self.user, set(item_ids), dict[str, set[str]]()
        found["seen"] = rest.intersection({*user.rejected, *user.seen} if user.leave_out_seen else user.rejected)
        rest -= found["seen"]
        found["excluded"] = rest & self._left_out
        rest -= found["excluded"]
        found["hidden"] = rest.difference(self.catalog.entries) | (rest & self.catalog.hidden(self.now_micros))
        rest -= found["hidden"]
        excluded = self.effect.excluded if self.effect is not None else None
        found["rule"] = rest.intersection(excluded.item_ids()) if excluded is not None else set()
        rest -= found["rule"]
        found["filter"] = rest.difference(self.narrowed.item_ids()) if self.narrowed is not None else set()
        rest -= found["filter"]
        found["placed"] = rest & self.placed
        found[""] = rest - self.placed
        return found

    @cached_property
    def _left_out(self) -> frozenset[str]:
        query = self.query
        return frozenset((*query.exclude_item_ids, *query.seed_item_ids, *query.negative_item_ids))
