"""What the examples are made of: data that an import takes as it is, and settings that there are."""

import importlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recency_cli.config import load
from recency_cli.exporting import movielens_folder
from recency_export.importer import import_events, import_items
from recency_server.rules_file import read_rules

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/recency.toml"))
OF_MOVIELENS = ("knowledge", "video")
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


def test_there_is_an_example_of_each_scenario() -> None:
    assert NAMES == ["knowledge", "news", "shopping", "support", "video"]


@pytest.mark.parametrize("name", NAMES)
def test_the_data_of_an_example_is_imported_as_it_is(name: str, tmp_path: Path) -> None:
    if name in OF_MOVIELENS and not movielens_folder().is_dir():
        pytest.skip("no MovieLens here: `make setup` fetches it")
    importlib.import_module(f"{name}.data").write(tmp_path, NOW)
    settings = load(EXAMPLES / name / "recency.toml", {})
    assert settings.export().train.epochs <= 12, "a first release within a minute or so"
    if rules := settings.gateway().recommend.policy.rules:
        assert read_rules(rules.read_bytes(), str(rules)).rules
    now = int(NOW.timestamp() * 1e6)
    items = import_items(None, tmp_path / "items.jsonl", now)
    events = import_events(None, tmp_path / "events.jsonl", now, custom=settings.custom_types())
    assert 100 <= items.rows <= 500
    assert 3_000 < events.rows < 15_000
    rows = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    assert len({row["title"] for row in rows}) > 0.99 * len(rows), "titles tell items apart"
    known = {row["item_id"] for row in rows} | {""}
    assert {json.loads(line)["item_id"] for line in (tmp_path / "events.jsonl").read_text().splitlines()} <= known


@pytest.mark.parametrize("name", ["news", "shopping", "support"])
def test_made_up_data_is_the_same_each_time(name: str, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        importlib.import_module(f"{name}.data").write(tmp_path / folder, NOW)
    for file in ("items.jsonl", "events.jsonl"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
