from pathlib import Path

import pytest

from recency.v1 import item_pb2
from recency_export.importer import import_items
from recency_export.rows import BadFile
from recency_store.memory import MemoryStore

NOW = 1_760_000_000_000_000


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def imported(path: Path) -> list[item_pb2.Item]:
    store = MemoryStore()
    import_items(store, path, NOW)
    return [stored.item() for stored in store.list_items(100)]


def test_further_columns_become_attributes_and_a_column_of_numbers_gives_numbers(tmp_path: Path) -> None:
    text = "item_id,title,categories,price,code,mixed\na,Chair,wood|home,10.5,007,1\nb,Table,,20,110,two\n"
    chair, table = imported(write(tmp_path, "i.csv", text))
    assert list(chair.categories) == ["wood", "home"]
    assert (chair.attributes["price"], table.attributes["price"]) == (10.5, 20)
    assert (chair.attributes["code"], table.attributes["code"]) == ("007", "110"), "codes with leading zeros are text"
    assert chair.attributes["mixed"] == "1"


def test_json_lines_keep_their_types_and_lists(tmp_path: Path) -> None:
    (item,) = imported(
        write(tmp_path, "i.jsonl", '{"item_id": 3, "categories": ["a|b", "c"], "new": true, "sizes": [1, 2]}\n')
    )
    assert item.item_id == "3"
    assert list(item.categories) == ["a|b", "c"]
    assert item.attributes["new"] is True
    assert [size.number_value for size in item.attributes.fields["sizes"].list_value.values] == [1, 2]


def test_an_item_that_is_there_as_it_is_stays_untouched(tmp_path: Path) -> None:
    store = MemoryStore()
    import_items(store, write(tmp_path, "i.csv", "item_id,title\na,Chair\nb,Table\n"), NOW)
    before = store.get_items(["a", "b"])
    again = import_items(store, write(tmp_path, "i.csv", "item_id,title\na,Chair\nb,Big table\n"), NOW + 1)
    after = store.get_items(["a", "b"])
    assert (again.written, again.unchanged) == (1, 1)
    assert after["a"].revision == before["a"].revision
    assert after["b"].item().title == "Big table"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("item_id,title\na,x\na,y\n", "i.csv:3: item_id: the same id is on line 2"),
        ("item_id,title\n,x\n", "i.csv:2: item_id: empty"),
        (f"item_id,title\na,{'x' * 1025}\n", "i.csv:2: title: 1,025 bytes"),
        ("item_id,maturity\na,101\n", "i.csv:2: maturity: '101' is out of 0..100"),
        (
            "item_id,available_from,available_until\na,2025-01-02,2025-01-01\n",
            "available_until: not after available_from",
        ),
        ("title\nChair\n", "no column 'item_id'"),
    ],
)
def test_a_bad_item_names_its_place_and_nothing_is_written(tmp_path: Path, content: str, words: str) -> None:
    store = MemoryStore()
    with pytest.raises(BadFile) as caught:
        import_items(store, write(tmp_path, "i.csv", content), NOW)
    assert words in str(caught.value)
    assert store.last_sequence() == 0
