"""Recommendations that never go stale: the client of a Recency gateway.

    from recency import Recency, event

    with Recency("127.0.0.1:50051") as client:
        done = client.feedback([event("user-1", "film-7", "CLICK")])
        slate = client.recommend("user-1", page_size=5, consistency_token=done.consistency_token)

`AsyncRecency` is the same for asyncio. `recency.errors` draws the tree of errors; `recency.types`, `recency.user_types` and
`recency.release_types` hold what goes in and comes out, `recency.calls.RecommendOptions` what a Recommend may ask for,
`recency.v1` the generated stubs.
"""

from recency.aio import AsyncRecency
from recency.client import Recency
from recency.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    NotFound,
    Overloaded,
    RecencyError,
    ServerError,
    Unavailable,
    Unimplemented,
)
from recency.events import event
from recency.release_types import Activation, Release, ReleaseArm, ReleaseShadow, ReleaseState, ReleaseUse
from recency.session import AsyncSession, Session
from recency.types import (
    DeleteResult,
    Event,
    EventType,
    FeedbackResult,
    FilteredCandidates,
    Freshness,
    HideResult,
    Item,
    MergeResult,
    Promotion,
    Reason,
    ReasonKind,
    Recommendation,
    RecommendView,
    Refresh,
    Slate,
    Source,
    Trace,
    UpsertResult,
)
from recency.user_types import Consent, Erased, KnownUser, ServedSlate, User, UserStored

__all__ = [
    "Activation",
    "AsyncRecency",
    "AsyncSession",
    "Consent",
    "DeadlineExceeded",
    "DeleteResult",
    "Erased",
    "Event",
    "EventType",
    "FailedPrecondition",
    "FeedbackResult",
    "FieldViolation",
    "FilteredCandidates",
    "Freshness",
    "HideResult",
    "InvalidArgument",
    "Item",
    "KnownUser",
    "MergeResult",
    "NotFound",
    "Overloaded",
    "Promotion",
    "Reason",
    "ReasonKind",
    "Recency",
    "RecencyError",
    "RecommendView",
    "Recommendation",
    "Refresh",
    "Release",
    "ReleaseArm",
    "ReleaseShadow",
    "ReleaseState",
    "ReleaseUse",
    "ServedSlate",
    "ServerError",
    "Session",
    "Slate",
    "Source",
    "Trace",
    "Unavailable",
    "Unimplemented",
    "UpsertResult",
    "User",
    "UserStored",
    "event",
]
