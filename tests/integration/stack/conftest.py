"""What tests over the whole stack call with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from served_stack import ServedStack

from recency import Recency


@pytest.fixture
def here(stack: ServedStack) -> Iterator[Recency]:
    """A client of the first gateway."""
    with Recency(stack.here.address) as client:
        yield client


@pytest.fixture
def there(stack: ServedStack) -> Iterator[Recency]:
    """A client of the second gateway, over the same store."""
    with Recency(stack.there.address) as client:
        yield client


@pytest.fixture
def film_ids(here: Recency) -> list[str]:
    """The catalogue."""
    return [item.item_id for item in here.list_items()]
