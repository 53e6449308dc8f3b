"""What the store keeps, as plain immutable records. Times are microseconds since 1970 (UTC), as `..._micros`.

One counter numbers every change: an event's `sequence` and an item's `revision` come from it, so one number says
how far a reader has followed both, and it is all that a consistency token holds.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from recency.v1 import event_pb2, item_pb2, user_pb2

Micros = int


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """One event as it lies in the log: the columns that are read often, and the whole event as sent.

    `user_id` is whose it is now: a merge moves events, and the payload still names who sent it.
    """

    sequence: int
    event_id: str
    user_id: str
    item_id: str
    type: int
    time_micros: Micros
    value: float | None
    payload: bytes
    # The `event_id` of the event that this one takes back; empty for none.
    retracts: str = ""

    def event(self) -> event_pb2.Event:
        """The event as it was sent, of the user whose it is now."""
        event = event_pb2.Event.FromString(self.payload)
        event.user_id = self.user_id
        if event.custom_type:
            # It is stored under the number of its weight.
            event.type = event_pb2.EVENT_TYPE_CUSTOM
        return event


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of one event: its position, and whether its `event_id` had been there before.

    An `erased` one was not written: its user was erased after it had happened; the sequence is the erasure's number."""

    sequence: int
    duplicate: bool
    erased: bool = False


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One item. A deleted item stays as a tombstone with `deleted`, so that followers learn of it.

    `text_vector` is the language model's raw output, float32 little endian, with `text_encoder` naming the model
    that made it (its digest); both empty while nobody has encoded the text.
    """

    item_id: str
    revision: int
    payload: bytes
    text_vector: bytes
    text_encoder: str
    hidden_reason: str | None
    deleted: bool
    create_micros: Micros
    update_micros: Micros

    def item(self) -> item_pb2.Item:
        """The item as it was sent, with the output-only fields filled in."""
        item = item_pb2.Item.FromString(self.payload)
        item.create_time.FromMicroseconds(self.create_micros)
        item.update_time.FromMicroseconds(self.update_micros)
        if self.hidden_reason is not None:
            item.hidden = True
            item.hidden_reason = self.hidden_reason
        return item

    @property
    def visible(self) -> bool:
        """Whether an answer may hold it (its time window aside)."""
        return not self.deleted and self.hidden_reason is None


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item to store, with the raw text vector if it was encoded already."""

    item: item_pb2.Item
    text_vector: bytes = b""
    text_encoder: str = ""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One decision: who (`actor`, empty where unknown) did what (`action`: hide, unhide, rules, …) to what (`subject`: an
    item's id, a file, …), when and why. Entries are never changed and never removed.

    `number` is one of the numbers of all changes: for hide and unhide the item's revision that it made."""

    number: int
    time_micros: Micros
    actor: str
    action: str
    subject: str
    reason: str


@dataclass(frozen=True, slots=True)
class StoredUser:
    """A user's attributes and consent, as the serialised `recency.v1.User`; their profile's raw text vector, and the model
    that made it, as with items."""

    user_id: str
    revision: int
    payload: bytes
    create_micros: Micros
    update_micros: Micros
    text_vector: bytes = b""
    text_encoder: str = ""

    def user(self) -> user_pb2.User:
        """The user as they were stored, with the output-only fields filled in."""
        user = user_pb2.User.FromString(self.payload)
        user.create_time.FromMicroseconds(self.create_micros)
        user.update_time.FromMicroseconds(self.update_micros)
        return user


@dataclass(frozen=True, slots=True)
class Erasure:
    """That a person was erased: who by a salted hash alone (`Store.user_digest`), when, and how much there was of them.

    `number` is one of the numbers of all changes, and that of its entry in the audit log; a visitor who had been merged into
    the person has a tombstone of their own and no entry. What the person did up to `time_micros` and arrives later is not
    stored.
    """

    number: int
    digest: str
    time_micros: Micros
    events: int
    slates: int


@dataclass(frozen=True, slots=True)
class Review:
    """An item that users reported and nobody has decided on since.

    `reports` by `users` of them; `reason` is what the newest report says in its context ("" where it says nothing);
    `through` is the sequence of that report.
    """

    item_id: str
    reports: int
    users: int
    first_micros: Micros
    newest_micros: Micros
    reason: str
    through: int


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Events of a user that were in the log already were moved to them, or away: what was read of them is out of date."""

    sequence: int
    user_id: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened after a position, up to and with `through`, each kind in the order of its numbers.

    `more` says that the limit cut it off and another call goes on from `through`.
    """

    events: tuple[LoggedEvent, ...]
    items: tuple[StoredItem, ...]
    through: int
    more: bool
    users: tuple[StoredUser, ...] = ()
    erasures: tuple[Erasure, ...] = ()
    rewrites: tuple[Rewrite, ...] = ()


class ReleaseState(enum.StrEnum):
    """What a release does now; the names of `recency.v1.ReleaseState` without their prefix."""

    CANDIDATE = "CANDIDATE"
    SHADOW = "SHADOW"
    CANARY = "CANARY"
    ACTIVE = "ACTIVE"
    RETIRED = "RETIRED"
    REJECTED = "REJECTED"


# At most one release is in each of these states; one that is replaced is retired.
EXCLUSIVE_STATES = (ReleaseState.ACTIVE, ReleaseState.CANARY)
# In these a release takes part in answers, or in scoring beside them; a rejected one may not.
SERVING_STATES = (ReleaseState.ACTIVE, ReleaseState.CANARY, ReleaseState.SHADOW)


@dataclass(frozen=True, slots=True)
class ReleaseRecord:
    """A published release: where its folder is (a URL or path), what it is, and what it does now.

    What never changes about a release stands in its manifest; this is what does change, and what lists show.
    """

    release: int
    state: ReleaseState
    reason: str
    url: str
    parent: int
    create_micros: Micros
    canary_fraction: float = 0.0
    # Serialised manifest, so that a release can be shown without its folder at hand.
    manifest_json: str = "{}"
    # Grows with every activation of any release; 0 for one that never served, or that a rollback left as not good.
    activation: int = 0


def last_good(releases: Iterable[ReleaseRecord]) -> ReleaseRecord | None:
    """The release that served before: where a rollback goes to."""
    served = [record for record in releases if record.state is ReleaseState.RETIRED and record.activation]
    return max(served, key=lambda record: record.activation, default=None)


@dataclass(frozen=True, slots=True)
class LearnedRow:
    """What the item learner added to one item's vector: float32 little endian [learned_dim], relative to the item's
    vector in the full release whose number names the space, or to its projected text where that release lacks it."""

    item_id: str
    residual: bytes


@dataclass(frozen=True, slots=True)
class Learned:
    """The item learner's state in one space: rows that changed after the asked version, and how far it has come.

    `position` is the sequence up to and with which every event has been applied once, `through_micros` the newest event
    time among them. `version` grows with every write; all are 0 where nothing was learned yet.
    """

    space: int
    version: int
    position: int
    through_micros: Micros
    rows: tuple[LearnedRow, ...]


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to be the only one who does something. `fence` grows with each new holder: a write that carries an
    old fence number is refused."""

    name: str
    holder: str
    fence: int
    expires_micros: Micros


@dataclass(frozen=True, slots=True)
class SlateRecord:
    """One answered Recommend, kept so that later events can be attributed to it.

    `labels` holds the request's own labels with `session_id` and `surface`; `context_json` its context.

    exploration   the chance of each place to be drawn
    propensities  the chance of each item at its place, given those before it; None where a place was not left to chance.
                  Empty where none was
    aimed         more was asked for than the user's own slate (words, filter, examples, …), or business rules, caps or a
                  share for new items had a say: the log alone cannot tell what another release would have shown
    """

    recommendation_id: str
    user_id: str
    time_micros: Micros
    release: int
    item_ids: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    context_json: str = ""
    exploration: float = 0.0
    propensities: tuple[float | None, ...] = ()
    aimed: bool = False
