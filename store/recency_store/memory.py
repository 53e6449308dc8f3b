"""The reference: the whole protocol over dicts and lists under one lock. Obviously right rather than fast or durable;
every other store must answer as this one does.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from recency.v1 import event_pb2, user_pb2
from recency_store.erasure import erasure_note, user_digest
from recency_store.errors import (
    LeaseLost,
    NothingToReview,
    RejectedRelease,
    StateChanged,
    StoreClosed,
    StoreError,
    UnknownRelease,
)
from recency_store.records import (
    EXCLUSIVE_STATES,
    SERVING_STATES,
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
    Rewrite,
    SlateRecord,
    StoredItem,
    StoredUser,
    last_good,
)
from recency_store.rows import event_row, item_payload, merged_user, report_reason, trains, user_payload


class MemoryStore:
    """`protocol.Store` in this process's memory."""

    def __init__(self, *, slate_limit: int = 200_000, salt: bytes = b"in memory") -> None:
        self._slate_limit = slate_limit
        self._salt = salt
        self._lock = threading.RLock()
        self._closed = False
        self._sequence = 0
        self._log: list[LoggedEvent] = []
        self._sequence_of: dict[str, int] = {}
        self._items: dict[str, StoredItem] = {}
        self._audit: list[AuditEntry] = []
        # Item → the newest change that there was when it was decided on.
        self._reviewed: dict[str, int] = {}
        self._users: dict[str, StoredUser] = {}
        # By the user's digest, the newest erasure of each.
        self._erasures: dict[str, Erasure] = {}
        # With whose the events are now, and when they were moved.
        self._rewrites: list[tuple[Rewrite, str, Micros]] = []
        self._rewritten = 0
        self._release = 0
        self._releases: dict[int, ReleaseRecord] = {}
        self._reserved: dict[str, int] = {}
        self._activation = 0
        # Space → (its position, each row with the version of its last change).
        self._learned: dict[int, tuple[Learned, dict[str, tuple[int, LearnedRow]]]] = {}
        self._fence = 0
        self._leases: dict[str, Lease] = {}
        self._slates: dict[str, SlateRecord] = {}

    def _open(self) -> threading.RLock:
        if self._closed:
            raise StoreClosed("the in-memory store is closed; open a new one")
        return self._lock

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    # --- event log -------------------------------------------------------------------------------------------------
    def append(self, events: Sequence[event_pb2.Event]) -> list[Appended]:
        """As the protocol says."""
        rows = [event_row(event) for event in events]
        answers = []
        with self._open():
            for row in rows:
                known = self._sequence_of.get(row[0])
                erased = self._erased(row[1], row[4]) if known is None else None
                if erased is not None:
                    answers.append(Appended(erased.number, duplicate=False, erased=True))
                elif known is None:
                    sequence = self._sequence_of[row[0]] = self._next()
                    self._log.append(LoggedEvent(sequence, *row))
                    answers.append(Appended(sequence, duplicate=False))
                else:
                    answers.append(Appended(known, duplicate=True))
        return answers

    def read_user(self, user_id: str, limit: int, through_micros: Micros | None = None) -> list[LoggedEvent]:
        """As the protocol says."""
        with self._open():
            events = [e for e in self._log if e.user_id == user_id]
        if through_micros is not None:
            events = [e for e in events if e.time_micros <= through_micros]
        events.sort(key=lambda e: (e.time_micros, e.sequence))
        return events[-limit:] if limit > 0 else []

    def get_events(self, event_ids: Collection[str]) -> dict[str, LoggedEvent]:
        """As the protocol says."""
        with self._open():
            return {e.event_id: e for e in self._log if e.event_id in set(event_ids)}

    def read_log(self, after: int, limit: int) -> list[LoggedEvent]:
        """As the protocol says."""
        with self._open():
            start = bisect_right(self._log, after, key=lambda e: e.sequence)
            return self._log[start : start + max(0, limit)]

    def scan_log(self, after: int = 0, through: int | None = None) -> Iterator[LoggedEvent]:
        """As the protocol says."""
        with self._open():
            last = self._sequence if through is None else through
            return iter([e for e in self._log if after < e.sequence <= last])

    # --- following -------------------------------------------------------------------------------------------------
    def last_sequence(self) -> int:
        """As the protocol says."""
        with self._open():
            return self._sequence

    def changes(self, after: int, limit: int) -> Changes:
        """As the protocol says."""
        with self._open():
            events = {e.sequence: e for e in self._log if e.sequence > after}
            items = {i.revision: i for i in self._items.values() if i.revision > after}
            users = {u.revision: u for u in self._users.values() if u.revision > after}
            erasures = {e.number: e for e in self._erasures.values() if e.number > after}
            rewrites = {r.sequence: r for r, *_ in self._rewrites if r.sequence > after}
            numbers = sorted([*events, *items, *users, *erasures, *rewrites])
            more = len(numbers) > limit
            kept = numbers[: max(0, limit)]
            through = (kept[-1] if kept else after) if more else max(after, self._sequence)
        return Changes(
            events=tuple(events[n] for n in kept if n in events),
            items=tuple(items[n] for n in kept if n in items),
            through=through,
            more=more,
            users=tuple(users[n] for n in kept if n in users),
            erasures=tuple(erasures[n] for n in kept if n in erasures),
            rewrites=tuple(rewrites[n] for n in kept if n in rewrites),
        )

    # --- items -----------------------------------------------------------------------------------------------------
    def upsert_items(self, items: Sequence[NewItem], now_micros: Micros) -> int:
        """As the protocol says."""
        payloads = [item_payload(new.item) for new in items]
        with self._open():
            for new, payload in zip(items, payloads, strict=True):
                old = self._items.get(new.item.item_id)
                kept = old if old is not None and not old.deleted else None
                self._items[new.item.item_id] = StoredItem(
                    item_id=new.item.item_id,
                    revision=self._next(),
                    payload=payload,
                    text_vector=new.text_vector,
                    text_encoder=new.text_encoder,
                    hidden_reason=kept.hidden_reason if kept else None,
                    deleted=False,
                    create_micros=kept.create_micros if kept else now_micros,
                    update_micros=now_micros,
                )
            return self._sequence

    def set_text_vectors(self, vectors: Sequence[tuple[str, int, bytes]], text_encoder: str) -> int:
        """As the protocol says."""
        written = 0
        with self._open():
            for item_id, revision, vector in vectors:
                item = self._items.get(item_id)
                if item is not None and item.revision == revision and not item.deleted:
                    self._items[item_id] = replace(item, text_vector=vector, text_encoder=text_encoder)
                    written += 1
        return written

    def _there(self, item_ids: Sequence[str]) -> tuple[list[StoredItem], list[str]]:
        ids = list(dict.fromkeys(item_ids))
        known = {i: self._items[i] for i in ids if i in self._items and not self._items[i].deleted}
        return list(known.values()), [i for i in ids if i not in known]

    def delete_items(self, item_ids: Sequence[str], now_micros: Micros) -> tuple[int, list[str]]:
        """As the protocol says."""
        with self._open():
            there, missing = self._there(item_ids)
            for item in there:
                self._items[item.item_id] = StoredItem(
                    item_id=item.item_id,
                    revision=self._next(),
                    payload=b"",
                    text_vector=b"",
                    text_encoder="",
                    hidden_reason=None,
                    deleted=True,
                    create_micros=item.create_micros,
                    update_micros=now_micros,
                )
            return self._sequence, missing

    def hide_items(
        self, item_ids: Sequence[str], reason: str | None, now_micros: Micros, *, actor: str = "", why: str = ""
    ) -> tuple[int, list[str]]:
        """As the protocol says."""
        action, recorded = ("unhide", why) if reason is None else ("hide", reason)
        with self._open():
            there, missing = self._there(item_ids)
            for item in there:
                hidden = replace(item, revision=self._next(), hidden_reason=reason, update_micros=now_micros)
                self._items[item.item_id] = hidden
                self._audit.append(
                    AuditEntry(hidden.revision, now_micros, actor, action, item.item_id, recorded),
                )
            return self._sequence, missing

    # --- reviews ---------------------------------------------------------------------------------------------------
    def reviews(self, limit: int) -> list[Review]:
        """As the protocol says."""
        found = [
            Review(
                item_id=item_id,
                reports=len(reports),
                users=len({e.user_id for e in reports}),
                first_micros=min(e.time_micros for e in reports),
                newest_micros=max(e.time_micros for e in reports),
                reason=report_reason(reports[-1].payload),
                through=reports[-1].sequence,
            )
            for item_id, reports in self._open_reports().items()
        ]
        return sorted(found, key=lambda r: (-r.users, -r.through))[: max(0, limit)]

    def _open_reports(self) -> dict[str, list[LoggedEvent]]:
        found: dict[str, list[LoggedEvent]] = {}
        with self._open():
            taken_back = {(e.user_id, e.retracts) for e in self._log if e.retracts}
            for event in self._log:
                report = event.type == event_pb2.EVENT_TYPE_REPORT and not event.retracts
                new = event.sequence > self._reviewed.get(event.item_id, 0)
                if report and new and (event.user_id, event.event_id) not in taken_back:
                    found.setdefault(event.item_id, []).append(event)
        return found

    def resolve_review(
        self, item_id: str, reason: str, now_micros: Micros, *, hide: bool, through: int | None = None, actor: str = ""
    ) -> int:
        """As the protocol says."""
        with self._open():
            last = self._sequence if through is None else through
            if not any(event.sequence <= last for event in self._open_reports().get(item_id, ())):
                raise NothingToReview(
                    f"{item_id}: nobody has reported it since it was last looked at; list the reviews"
                )
            self._reviewed[item_id] = last
            if hide:
                self.hide_items([item_id], reason, now_micros, actor=actor)
            action = "review-hide" if hide else "review-keep"
            self._audit.append(AuditEntry(self._next(), now_micros, actor, action, item_id, reason))
            return self._sequence

    # --- items, read -----------------------------------------------------------------------------------------------
    def get_items(self, item_ids: Sequence[str]) -> dict[str, StoredItem]:
        """As the protocol says."""
        with self._open():
            return {item.item_id: item for item in self._there(item_ids)[0]}

    def list_items(self, limit: int, after_id: str = "") -> list[StoredItem]:
        """As the protocol says."""
        with self._open():
            items = [i for i in self._items.values() if not i.deleted and i.item_id.encode() > after_id.encode()]
        return sorted(items, key=lambda i: i.item_id.encode())[: max(0, limit)]

    def count_items(self) -> int:
        """As the protocol says."""
        with self._open():
            return sum(not item.deleted for item in self._items.values())

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
        """As the protocol says."""
        with self._open():
            newest = self.audit(1, action=action, subject=subject) if unless_said else []
            if newest and newest[0].reason == reason:
                return newest[0].number
            self._audit.append(AuditEntry(self._next(), now_micros, actor, action, subject, reason))
            return self._sequence

    def audit(self, limit: int, *, action: str = "", subject: str = "") -> list[AuditEntry]:
        """As the protocol says."""
        with self._open():
            wanted = [e for e in self._audit[::-1] if action in ("", e.action) and subject in ("", e.subject)]
            return wanted[: max(0, limit)]

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
        """As the protocol says."""
        payload = user_payload(user)
        with self._open():
            old = self._users.get(user.user_id)
            if expected is not None and expected != (old.revision if old else 0):
                raise StateChanged("the user was stored by another call meanwhile; read them again")
            created = old.create_micros if old else now_micros
            self._users[user.user_id] = StoredUser(
                user.user_id, self._next(), payload, created, now_micros, text_vector, text_encoder
            )
            return self._sequence

    def get_user(self, user_id: str) -> StoredUser | None:
        """As the protocol says."""
        with self._open():
            return self._users.get(user_id)

    def scan_user(self, user_id: str) -> Iterator[LoggedEvent]:
        """As the protocol says."""
        with self._open():
            return iter(self.read_user(user_id, len(self._log)))

    def users_not_training(self) -> frozenset[str]:
        """As the protocol says."""
        with self._open():
            return frozenset(user_id for user_id, stored in self._users.items() if not trains(stored.user()))

    def user_digest(self, user_id: str) -> str:
        """As the protocol says."""
        return user_digest(self._salt, user_id)

    def erase_user(self, user_id: str, now_micros: Micros, *, actor: str = "") -> Erasure:
        """As the protocol says."""
        digest = self.user_digest(user_id)
        with self._open():
            merged = [(rewrite.user_id, at) for rewrite, owner, at in self._rewrites if owner == user_id]
            visitors = {name: max(at for other, at in merged if other == name) for name, _ in merged if name != user_id}
            gone = [self._close(name, through) for name, through in sorted(visitors.items())]
            events, slates = self._take_out(user_id)
            events, slates = events + sum(e for e, _ in gone), slates + sum(s for _, s in gone)
            stored = self._users.pop(user_id, None)
            self._rewrites = [entry for entry in self._rewrites if entry[1] != user_id]
            earlier = self._erasures.get(digest)
            if earlier is not None and not (events or slates or stored):
                self._erasures[digest] = replace(earlier, time_micros=max(earlier.time_micros, now_micros))
                return earlier
            erasure = Erasure(self._next(), digest, now_micros, events, slates)
            self._erasures[digest] = erasure
            note = erasure_note(events, slates, stored is not None, len(visitors))
            self._audit.append(AuditEntry(erasure.number, now_micros, actor, "erase", digest, note))
            return erasure

    def _take_out(self, user_id: str, through_micros: Micros | None = None) -> tuple[int, int]:
        """Deletes what a user did, up to a time where given; answers how many events and slates there were."""

        def theirs(one: LoggedEvent | SlateRecord) -> bool:
            return one.user_id == user_id and (through_micros is None or one.time_micros <= through_micros)

        events = [event for event in self._log if theirs(event)]
        slates = [key for key, slate in self._slates.items() if theirs(slate)]
        self._log = [event for event in self._log if not theirs(event)]
        for event in events:
            del self._sequence_of[event.event_id]
        for key in slates:
            del self._slates[key]
        return len(events), len(slates)

    def _close(self, user_id: str, through_micros: Micros) -> tuple[int, int]:
        """Deletes what a user did up to a time, and leaves a tombstone that keeps out what comes of it later."""
        digest, (events, slates) = self.user_digest(user_id), self._take_out(user_id, through_micros)
        there = self._erasures.get(digest)
        if events or slates or there is None or there.time_micros < through_micros:
            new = Erasure(self._next(), digest, through_micros, events, slates)
            if there is not None:
                new = replace(there, number=new.number, time_micros=max(there.time_micros, through_micros))
            self._erasures[digest] = new
        return events, slates

    def erasures(self, after: int = 0) -> list[Erasure]:
        """As the protocol says."""
        with self._open():
            return sorted((e for e in self._erasures.values() if e.number > after), key=lambda e: e.number)

    def _erased(self, user_id: str, micros: Micros) -> Erasure | None:
        """The erasure of a user that something of a time falls under."""
        erasure = self._erasures.get(self.user_digest(user_id)) if self._erasures else None
        return erasure if erasure is not None and micros <= erasure.time_micros else None

    def merge_users(self, source_id: str, target_id: str, now_micros: Micros) -> tuple[int, int]:
        """As the protocol says."""
        with self._open():
            erased = self._erasures.get(self.user_digest(target_id))
            if erased is not None and source_id != target_id:
                self._close(source_id, erased.time_micros)
            moved = sum(event.user_id == source_id for event in self._log)
            source = self._users.pop(source_id, None)
            theirs = [slate for slate in self._slates.values() if slate.user_id == source_id]
            if source_id == target_id or not (moved or source or theirs):
                if source is not None:
                    self._users[source_id] = source
                return self._sequence, 0
            self._log = [replace(e, user_id=target_id) if e.user_id == source_id else e for e in self._log]
            self._slates.update({s.recommendation_id: replace(s, user_id=target_id) for s in theirs})
            if source is not None:
                merged = merged_user(source, self._users.get(target_id), target_id)
                self._users[target_id] = replace(merged, revision=self._next(), update_micros=now_micros)
            # Whose they are now, with whom they are erased.
            self._rewrites = [(one, target_id if o == source_id else o, at) for one, o, at in self._rewrites]
            both = (source_id, target_id)
            self._rewrites += [(Rewrite(self._next(), user_id), target_id, now_micros) for user_id in both]
            self._rewritten = self._sequence
            return self._sequence, moved

    def last_rewrite(self) -> int:
        """As the protocol says."""
        with self._open():
            return self._rewritten

    # --- releases --------------------------------------------------------------------------------------------------
    def next_release(self, key: str = "") -> int:
        """As the protocol says."""
        with self._open():
            if key and key in self._reserved:
                return self._reserved[key]
            self._release += 1
            if key:
                self._reserved[key] = self._release
            return self._release

    def put_release(self, record: ReleaseRecord) -> None:
        """As the protocol says."""
        with self._open():
            old = self._releases.get(record.release)
            if old is not None:
                if old.manifest_json != record.manifest_json:
                    raise StoreError(
                        f"release {record.release} is registered with another manifest; publish under a new number"
                    )
                return
            self._release = max(self._release, record.release)
            self._releases[record.release] = replace(record, activation=0)
            self._move(record.release, record.state, record.reason, record.canary_fraction)

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
        """As the protocol says."""
        with self._open():
            self._hold(lease)
            found = self.get_release(release).state
            if expected is not None and found is not expected:
                raise StateChanged(f"release {release} is {found.value}, not {expected.value}; look again")
            if found is ReleaseState.REJECTED and state in SERVING_STATES:
                raise RejectedRelease(f"release {release} was rejected; publish what should serve under a new number")
            self._move(release, state, reason, canary_fraction)

    def note_release(self, release: int, reason: str) -> None:
        """As the protocol says."""
        with self._open():
            self._releases[release] = replace(self.get_release(release), reason=reason)

    def roll_back(self, release: int, reason: str, *, lease: Lease | None = None) -> ReleaseRecord:
        """As the protocol says."""
        with self._open():
            self._hold(lease)
            good = last_good(self._releases.values())
            if not release and good is None:
                raise UnknownRelease("no release served before this one; activate one by its number")
            goal = self.get_release(release or good.release)  # type: ignore[union-attr]
            left = self.active_release()
            self.set_release_state(goal.release, ReleaseState.ACTIVE, reason)
            if left is not None and left.release != goal.release:
                self._releases[left.release] = replace(self.get_release(left.release), reason=reason, activation=0)
            return self.get_release(goal.release)

    def _hold(self, lease: Lease | None) -> None:
        held = self._leases.get(lease.name) if lease else None
        if lease is not None and (held is None or (held.holder, held.fence) != (lease.holder, lease.fence)):
            raise LeaseLost(f"the lease {lease.name} has passed on; nothing was written")

    def _move(self, release: int, state: ReleaseState, reason: str, canary_fraction: float) -> None:
        record = replace(self._releases[release], state=state, reason=reason, canary_fraction=canary_fraction)
        if state is ReleaseState.ACTIVE:
            self._activation += 1
            record = replace(record, activation=self._activation)
        self._releases[release] = record
        self._retire_others(release, state)

    def _retire_others(self, release: int, state: ReleaseState) -> None:
        if state not in EXCLUSIVE_STATES:
            return
        for other in self._releases.values():
            if other.release != release and other.state == state:
                self._releases[other.release] = replace(
                    other, state=ReleaseState.RETIRED, reason=f"replaced by release {release}", canary_fraction=0.0
                )

    def list_releases(self) -> list[ReleaseRecord]:
        """As the protocol says."""
        with self._open():
            return sorted(self._releases.values(), key=lambda r: -r.release)

    def get_release(self, release: int) -> ReleaseRecord:
        """As the protocol says."""
        with self._open():
            if release not in self._releases:
                raise UnknownRelease(f"there is no release {release}; list the releases to see which there are")
            return self._releases[release]

    def active_release(self) -> ReleaseRecord | None:
        """As the protocol says."""
        with self._open():
            return next((r for r in self._releases.values() if r.state == ReleaseState.ACTIVE), None)

    def serving_releases(self) -> list[ReleaseRecord]:
        """As the protocol says."""
        return [record for record in self.list_releases() if record.state in SERVING_STATES]

    # --- leases ----------------------------------------------------------------------------------------------------
    def acquire_lease(self, name: str, holder: str, ttl_micros: int, now_micros: Micros) -> Lease | None:
        """As the protocol says. An expired lease is gone: whoever comes next, its old holder too, gets a new fence."""
        with self._open():
            held = self._leases.get(name)
            if held is not None and held.expires_micros > now_micros:
                if held.holder != holder:
                    return None
                lease = replace(held, expires_micros=now_micros + ttl_micros)
            else:
                self._fence += 1
                lease = Lease(name, holder, self._fence, now_micros + ttl_micros)
            self._leases[name] = lease
            return lease

    def release_lease(self, lease: Lease) -> None:
        """As the protocol says."""
        with self._open():
            held = self._leases.get(lease.name)
            if held is not None and (held.holder, held.fence) == (lease.holder, lease.fence):
                del self._leases[lease.name]

    def list_leases(self, prefix: str, now_micros: Micros) -> list[Lease]:
        """As the protocol says, in the order of their names."""
        with self._open():
            leases = [x for x in self._leases.values() if x.name.startswith(prefix) and x.expires_micros > now_micros]
        return sorted(leases, key=lambda lease: lease.name.encode())

    # --- item learner ----------------------------------------------------------------------------------------------
    def put_learned(
        self, space: int, after: int, position: int, through_micros: Micros, rows: Sequence[LearnedRow], lease: Lease
    ) -> int:
        """As the protocol says."""
        with self._open():
            self._hold(lease)
            old, kept = self._learned.get(space, (Learned(space, 0, 0, 0, ()), {}))
            if old.position != after:
                raise StoreError(f"space {space} is learned up to {old.position}, not {after}; read it again")
            version = old.version + 1
            self._learned[space] = (
                Learned(space, version, position, max(through_micros, old.through_micros), ()),
                {**kept, **{row.item_id: (version, row) for row in rows}},
            )
            return version

    def learned(self, space: int, after_version: int = 0) -> Learned:
        """As the protocol says, rows in the order of their ids."""
        with self._open():
            state, kept = self._learned.get(space, (Learned(space, 0, 0, 0, ()), {}))
        rows = [row for version, row in kept.values() if version > after_version]
        return replace(state, rows=tuple(sorted(rows, key=lambda row: row.item_id.encode())))

    def drop_learned(self, keep: Collection[int]) -> None:
        """As the protocol says."""
        with self._open():
            self._learned = {space: state for space, state in self._learned.items() if space in keep}

    # --- slates ----------------------------------------------------------------------------------------------------
    def put_slates(self, slates: Sequence[SlateRecord]) -> None:
        """As the protocol says."""
        with self._open():
            for slate in slates:
                if self._erased(slate.user_id, slate.time_micros):
                    continue
                self._slates.pop(slate.recommendation_id, None)
                self._slates[slate.recommendation_id] = slate
            while len(self._slates) > self._slate_limit:
                del self._slates[next(iter(self._slates))]

    def scan_slates(self, since_micros: Micros, until_micros: Micros) -> Iterator[SlateRecord]:
        """As the protocol says."""
        with self._open():
            kept = list(self._slates.values())
        return (slate for slate in kept if since_micros <= slate.time_micros < until_micros)

    def get_slate(self, recommendation_id: str) -> SlateRecord | None:
        """As the protocol says."""
        with self._open():
            return self._slates.get(recommendation_id)

    def explored_slates(self, after_micros: Micros, limit: int) -> list[SlateRecord]:
        """As the protocol says."""
        with self._open():
            found = [s for s in self._slates.values() if s.propensities and s.time_micros > after_micros]
        return found[-limit:] if limit > 0 else []

    def user_slates(self, user_id: str) -> list[SlateRecord]:
        """As the protocol says."""
        with self._open():
            return [slate for slate in self._slates.values() if slate.user_id == user_id]

    def close(self) -> None:
        """As the protocol says."""
        self._closed = True
