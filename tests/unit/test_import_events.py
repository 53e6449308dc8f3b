import datetime as dt
import json
from pathlib import Path

import pytest

from recency.v1 import event_pb2
from recency_export.importer import import_events
from recency_export.rows import BadFile
from recency_store.memory import MemoryStore

NOW = 1_760_000_000_000_000
JANUARY = 1_767_225_600_000_000 - 365 * 86_400_000_000  # 2025-01-01T00:00:00Z


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def imported(path: Path, **options: object) -> list[event_pb2.Event]:
    store = MemoryStore()
    import_events(store, path, NOW, **options)  # type: ignore[arg-type]
    return [logged.event() for logged in store.scan_log()]


def refusal(path: Path, **options: object) -> str:
    store = MemoryStore()
    with pytest.raises(BadFile) as caught:
        import_events(store, path, NOW, **options)  # type: ignore[arg-type]
    assert store.last_sequence() == 0, "a refused file must write nothing"
    return str(caught.value)


def test_a_csv_of_clicks_becomes_clicks_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "e.csv", "user_id,item_id,time\nann,a,2025-01-01T00:00:00Z\nbob,b,1735689600\n")
    first, second = imported(path)
    assert (first.user_id, first.item_id, first.type) == ("ann", "a", event_pb2.EVENT_TYPE_CLICK)
    assert first.event_time.ToMicroseconds() == second.event_time.ToMicroseconds() == JANUARY


@pytest.mark.parametrize(
    "cell",
    [
        "2025-01-01", "2025-01-01 00:00:00", "2025-01-01T00:00:00Z", "2025-01-01T01:00:00+01:00", "20250101",
        "1735689600", "1735689600.0", "1735689600000", "1735689600000000",
    ],
)  # fmt: skip
def test_every_documented_way_to_write_a_time_is_the_same_moment(tmp_path: Path, cell: str) -> None:
    (event,) = imported(write(tmp_path, "e.csv", f"user_id,item_id,time\nann,a,{cell}\n"))
    assert event.event_time.ToMicroseconds() == JANUARY


def test_a_rating_column_makes_ratings_and_further_columns_become_context(tmp_path: Path) -> None:
    (event,) = imported(
        write(tmp_path, "e.csv", "user_id,item_id,timestamp,rating,device\nann,a,1735689600,4.5,phone\n")
    )
    assert event.type == event_pb2.EVENT_TYPE_RATING
    assert event.value == 4.5
    assert event.context["device"] == "phone"


def test_types_are_read_by_name_in_any_case(tmp_path: Path) -> None:
    rows = "".join(
        f"u,i,1735689600,{name}\n" for name in ("click", "ADD_TO_CART", "add-to-cart", "EVENT_TYPE_PURCHASE")
    )
    kinds = [event.type for event in imported(write(tmp_path, "e.csv", "user_id,item_id,time,type\n" + rows))]
    cart = event_pb2.EVENT_TYPE_ADD_TO_CART
    assert kinds == [event_pb2.EVENT_TYPE_CLICK, cart, cart, event_pb2.EVENT_TYPE_PURCHASE]


def test_other_names_are_mapped(tmp_path: Path) -> None:
    path = write(tmp_path, "e.csv", "customer;sku;when\nann;a;1735689600\n")
    (event,) = imported(path, mapping={"customer": "user_id", "sku": "item_id", "when": "time"})
    assert (event.user_id, event.item_id) == ("ann", "a")


def test_the_same_file_twice_counts_nothing_twice_and_equal_rows_count_each(tmp_path: Path) -> None:
    path = write(tmp_path, "e.csv", "user_id,item_id,time\n" + "ann,a,1735689600\n" * 3)
    store = MemoryStore()
    assert import_events(store, path, NOW).written == 3
    again = import_events(store, path, NOW)
    assert (again.written, again.unchanged) == (0, 3)
    assert len(list(store.scan_log())) == 3


def test_json_lines_and_parquet_bring_their_own_types(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [
        {"user_id": 7, "item_id": "a", "time": dt.datetime(2025, 1, 1, tzinfo=dt.UTC), "type": "view", "value": None}
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "e.parquet")
    lines = json.dumps({**rows[0], "time": 1735689600000}) + "\n\n"
    for path in (tmp_path / "e.parquet", write(tmp_path, "e.jsonl", lines)):
        (event,) = imported(path)
        assert (event.user_id, event.type) == ("7", event_pb2.EVENT_TYPE_VIEW)
        assert event.event_time.ToMicroseconds() == JANUARY


def test_quoted_line_breaks_count_as_lines_when_a_later_row_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "e.csv", 'user_id,item_id,time,note\nann,a,1735689600,"two\nlines"\nbob,b,never,x\n')
    assert "e.csv:4: time: 'never' is not a time" in refusal(path)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("ann,a", "e.csv:3: 2 columns where the first line names 4"),
        (",a,1735689600,", "e.csv:3: user_id: empty"),
        ("ann,,1735689600,", "e.csv:3: item_id: empty"),
        ("ann,a,,", "e.csv:3: time: empty"),
        ("ann,a,yesterday,", "e.csv:3: time: 'yesterday' is not a time"),
        ("ann,a,-5,", "e.csv:3: time: '-5' is before 1970"),
        ("ann,a,9999-01-01,", "e.csv:3: time: '9999-01-01' is more than a day in the future"),
        ("ann,a,nan,", "e.csv:3: time: 'nan' is not a finite number"),
        ("ann,a,1735689600,clik", "did you mean CLICK?"),
        ("ann,a,1735689600,rating", "e.csv:3: value: empty; a RATING needs the rating"),
        (f"{'u' * 257},a,1735689600,", "e.csv:3: user_id: 257 bytes, the limit is 256"),
        ("a\x01,a,1735689600,", "e.csv:3: user_id: holds a control character"),
    ],
)
def test_a_bad_row_names_file_line_and_column_and_nothing_is_written(tmp_path: Path, row: str, words: str) -> None:
    path = write(tmp_path, "e.csv", f"user_id,item_id,time,type\nann,a,1735689600,click\n{row}\n")
    assert words in refusal(path)


def test_all_problems_up_to_twenty_are_named_and_the_rest_counted(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, "e.csv", "user_id,item_id,time\n" + "ann,a,soon\n" * 25))
    assert message.count("is not a time") == 20
    assert message.endswith("… and 5 more")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("e.csv", "", "e.csv:1: empty; the first line must name the columns"),
        ("e.csv", "user,item_id,time\na,b,1\n", "no column 'user_id'"),
        ("e.csv", "user,item_id,time\na,b,1\n", "--map user=user_id"),
        ("e.csv", "user_id,user_id,time\na,b,1\n", "user_id: names two columns"),
        ("e.csv", b"user_id,item_id,time\nann,\xff,1735689600\n", "e.csv:2: item_id: not UTF-8"),
        ("e.csv", 'user_id,item_id,time\nann,"a"b,1735689600\n', "e.csv:2: not readable as CSV"),
        ("e.jsonl", '{"user_id": 1\n', "e.jsonl:1: not JSON"),
        ("e.jsonl", "[1]\n", "e.jsonl:1: not a JSON object"),
        ("e.jsonl", '{"user_id":{},"item_id":"a","time":1}\n', "e.jsonl:1: user_id: an object"),
        ("e.parquet", b"PAR1 is what it begins with", "e.parquet: not readable as Parquet"),
        ("e.xlsx", b"", "the ending tells the format"),
    ],
)
def test_a_malformed_file_is_refused_with_its_place(
    tmp_path: Path, name: str, content: str | bytes, words: str
) -> None:
    assert words in refusal(write(tmp_path, name, content))


def test_a_mapping_of_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "e.csv", "user_id,item_id,time\na,b,1735689600\n")
    assert "--map names column 'sku'" in refusal(path, mapping={"sku": "item_id"})


def test_without_a_store_a_file_is_only_checked(tmp_path: Path) -> None:
    done = import_events(None, write(tmp_path, "e.csv", "user_id,item_id,time\na,b,1735689600\n"), NOW)
    assert (done.rows, done.written) == (1, 0)
