"""Whether a user may be stored, and what of them an update mask names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from recency.v1 import user_pb2
from recency_server import limits
from recency_server.validate import Problem, identifier, record, whole, with_prefix

# Paths by which everything is replaced, besides none at all.
_ALL = ("*",)
_FIELDS = ("attributes", "consent", "consent.personalization", "consent.training", "maturity_limit")
# The server's to fill: what a caller sends in them, or names of them, changes nothing (AIP-203).
OUTPUT_ONLY = ("create_time", "update_time")
ATTRIBUTE = "attributes."


def upsert_problems(request: user_pb2.UpsertUserRequest) -> list[Problem]:
    """What is wrong with a request to store a user."""
    return with_prefix(list(_user_problems(request.user)), "user.") + list(_mask_problems(request.update_mask.paths))


def replaces_all(paths: Sequence[str]) -> bool:
    """Whether a mask names the whole user."""
    return not paths or list(paths) == list(_ALL)


def attribute_problems(user: user_pb2.User) -> list[Problem]:
    """What is wrong with the attributes of a user as they would be stored: each may be right, and all of them too much."""
    reason = record(user.attributes)
    return [] if reason is None else [Problem("user.attributes", reason)]


def _user_problems(user: user_pb2.User) -> Iterator[Problem]:
    reason = identifier(user.user_id)
    if reason is not None:
        yield Problem("user_id", reason)
    reason = record(user.attributes)
    if reason is not None:
        yield Problem("attributes", reason)
    if user.HasField("maturity_limit"):
        reason = whole(user.maturity_limit, 0, limits.MAX_MATURITY)
        if reason is not None:
            yield Problem("maturity_limit", reason)


def _mask_problems(paths: Sequence[str]) -> Iterator[Problem]:
    if len(paths) > limits.MASK_PATHS:
        yield Problem("update_mask", f"names {len(paths):,} paths, the limit is {limits.MASK_PATHS}")
        return
    for index, path in enumerate(paths):
        where = f"update_mask.paths[{index}]"
        if path == "*":
            if len(paths) > 1:
                yield Problem(where, "is * beside other paths; it stands alone, for everything")
        elif path == "user_id":
            yield Problem(where, "is user_id, which says who is stored and never changes; leave it out")
        elif path.startswith(ATTRIBUTE):
            reason = identifier(path.removeprefix(ATTRIBUTE))
            if reason is not None:
                yield Problem(where, f"names an attribute that {reason}")
        elif path not in _FIELDS and path not in OUTPUT_ONLY:
            yield Problem(where, f"is no field of a user; name {', '.join(_FIELDS)} or attributes.<name>")
