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


def test_vectors_come_as_an_object_of_lists_and_a_wrong_one_names_its_line(tmp_path: Path) -> None:
    store = MemoryStore()
    good = write(tmp_path, "i.jsonl", '{"item_id": "a", "vectors": {"image/v1": [1, 0.5], "audio/v1": null}}\n')
    import_items(store, good, NOW, spaces={"image/v1": 2})
    assert list(store.get_items(["a"])["a"].item().vectors["image/v1"].values) == [1.0, 0.5]
    for vectors, words in (
        ('{"image/v1": [1]}', "i.jsonl:1: vectors: image/v1 has 1 values; vectors of this space have 2"),
        ('{"image/v2": [1, 2]}', "i.jsonl:1: vectors: names a space that is not configured"),
        ('{"image/v1": "1, 2"}', "i.jsonl:1: vectors: something else than a list of numbers"),
        ('{"image/v1": [1, true]}', "i.jsonl:1: vectors: true or false where a number is expected"),
        ("[1, 2]", "i.jsonl:1: vectors: a list where an object of lists of numbers is expected"),
    ):
        wrong = write(tmp_path, "i.jsonl", f'{{"item_id": "b", "vectors": {vectors}}}\n')
        with pytest.raises(BadFile) as caught:
            import_items(store, wrong, NOW, spaces={"image/v1": 2})
        assert words in str(caught.value)
    assert "b" not in store.get_items(["b"])


def test_vectors_come_from_parquet_as_a_map_or_a_struct(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    pairs = pyarrow.map_(pyarrow.string(), pyarrow.list_(pyarrow.float32()))
    struct = pyarrow.struct([("image/v1", pyarrow.list_(pyarrow.float32()))])
    for kind, cell in ((pairs, [("image/v1", [1.0, 0.5])]), (struct, {"image/v1": [1.0, 0.5]})):
        table = pyarrow.table({"item_id": ["a", "b"], "vectors": pyarrow.array([cell, None], type=kind)})
        pyarrow.parquet.write_table(table, tmp_path / "i.parquet")
        store = MemoryStore()
        import_items(store, tmp_path / "i.parquet", NOW, spaces={"image/v1": 2})
        assert list(store.get_items(["a"])["a"].item().vectors["image/v1"].values) == [1.0, 0.5]
        assert not store.get_items(["b"])["b"].item().vectors
