"""Items that share facts: the same director, the same cast, whatever a catalogue says of its items."""

from __future__ import annotations

from typing import Any

from recency.v1 import event_pb2, item_pb2
from recency_features.history import Interaction
from recency_server.attributes import Attributes
from recency_server.related import newest_chosen, related_to
from recency_server.told import Fact


def catalogue(**attributes: Any) -> Attributes:
    made = Attributes()
    for item_id, values in attributes.items():
        item = item_pb2.Item(
            item_id=item_id, provider=values.pop("provider", ""), categories=values.pop("categories", [])
        )
        item.attributes.update(values)
        made.put(item_id, item)
    return made


FILMS: dict[str, dict[str, Any]] = {
    "fargo": {"director": ["Joel Coen", "Ethan Coen"], "cast": ["McDormand"], "categories": ["Crime"]},
    "lebowski": {"director": ["Joel Coen", "Ethan Coen"], "cast": ["Goodman"]},
    "blood": {"director": "Joel Coen", "cast": ["McDormand"]},
    "almost": {"cast": ["McDormand"], "provider": "Dream"},
    "other": {"director": ["Wilder"], "categories": ["Crime"], "provider": "Dream"},
}


def films(**more: Any) -> Attributes:
    return catalogue(**{name: dict(values) for name, values in FILMS.items()}, **more)


def test_what_shares_the_most_and_the_rarest_comes_first_with_its_rarest_fact() -> None:
    found = related_to(["fargo"], ["director", "cast"], films())
    # Both Coens (two and three films) before one of them and the cast (three each) before the cast alone.
    assert list(found) == ["lebowski", "blood", "almost"]
    assert found["lebowski"] == Fact("director", "Ethan Coen", "fargo")
    assert found["blood"].relation in ("director", "cast")
    assert found["almost"] == Fact("cast", "McDormand", "fargo")


def test_a_relation_is_any_attribute_a_category_or_the_provider() -> None:
    assert related_to(["other"], ["provider"], films()) == {"almost": Fact("provider", "Dream", "other")}
    assert related_to(["other"], ["categories"], films()) == {"fargo": Fact("categories", "Crime", "other")}
    assert related_to(["other"], ["no_such"], films()) == {}
    assert related_to(["no such"], ["director"], films()) == {}
    assert related_to([], ["director"], films()) == {}


def test_an_example_is_not_related_to_itself_and_a_deleted_item_to_nothing() -> None:
    attributes = films()
    assert "blood" not in related_to(["fargo", "blood"], ["director"], attributes)
    attributes.put("lebowski", None)
    assert list(related_to(["fargo"], ["director"], attributes)) == ["blood"]


def test_what_everything_shares_relates_nothing() -> None:
    many = {
        f"n-{number}": {"language": "English", "director": "Joel Coen" if number < 3 else "N"} for number in range(40)
    }
    found = related_to(["fargo"], ["language", "director"], films(**many))
    assert set(found) == {"lebowski", "blood", "n-0", "n-1", "n-2"}
    assert related_to(["n-9"], ["language", "director"], films(**many)) == {}


def test_what_was_chosen_last_comes_newest_first_and_once() -> None:
    click, view = event_pb2.EVENT_TYPE_CLICK, event_pb2.EVENT_TYPE_VIEW
    events = [("a", click), ("b", click), ("c", view), ("a", click), *((f"x{n}", click) for n in range(7))]
    interactions = [Interaction(item_id, kind, number) for number, (item_id, kind) in enumerate(events)]
    assert newest_chosen(interactions) == ["x6", "x5", "x4", "x3", "x2", "x1", "x0", "a"]
    assert newest_chosen(interactions[:4]) == ["a", "b"]
    assert newest_chosen([]) == []
