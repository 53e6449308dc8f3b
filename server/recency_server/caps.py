"""At most so many of a category and of a provider in a slate. A cap is never loosened: where it leaves too few items, the
slate is shorter, and the answer says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from recency_server.attributes import Attributes
from recency_server.diversity import Closes
from recency_server.policy_config import PolicyConfig

Group = tuple[str, str]


class Room:
    """What one slate has room for still. `turned_away` holds the groups that were full when somebody came."""

    def __init__(self, config: PolicyConfig, attributes: Attributes) -> None:
        self._caps = {"categories": config.category_cap, "provider": config.provider_cap}
        self._attributes = attributes
        self._taken: Counter[Group] = Counter()
        self._groups: dict[str, list[Group]] = {}
        self.turned_away: set[Group] = set()

    def has(self, item_id: str) -> bool:
        """Whether there is room for an item."""
        full = [group for group in self._groups_of(item_id) if self._taken[group] >= self._caps[group[0]]]
        self.turned_away.update(full)
        return not full

    def take(self, item_id: str) -> None:
        """An item has its place."""
        self._taken.update(self._groups_of(item_id))

    def give_back(self, item_id: str) -> None:
        """An item lost its place."""
        self._taken.subtract(self._groups_of(item_id))

    def within(self, ranked: Iterable[tuple[str, float]]) -> Iterator[tuple[str, float]]:
        """The ranked items that there is room for, each taking its place as it is read."""
        for item_id, score in ranked:
            if self.has(item_id):
                self.take(item_id)
                yield item_id, score

    def closes(self, item_ids: Sequence[str]) -> Closes:
        """For a choice out of a pool, by index."""

        def close(index: int) -> list[int]:
            self.take(item_ids[index])
            return [other for other, item_id in enumerate(item_ids) if not self.has(item_id)]

        return close

    def _groups_of(self, item_id: str) -> list[Group]:
        groups = self._groups.get(item_id)
        if groups is None:
            texts_of = self._attributes.texts_of
            groups = [(name, text) for name, cap in self._caps.items() if cap for text in texts_of(item_id, name)]
            self._groups[item_id] = groups
        return groups
