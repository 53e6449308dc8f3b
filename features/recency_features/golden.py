"""Golden cases travel in every release: synthetic raw histories with the outputs that torch gave. Whoever adopts the release
replays them through its own code and the real Triton first, so a skew is a refused release with a reason.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

# How far a served logit may be from torch's.
TOLERANCE = 2e-3


@dataclass(frozen=True, slots=True)
class GoldenCase:
    """One request and its answer. Times are ages in seconds before the request; the overlay is empty (no bias, no fresh
    item) and trends are those of the release's `trends.npz` at trained-through time.

    history              (item id, event type, age in seconds), oldest first
    exclude_item_ids     masked in the recommender
    steer                [D] or empty for none
    expected_item_ids    the recommender's first items, best first, with expected_logits
    candidate_item_ids   for the scorer, with expected_candidate_logits
    """

    history: tuple[tuple[str, int, float], ...]
    exclude_item_ids: tuple[str, ...]
    steer: tuple[float, ...]
    expected_item_ids: tuple[str, ...]
    expected_logits: tuple[float, ...]
    candidate_item_ids: tuple[str, ...]
    expected_candidate_logits: tuple[float, ...]


def write_golden(path: Path, cases: list[GoldenCase]) -> None:
    """Writes the cases as JSON."""
    path.write_text(json.dumps([asdict(case) for case in cases], indent=1), encoding="utf-8")


def read_golden(path: Path) -> list[GoldenCase]:
    """Reads what `write_golden` wrote."""
    cases = json.loads(path.read_text(encoding="utf-8"))
    return [
        GoldenCase(
            history=tuple((str(i), int(t), float(a)) for i, t, a in case["history"]),
            exclude_item_ids=tuple(case["exclude_item_ids"]),
            steer=tuple(case["steer"]),
            expected_item_ids=tuple(case["expected_item_ids"]),
            expected_logits=tuple(case["expected_logits"]),
            candidate_item_ids=tuple(case["candidate_item_ids"]),
            expected_candidate_logits=tuple(case["expected_candidate_logits"]),
        )
        for case in cases
    ]
