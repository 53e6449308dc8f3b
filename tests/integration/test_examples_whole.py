"""Each example as its page has it: one command, from nothing to answers that show what the page says (`make chaos`)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What an example's answers must show, whatever the figures.
SHOWN = {
    "knowledge": ("director: Alfred Hitchcock", "no item has an attribute of this name", "Amadeus (Drama"),
    "news": ("the story is place 1\n", "Is one of the newest", "the story is not in it, in the next answer"),
    "shopping": ("tent is in the cart", "has just sold out: not in it", "Promoted: rainy week"),
    "support": ("The room does not get warm", "new  Today: text messages", "what did not help is not in it"),
    "video": ("Because you liked Aladdin", "of 8 are new", " is not in it"),
}


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", sorted(SHOWN))
def test_an_example_runs_from_nothing_to_answers(
    name: str, tmp_path: Path, every_fault: bool, local_triton: None
) -> None:
    if not every_fault:
        pytest.skip("a minute each: with --every-fault (make chaos)")
    command = [sys.executable, str(ROOT / "examples" / "run.py"), name, "--data", str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [said for said in SHOWN[name] if said not in done.stdout] == [], done.stdout
    assert "degraded" not in done.stdout
    manifest = json.loads((tmp_path / "data" / "releases" / "1" / "manifest.json").read_text())
    hours = (3_600.0, 21_600.0, 86_400.0)
    assert (tuple(manifest["trend_half_lives_seconds"]) == hours) == (name == "news")
