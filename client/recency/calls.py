"""Each call as a value: which method, what request, and how its response is read. Both clients run these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypedDict, TypeVar

from google.protobuf.message import Message

from recency.messages import (
    duration_of,
    event_to_message,
    item_from,
    item_to_message,
    number_of,
    release_from,
    slate_from,
    struct_of,
)
from recency.release_types import Activation, Release
from recency.types import (
    DeleteResult,
    Event,
    FeedbackResult,
    HideResult,
    Item,
    MergeResult,
    Promotion,
    RecommendView,
    Refresh,
    RejectedEvent,
    Slate,
    UpsertResult,
)
from recency.v1 import catalog_pb2, event_pb2, recommendation_pb2, release_pb2, user_pb2

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Call(Generic[Result]):
    """One call, not made yet."""

    method: str
    request: Message
    read: Callable[[Any], Result]
    # How much longer than others it may take: it was asked to wait.
    extra_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Page(Generic[Result]):
    """A page of a list and the token of the next one, empty after the last."""

    entries: tuple[Result, ...]
    next_page_token: str


class RecommendOptions(TypedDict, total=False):
    """What a Recommend may ask for; proto `RecommendRequest` says what each means, its range and default.

    `consistency_token` is one token or several. What is left out has the server's default.
    """

    page_size: int
    page_token: str
    session_id: str
    surface: str
    labels: Mapping[str, str]
    context: Mapping[str, Any]
    recent_events: Sequence[Event]
    query: str
    query_weight: float | None
    seed_item_ids: Sequence[str]
    negative_item_ids: Sequence[str]
    candidate_item_ids: Sequence[str]
    filter: str
    exclude_item_ids: Sequence[str]
    include_seen: bool | None
    promotions: Sequence[Promotion]
    diversity: float | None
    exploration: float | None
    explain: bool
    trace: bool
    consistency_token: str | Sequence[str]
    strict_consistency: bool
    max_staleness: timedelta | None
    view: RecommendView | str
    validate_only: bool


def recommend(user_id: str, options: RecommendOptions) -> Call[Slate]:
    """Recommend; TypeError for an option that there is not."""
    return Call("Recommend", _recommend_request(user_id, options), slate_from)


def session_message(
    events: Sequence[Event], user_id: str = "", options: RecommendOptions | None = None
) -> recommendation_pb2.StreamRecommendRequest:
    """A message of an interactive session: events, and with `options` the request from now on."""
    message = recommendation_pb2.StreamRecommendRequest(events=[event_to_message(e) for e in events])
    if options is not None:
        message.request.CopyFrom(_recommend_request(user_id, options))
    return message


def refresh_from(response: recommendation_pb2.StreamRecommendResponse) -> Refresh:
    """A refreshed slate as it was answered."""
    return Refresh(slate_from(response.response), response.messages_reflected)


def merge_users(source_user_id: str, target_user_id: str) -> Call[MergeResult]:
    """MergeUsers."""

    def read(response: user_pb2.MergeUsersResponse) -> MergeResult:
        return MergeResult(response.consistency_token, response.moved_events)

    request = user_pb2.MergeUsersRequest(source_user_id=source_user_id, target_user_id=target_user_id)
    return Call("MergeUsers", request, read)


def _recommend_request(user_id: str, options: RecommendOptions) -> recommendation_pb2.RecommendRequest:
    unknown = options.keys() - RecommendOptions.__annotations__.keys()
    if unknown:
        raise TypeError(f"recommend() has no option {', '.join(sorted(unknown))}")
    # What needs more than being copied: everything else is the request's field as it is.
    fields: dict[str, Any] = dict(options)
    token = fields.pop("consistency_token", ())
    fields["consistency_token"] = [t for t in ([token] if isinstance(token, str) else token) if t]
    fields["context"] = struct_of(fields.pop("context", {}))
    fields["recent_events"] = [event_to_message(e) for e in fields.pop("recent_events", ())]
    fields["promotions"] = [
        recommendation_pb2.Promotion(name=p.name, filter=p.filter, share=p.share) for p in fields.pop("promotions", ())
    ]
    staleness = fields.pop("max_staleness", None)
    fields["max_staleness"] = None if staleness is None else duration_of(staleness)
    fields["view"] = number_of(RecommendView, fields.pop("view", RecommendView.UNSPECIFIED))
    return recommendation_pb2.RecommendRequest(user_id=user_id, **fields)


def feedback(events: Sequence[Event]) -> Call[FeedbackResult]:
    """Feedback."""

    def read(response: event_pb2.FeedbackResponse) -> FeedbackResult:
        rejected = tuple(RejectedEvent(r.index, r.field, r.reason) for r in response.rejected)
        return FeedbackResult(response.consistency_token, response.accepted, response.duplicates, rejected)

    return Call("Feedback", event_pb2.FeedbackRequest(events=[event_to_message(e) for e in events]), read)


def upsert_items(items: Sequence[Item]) -> Call[UpsertResult]:
    """UpsertItems."""

    def read(response: catalog_pb2.UpsertItemsResponse) -> UpsertResult:
        return UpsertResult(response.consistency_token, response.created, response.updated)

    return Call("UpsertItems", catalog_pb2.UpsertItemsRequest(items=[item_to_message(i) for i in items]), read)


def delete_items(item_ids: Sequence[str]) -> Call[DeleteResult]:
    """DeleteItems."""

    def read(response: catalog_pb2.DeleteItemsResponse) -> DeleteResult:
        return DeleteResult(response.consistency_token, response.deleted, tuple(response.missing_item_ids))

    return Call("DeleteItems", catalog_pb2.DeleteItemsRequest(item_ids=item_ids), read)


def _hidden(response: catalog_pb2.HideItemsResponse | catalog_pb2.UnhideItemsResponse) -> HideResult:
    return HideResult(response.consistency_token, tuple(response.missing_item_ids))


def hide_items(item_ids: Sequence[str], reason: str) -> Call[HideResult]:
    """HideItems."""
    return Call("HideItems", catalog_pb2.HideItemsRequest(item_ids=item_ids, reason=reason), _hidden)


def unhide_items(item_ids: Sequence[str], reason: str) -> Call[HideResult]:
    """UnhideItems."""
    return Call("UnhideItems", catalog_pb2.UnhideItemsRequest(item_ids=item_ids, reason=reason), _hidden)


def get_item(item_id: str) -> Call[Item]:
    """GetItem."""

    def read(response: catalog_pb2.GetItemResponse) -> Item:
        return item_from(response.item)

    return Call("GetItem", catalog_pb2.GetItemRequest(item_id=item_id), read)


def list_items(page_size: int, page_token: str) -> Call[Page[Item]]:
    """ListItems, one page."""

    def read(response: catalog_pb2.ListItemsResponse) -> Page[Item]:
        return Page(tuple(item_from(i) for i in response.items), response.next_page_token)

    return Call("ListItems", catalog_pb2.ListItemsRequest(page_size=page_size, page_token=page_token), read)


def list_releases(page_size: int, page_token: str) -> Call[Page[Release]]:
    """ListReleases, one page."""

    def read(response: release_pb2.ListReleasesResponse) -> Page[Release]:
        return Page(tuple(release_from(r) for r in response.releases), response.next_page_token)

    return Call("ListReleases", release_pb2.ListReleasesRequest(page_size=page_size, page_token=page_token), read)


def get_release(release: int) -> Call[Release]:
    """GetRelease."""

    def read(response: release_pb2.GetReleaseResponse) -> Release:
        return release_from(response.release)

    return Call("GetRelease", release_pb2.GetReleaseRequest(release=release), read)


def _moved(response: Any) -> Release:
    return release_from(response.release)


def activate_release(release: int, reason: str, wait: timedelta | None) -> Call[Activation]:
    """ActivateRelease."""

    def read(response: release_pb2.ActivateReleaseResponse) -> Activation:
        return Activation(release_from(response.release), response.served)

    request = release_pb2.ActivateReleaseRequest(release=release, reason=reason)
    if wait is not None:
        request.wait.CopyFrom(duration_of(wait))
    return Call("ActivateRelease", request, read, 0.0 if wait is None else wait.total_seconds())


def set_canary(release: int, fraction: float, reason: str) -> Call[Release]:
    """SetCanary."""
    request = release_pb2.SetCanaryRequest(release=release, fraction=fraction, reason=reason)
    return Call("SetCanary", request, _moved)


def roll_back_release(release: int, reason: str) -> Call[Release]:
    """RollbackRelease."""
    return Call("RollbackRelease", release_pb2.RollbackReleaseRequest(release=release, reason=reason), _moved)


def set_shadow(release: int, end: bool, reason: str) -> Call[Release]:
    """SetShadow."""
    return Call("SetShadow", release_pb2.SetShadowRequest(release=release, end=end, reason=reason), _moved)


def watch_releases(include_current: bool) -> Call[Release]:
    """WatchReleases; `read` is for each message."""
    return Call("WatchReleases", release_pb2.WatchReleasesRequest(include_current=include_current), _moved)
