"""Slates as the examples print them."""

from __future__ import annotations

from recency import Slate


def show(said: str, slate: Slate, before: Slate | None = None, reasons: int = 2) -> None:
    """A slate with its first reasons; beside an earlier one each place says what is new, and what went up or down."""
    print(f"\n{said}")
    for place, one in enumerate(slate.recommendations):
        title = one.item.title if one.item else one.item_id
        kinds = ", ".join(one.item.categories) if one.item else ""
        print(f"{place + 1:>3} {moved(one.item_id, place, before):>4}  {title} ({kinds})")
        # The strongest of each kind: eight events can be reasons, and then likeness or trend would not be seen.
        first_of = {reason.kind: reason for reason in reversed(one.reasons)}
        for reason in [reason for reason in one.reasons if reason in first_of.values()][:reasons]:
            print(f"           · {reason.text}")
    if slate.degraded:
        print(f"    degraded: {slate.degraded_reason}")


def moved(item_id: str, place: int, before: Slate | None) -> str:
    """What became of an item since an earlier slate: `new`, `▲3`, `▼1` or nothing."""
    if before is None:
        return ""
    if item_id not in before.item_ids:
        return "new"
    up = before.item_ids.index(item_id) - place
    return f"▲{up}" if up > 0 else f"▼{-up}" if up < 0 else "="


def new_in(slate: Slate, before: Slate) -> str:
    """How many places of a slate are taken by what an earlier one did not have."""
    return f"{len(set(slate.item_ids) - set(before.item_ids))} of {len(slate.item_ids)} are new"


def place_of(item_id: str, slate: Slate) -> str:
    """Where an item stands in a slate."""
    return f"place {slate.item_ids.index(item_id) + 1}" if item_id in slate.item_ids else "not in it"
