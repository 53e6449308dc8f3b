"""SQLite answers every sequence of calls as the in-memory reference does, over restarts too."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from recency.v1 import event_pb2, item_pb2, user_pb2
from recency_store.errors import StoreError
from recency_store.memory import MemoryStore
from recency_store.records import Lease, NewItem, ReleaseRecord, ReleaseState, SlateRecord
from recency_store.sqlite import open_sqlite

# Few names, so that they meet; one with a NUL, two that differ by case, two beyond the basic plane.
names = st.sampled_from(["a", "A", "b", "a\x00b", "é", "𝄞", "\U0010ffff"])
small = st.integers(0, 6)
micros = st.integers(0, 10)


@st.composite
def events(draw) -> event_pb2.Event:
    event = event_pb2.Event(
        event_id=draw(st.one_of(names, st.text(min_size=1, max_size=2, alphabet="xyz"))),
        user_id=draw(names),
        item_id=draw(names),
        type=draw(st.one_of(st.integers(1, 16), st.just(15))),
        value=draw(st.one_of(st.none(), st.floats(allow_nan=False))),
        retracts_event_id=draw(st.sampled_from(["", "", "x", "y"])),
    )
    event.event_time.FromMicroseconds(draw(micros))
    return event


class SqliteLikeMemory(RuleBasedStateMachine):
    """Makes the same call on both and compares the answers."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "store.sqlite"
        self.sqlite = open_sqlite(self.path, slate_limit=4)
        self.memory = MemoryStore(slate_limit=4, salt=self.sqlite.salt)
        self.leases: list[Lease] = []
        self.slates = 0

    def both(self, name: str, *args: object, **kwargs: object) -> object:
        answers = []
        for store in (self.sqlite, self.memory):
            try:
                answer = getattr(store, name)(*args, **kwargs)
                answers.append(list(answer) if name.startswith("scan") else answer)
            except StoreError as error:
                answers.append((type(error), str(error)))
        assert answers[0] == answers[1], name
        return answers[0]

    @rule(batch=st.lists(events(), max_size=20))
    def append(self, batch):
        self.both("append", batch)

    @rule(batch=st.lists(st.tuples(names, names, st.binary(max_size=4)), max_size=5), now=micros)
    def upsert_items(self, batch, now):
        items = [NewItem(item_pb2.Item(item_id=i, title=t), v, "enc" if v else "") for i, t, v in batch]
        self.both("upsert_items", items, now)

    @rule(batch=st.lists(st.tuples(names, small, st.binary(max_size=4)), max_size=5))
    def set_text_vectors(self, batch):
        self.both("set_text_vectors", batch, "other")

    @rule(ids=st.lists(names, max_size=4), now=micros)
    def delete_items(self, ids, now):
        self.both("delete_items", ids, now)

    @rule(ids=st.lists(names, max_size=4), reason=st.one_of(st.none(), names), now=micros)
    def hide_items(self, ids, reason, now):
        self.both("hide_items", ids, reason, now, actor="me", why="because")

    @rule(
        name=names,
        limit=small,
        training=st.one_of(st.none(), st.booleans()),
        now=micros,
        vector=st.binary(max_size=4),
        expected=st.one_of(st.none(), st.integers(0, 30)),
    )
    def put_user(self, name, limit, training, now, vector, expected):
        user = user_pb2.User(user_id=name, maturity_limit=limit, consent=user_pb2.Consent(training=training))
        self.both("put_user", user, now, text_vector=vector, text_encoder="enc", expected=expected)

    @rule(name=names, now=micros)
    def erase_user(self, name, now):
        self.both("erase_user", name, now, actor="me")

    @rule(visitor=names, user=names, now=micros)
    def merge_users(self, visitor, user, now):
        self.both("merge_users", visitor, user, now)
        self.both("last_rewrite")

    @rule(item=names, hide=st.booleans(), through=st.one_of(st.none(), st.integers(0, 30)), now=micros)
    def resolve_review(self, item, hide, through, now):
        self.both("reviews", 3)
        self.both("resolve_review", item, "seen", now, hide=hide, through=through, actor="me")

    @rule()
    def next_release(self):
        self.both("next_release")

    @rule(release=small, state=st.sampled_from(ReleaseState), manifest=st.sampled_from(["{}", "{ }"]))
    def put_release(self, release, state, manifest):
        self.both("put_release", ReleaseRecord(release, state, "r", "url", 0, 1, 0.0, manifest))

    @rule(release=small, state=st.sampled_from(ReleaseState), fraction=st.sampled_from([0.0, 0.1]))
    def set_release_state(self, release, state, fraction):
        self.both("set_release_state", release, state, "why", fraction)

    @rule(name=names, holder=st.sampled_from("hk"), ttl=micros, now=micros)
    def acquire_lease(self, name, holder, ttl, now):
        lease = self.both("acquire_lease", name, holder, ttl, now)
        if isinstance(lease, Lease):
            self.leases.append(lease)

    @rule(data=st.data())
    def release_lease(self, data):
        if self.leases:
            self.both("release_lease", data.draw(st.sampled_from(self.leases)))

    @rule(count=small)
    def put_slates(self, count):
        slates = [
            SlateRecord(
                f"r{self.slates + n}", "au"[n % 2], n, 1, ("a",), {"k": "v"}, "{}", 0.5 * (n % 2), (0.25,) * (n % 2)
            )
            for n in range(count)
        ]
        self.slates += count
        self.both("put_slates", slates)

    @rule(name=names, limit=small, through=st.one_of(st.none(), micros))
    def read_user(self, name, limit, through):
        self.both("read_user", name, limit, through)
        self.both("get_user", name)
        self.both("scan_user", name)
        self.both("user_slates", name)

    @rule(after=small, limit=small)
    def follow(self, after, limit):
        self.both("changes", after, limit)
        self.both("read_log", after, limit)
        self.both("scan_log", after, after + limit)
        self.both("get_events", ["a", "b", "x", "xy"])

    @rule(ids=st.lists(names, max_size=4), after=names, limit=small)
    def read_items(self, ids, after, limit):
        self.both("get_items", ids)
        self.both("list_items", limit, after)
        self.both("audit", limit)

    @rule(number=small, prefix=names, now=micros)
    def read_the_rest(self, number, prefix, now):
        self.both("get_release", number)
        self.both("list_leases", prefix, now)
        self.both("get_slate", f"r{number}")
        self.both("explored_slates", number, number)

    @rule()
    def restart(self):
        self.sqlite.close()
        self.sqlite = open_sqlite(self.path, slate_limit=4)

    @invariant()
    def same_state(self):
        self.both("last_sequence")
        self.both("scan_log")
        self.both("changes", 0, 1_000)
        self.both("list_items", 1_000)
        self.both("count_items")
        self.both("list_releases")
        self.both("active_release")
        self.both("list_leases", "", 0)
        self.both("audit", 1_000)
        self.both("erasures")
        self.both("users_not_training")
        self.both("reviews", 1_000)

    def teardown(self):
        self.sqlite.close()
        shutil.rmtree(self.folder)


TestSqliteLikeMemory = SqliteLikeMemory.TestCase
TestSqliteLikeMemory.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
