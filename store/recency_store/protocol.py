"""The one seam to durable state. `memory.py` is the reference, `sqlite/` the embedded one; one contract suite
(`tests/contract`) runs over every implementation.

Every call blocks and may be made from any thread. What a write call returns is durable. All implementations are safe
for several processes at once, except the in-memory one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from recency.v1 import event_pb2, user_pb2
from recency_store.records import (
    Appended,
    AuditEntry,
    Changes,
    Erasure,
    Learned,
    LearnedRow,
    Lease,
    LoggedEvent,
    Micros,
    NewItem,
    ReleaseRecord,
    ReleaseState,
    Review,
    SlateRecord,
    StoredItem,
    StoredUser,
)


class Store(Protocol):
    """Event log, items, users, releases, leases, slates."""

    # --- event log -------------------------------------------------------------------------------------------------
    def append(self, events: Sequence[event_pb2.Event]) -> list[Appended]:
        """Appends all events in one transaction and answers when they are durable, one answer an event in order.

        Each event has its `event_time` set. An `event_id` that is there already (or twice in the call) is not written
        again and answers the first one's sequence; one that happened before its user was erased is not written and
        answers so. All or nothing: on an error nothing was written.
        """
        ...

    def read_user(self, user_id: str, limit: int, through_micros: Micros | None = None) -> list[LoggedEvent]:
        """The user's newest `limit` events (with event time up to `through_micros`), newest last, by (time, sequence)."""
        ...

    def get_events(self, event_ids: Collection[str]) -> dict[str, LoggedEvent]:
        """The events among the ids that are in the log."""
        ...

    def read_log(self, after: int, limit: int) -> list[LoggedEvent]:
        """Events with sequence > `after`, in order."""
        ...

    def scan_log(self, after: int = 0, through: int | None = None) -> Iterator[LoggedEvent]:
        """All events with `after` < sequence <= `through`, in order, in one consistent view, without holding them all."""
        ...

    # --- following -------------------------------------------------------------------------------------------------
    def last_sequence(self) -> int:
        """The newest number given to any change; cheap enough to ask on every request."""
        ...

    def changes(self, after: int, limit: int) -> Changes:
        """Events, changes of items and users, and rewrites numbered over `after`, at most `limit` of all together. An event
        is named with the user whose it is now."""
        ...

    # --- items -----------------------------------------------------------------------------------------------------
    def upsert_items(self, items: Sequence[NewItem], now_micros: Micros) -> int:
        """Stores all items in one transaction; answers the number of the last change. Keeps `create_micros` and the
        hidden mark of an item that is there; an item whose tombstone is there is created anew and not hidden."""
        ...

    def set_text_vectors(self, vectors: Sequence[tuple[str, int, bytes]], text_encoder: str) -> int:
        """Writes (item_id, revision, text_vector) where the item still has that revision; answers how many were written.
        Gives no new revision: what the item is has not changed."""
        ...

    def delete_items(self, item_ids: Sequence[str], now_micros: Micros) -> tuple[int, list[str]]:
        """Makes tombstones; answers (number of the last change, the ids that were not there)."""
        ...

    def hide_items(
        self, item_ids: Sequence[str], reason: str | None, now_micros: Micros, *, actor: str = "", why: str = ""
    ) -> tuple[int, list[str]]:
        """Hides with a reason, or shows again with None; answers (number of the last change, the ids not there).
        Appends to the audit log: `actor` is who asked, `why` the reason for showing again (for hiding it is `reason`)."""
        ...

    # --- reviews ---------------------------------------------------------------------------------------------------
    def reviews(self, limit: int) -> list[Review]:
        """The items with reports that nobody has decided on, those that most users reported first. Reports that were
        taken back do not count."""
        ...

    def resolve_review(
        self, item_id: str, reason: str, now_micros: Micros, *, hide: bool, through: int | None = None, actor: str = ""
    ) -> int:
        """Decides on the reports of an item up to the sequence `through` (all there are): it is hidden with the reason, or
        stays as it is. Recorded in the audit log as `review-hide` or `review-keep`; answers that record's number.
        NothingToReview where there is no such report; one that comes later opens the review anew."""
        ...

    # --- items, read -----------------------------------------------------------------------------------------------
    def get_items(self, item_ids: Sequence[str]) -> dict[str, StoredItem]:
        """The items among the ids that are there, deleted ones left out."""
        ...

    def list_items(self, limit: int, after_id: str = "") -> list[StoredItem]:
        """Items in the order of their ids (UTF-8 bytes), deleted ones left out, from past `after_id` on."""
        ...

    def count_items(self) -> int:
        """How many items there are, deleted ones left out."""
        ...

    # --- audit log -------------------------------------------------------------------------------------------------
    def append_audit(
        self,
        action: str,
        subject: str,
        reason: str,
        now_micros: Micros,
        *,
        actor: str = "",
        unless_said: bool = False,
    ) -> int:
        """Appends an entry to the audit log; answers its number. There is no call that changes or removes one. With
        `unless_said`, nothing is written where the newest entry of that action and subject gives the same reason: of
        several gateways that see one change, one writes it."""
        ...

    def audit(self, limit: int, *, action: str = "", subject: str = "") -> list[AuditEntry]:
        """The newest entries of the audit log, newest first; of one action, or about one subject, where given."""
        ...

    # --- users -----------------------------------------------------------------------------------------------------
    def put_user(
        self,
        user: user_pb2.User,
        now_micros: Micros,
        *,
        text_vector: bytes = b"",
        text_encoder: str = "",
        expected: int | None = None,
    ) -> int:
        """Stores attributes and consent, with the profile's text vector; answers the number of the change. With
        `expected`, StateChanged where the user's revision is another one (0: nothing is stored)."""
        ...

    def get_user(self, user_id: str) -> StoredUser | None:
        """Attributes and consent, where any were stored."""
        ...

    def scan_user(self, user_id: str) -> Iterator[LoggedEvent]:
        """All of a user's events, oldest first by (time, sequence), without holding them all."""
        ...

    def users_not_training(self) -> frozenset[str]:
        """Whose events may not train models."""
        ...

    def user_digest(self, user_id: str) -> str:
        """The salted hash by which an erased user is named."""
        ...

    def erase_user(self, user_id: str, now_micros: Micros, *, actor: str = "") -> Erasure:
        """Erases a person in one transaction: events, attributes and slates are gone, also from the files; a tombstone
        keeps out what they did up to now and is sent later, and one for each visitor who was merged into them what that one
        did up to the merge; an entry goes into the audit log. Of somebody of whom nothing has been stored since an earlier
        erasure, that one is answered."""
        ...

    def erasures(self, after: int = 0) -> list[Erasure]:
        """The erasures numbered over `after`, in order."""
        ...

    def merge_users(self, source_id: str, target_id: str, now_micros: Micros) -> tuple[int, int]:
        """Makes all that is kept of `source_id` (events, slates, attributes, consent) `target_id`'s, in one transaction;
        answers (number of the change, events moved). The source is nobody afterwards: what comes under its id from then on
        is a new visitor's. What the source did before an erasure of the target goes, as late events of the target do. Done
        again, it changes nothing."""
        ...

    def last_rewrite(self) -> int:
        """The number of the newest rewrite, 0 before the first: what was copied from the log earlier is out of date."""
        ...

    # --- releases --------------------------------------------------------------------------------------------------
    def next_release(self, key: str = "") -> int:
        """Reserves a release number: grows, never reused. The same non-empty key gets the same number again, so that a
        killed exporter that asks once more wastes none."""
        ...

    def put_release(self, record: ReleaseRecord) -> None:
        """Registers a release; the same number again with the same manifest changes nothing (idempotent), with another
        manifest it is a StoreError."""
        ...

    def set_release_state(
        self,
        release: int,
        state: ReleaseState,
        reason: str = "",
        canary_fraction: float = 0.0,
        *,
        expected: ReleaseState | None = None,
        lease: Lease | None = None,
    ) -> None:
        """Moves a release to a state in one atomic write. ACTIVE retires the one that was active, and at most one
        release is CANARY. UnknownRelease where there is none, RejectedRelease where a rejected one would serve; with an
        `expected` state, StateChanged where it is in another; with a lease, LeaseLost where that has passed on."""
        ...

    def note_release(self, release: int, reason: str) -> None:
        """Puts a reason on a release's record and leaves its state alone: why it cannot be had somewhere."""
        ...

    def roll_back(self, release: int, reason: str, *, lease: Lease | None = None) -> ReleaseRecord:
        """Makes `release` the active one (0: the last good one) in one atomic write, and answers it. The one that it
        replaces is retired with the reason and is no rollback's goal any more. UnknownRelease where there is none to go
        back to, RejectedRelease, LeaseLost."""
        ...

    def list_releases(self) -> list[ReleaseRecord]:
        """All releases, newest first."""
        ...

    def get_release(self, release: int) -> ReleaseRecord:
        """One release, or UnknownRelease."""
        ...

    def active_release(self) -> ReleaseRecord | None:
        """The one that serves."""
        ...

    def serving_releases(self) -> list[ReleaseRecord]:
        """Those that are active, canary or shadow, newest first; cheap enough to ask twice a second."""
        ...

    # --- leases ----------------------------------------------------------------------------------------------------
    def acquire_lease(self, name: str, holder: str, ttl_micros: int, now_micros: Micros) -> Lease | None:
        """Takes or renews a lease; None while somebody else holds it. A new holder gets a higher fence."""
        ...

    def release_lease(self, lease: Lease) -> None:
        """Gives a lease up; nothing happens where it has passed on already."""
        ...

    def list_leases(self, prefix: str, now_micros: Micros) -> list[Lease]:
        """The unexpired leases whose names start with `prefix` (who serves which release, which Triton has what ready)."""
        ...

    # --- item learner ----------------------------------------------------------------------------------------------
    def put_learned(
        self, space: int, after: int, position: int, through_micros: Micros, rows: Sequence[LearnedRow], lease: Lease
    ) -> int:
        """Writes rows and moves the space's position from `after` to `position`, in one transaction; answers the new
        version. LeaseLost where the lease has passed on; a StoreError where the position is not at `after` (0 for a new
        space): no event is applied twice."""
        ...

    def learned(self, space: int, after_version: int = 0) -> Learned:
        """A space's position and the rows that changed after a version (0: all of them)."""
        ...

    def drop_learned(self, keep: Collection[int]) -> None:
        """Forgets all spaces but these."""
        ...

    # --- slates ----------------------------------------------------------------------------------------------------
    def put_slates(self, slates: Sequence[SlateRecord]) -> None:
        """Keeps answered slates (best effort: not promised durable); old ones are dropped past the configured number, and
        those of a user who was erased since."""
        ...

    def get_slate(self, recommendation_id: str) -> SlateRecord | None:
        """One slate, while it is kept."""
        ...

    def explored_slates(self, after_micros: Micros, limit: int) -> list[SlateRecord]:
        """The newest `limit` slates with propensities that were answered after a time, in the order they were kept."""
        ...

    def scan_slates(self, since_micros: Micros, until_micros: Micros) -> Iterator[SlateRecord]:
        """The kept slates that were answered from a time until another, as they came, without holding them all."""
        ...

    def user_slates(self, user_id: str) -> list[SlateRecord]:
        """The slates of a user that are kept, oldest first. It may look at all slates: for exports, not for requests."""
        ...

    def close(self) -> None:
        """Lets go of files and connections; calls after it are errors."""
        ...
