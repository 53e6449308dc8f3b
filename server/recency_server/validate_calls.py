"""Checks of the smaller requests: lists of ids, reasons, pages, one id."""

from __future__ import annotations

from collections.abc import Sequence

from recency_server import limits
from recency_server.pages import decode_page
from recency_server.validate import Problem, count, identifier, refuse, text, whole


def check_id(field: str, value: str) -> None:
    """One required id."""
    reason = identifier(value)
    if reason is not None:
        refuse([Problem(field, reason)])


def check_ids(item_ids: Sequence[str], reason: str | None = None) -> list[str]:
    """1..1,000 item ids, and the reason that goes with them where one is asked for; the ids once each, in order."""
    problems: list[Problem] = []
    found = count(len(item_ids), 1, limits.UPSERT_ITEMS, "ids")
    if found is not None:
        problems.append(Problem("item_ids", found))
    else:
        problems += [
            Problem(f"item_ids[{i}]", wrong) for i, v in enumerate(item_ids) if (wrong := identifier(v)) is not None
        ]
    if reason is not None:
        wrong = "is empty; say why, for the record" if not reason.strip() else text(reason, limits.REASON_BYTES)
        if wrong is not None:
            problems.append(Problem("reason", wrong))
    refuse(problems)
    return list(dict.fromkeys(item_ids))


def check_release(release: int, reason: str, problems: Sequence[Problem] = (), *, least: int = 1) -> None:
    """A release's number (`least` 0 where that has a meaning), a reason for the record, and what else was found."""
    found = list(problems)
    wrong = text(reason, limits.REASON_BYTES)
    if wrong is not None:
        found.append(Problem("reason", wrong))
    if release < least:
        found.append(Problem("release", f"is {release}; give the number of a release, as ListReleases shows it"))
    refuse(found)


def check_page(kind: str, page_size: int, page_token: str) -> tuple[int, str]:
    """How many entries a page of the list `kind` holds, and where the last page ended ("" before the first)."""
    problems: list[Problem] = []
    if page_size:
        reason = whole(page_size, 1, limits.MAX_LIST_SIZE)
        if reason is not None:
            problems.append(Problem("page_size", reason))
    after = decode_page(kind, page_token) if page_token else ""
    if after is None:
        problems.append(Problem("page_token", "is not a next_page_token of this list; send it as it was given"))
    refuse(problems)
    return page_size or limits.DEFAULT_LIST_SIZE, after or ""
