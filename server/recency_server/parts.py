"""Everything that a request needs, opened once and handed down: `open_parts` starts it, and stops it on the way out."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import structlog

from recency_inference.client import Inference
from recency_server.adopt import Adopter, ReleaseConfig
from recency_server.arm_limits import CanaryConfig
from recency_server.arms import Arms
from recency_server.batching import BatchConfig
from recency_server.catalog import Catalog
from recency_server.counters import Counters
from recency_server.embed import Embedder
from recency_server.encode import EncodeConfig, Encoder
from recency_server.fallback import TrendOrder
from recency_server.filters import Filters
from recency_server.follow import FollowConfig, Follower
from recency_server.fresh import FreshItems
from recency_server.learned import Learned
from recency_server.people import PeopleConfig
from recency_server.policy_config import PolicyConfig
from recency_server.query import Clock
from recency_server.reading import SeenRule
from recency_server.releases import Releases
from recency_server.rules_watch import RulesWatch
from recency_server.score import Scorer
from recency_server.shadow import Shadow, ShadowConfig
from recency_server.slates import SlateConfig, SlateLog
from recency_server.steering import SteerConfig
from recency_server.trending import Trending
from recency_server.users import UserConfig, Users
from recency_store.group_commit import GroupCommit
from recency_store.protocol import Store

_log = structlog.get_logger()
_RESTART_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class RecommendConfig:
    """How the request path behaves.

    gateway_id        names this process among the gateways of a store: leases and recommendation ids carry it
    exclude_seen      whether what a user consumed is left out: `always`, `never`, or `auto`, which keeps it where the
                      release says that the catalogue is consumed again
    repeat_share      `auto` keeps seen items when more than this share of the training events repeated an item
    reserve_seconds   kept back from a deadline, so that a fallback still reaches the caller in time
    catch_up_seconds  the longest that a request waits for the follower
    store_threads     threads that read the store for requests and followers
    learned_seconds   between two looks at what the item learner has learned
    custom_types      the configured CUSTOM event types, each with the type number that its events are stored under
    spaces            the configured spaces of items' own vectors, each with its size
    """

    gateway_id: str
    exclude_seen: SeenRule = "auto"
    repeat_share: float = 0.05
    reserve_seconds: float = 0.01
    catch_up_seconds: float = 1.0
    store_threads: int = 4
    learned_seconds: float = 0.25
    custom_types: Mapping[str, int] = field(default_factory=dict)
    spaces: Mapping[str, int] = field(default_factory=dict)
    encode: EncodeConfig = field(default_factory=EncodeConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    follow: FollowConfig = field(default_factory=FollowConfig)
    users: UserConfig = field(default_factory=UserConfig)
    releases: ReleaseConfig = field(default_factory=ReleaseConfig)
    canary: CanaryConfig = field(default_factory=CanaryConfig)
    shadow: ShadowConfig = field(default_factory=ShadowConfig)
    slates: SlateConfig = field(default_factory=SlateConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    steer: SteerConfig = field(default_factory=SteerConfig)
    people: PeopleConfig = field(default_factory=PeopleConfig)


@dataclass(frozen=True, slots=True)
class Parts:
    """What `recommend` and the other services work with. `new_id` makes recommendation ids; call
    `follower.nudge()` after an own write so that it is applied without waiting for the poll."""

    config: RecommendConfig
    store: Store
    commit: GroupCommit
    inference: Inference
    follower: Follower
    releases: Releases
    users: Users
    arms: Arms
    shadow: Shadow
    scorer: Scorer
    encoder: Encoder
    filters: Filters
    learned: Learned
    slates: SlateLog
    rules: RulesWatch
    fresh: FreshItems
    trending: Trending
    counters: Counters
    threads: ThreadPoolExecutor
    clock: Clock
    new_id: Callable[[], str]

    def dice(self, recommendation_id: str) -> np.random.Generator:
        """The randomness of one answer: the same for the same recommendation, so that a slate can be made again."""
        return np.random.default_rng(zlib.crc32(recommendation_id.encode()))


@asynccontextmanager
async def open_parts(config: RecommendConfig, store: Store, inference: Inference, clock: Clock) -> AsyncIterator[Parts]:
    """Opens the parts, reads the catalogue, makes the first try to adopt the active release, and follows from then on.

    Works with an empty store, with no release and with Triton down. The caller owns `store` and `inference`.
    """
    counters = Counters()
    with ThreadPoolExecutor(config.store_threads, thread_name_prefix="store") as threads:
        users = Users(store, threads, counters, config.users)
        follower = Follower(store, Catalog(), users, threads, counters, clock, config.follow)
        encoder = Encoder(lambda: releases.live, inference, threads, counters, config.encode)
        embedder = Embedder(store, lambda: releases.serving(), follower, encoder, threads, clock)
        learned = Learned(store, lambda: releases.serving(), threads, config.learned_seconds)
        adopter = Adopter(store, inference, follower, embedder, learned, threads, counters, clock, config.releases)
        attributes, who = follower.catalog.attributes, config.gateway_id
        rules = RulesWatch(config.policy, attributes, store, threads, counters, clock, who)
        releases = Releases(store, adopter, follower, rules.in_force, threads, counters, clock, who, config.releases)
        rules.on_change.append(releases.refresh)
        arms = Arms(store, releases, follower, threads, counters, who, config.canary)
        slates = SlateLog(store, threads, counters, config.slates)
        commit = GroupCommit(store)
        await follower.open()
        rules.open()
        async with _background() as tasks:
            tasks.create_task(_forever(follower.run))
            await releases.look()
            if releases.live is None:
                await follower.restart_trends_from_log()
            running = (releases.run, releases.adopt, releases.keep, arms.run, embedder.run, learned.run, slates.run)
            for work in (*running, rules.run, follower.refold):
                tasks.create_task(_forever(work))
            scorer = Scorer(inference, tasks, counters, config.batch, TrendOrder(follower, rules.in_force, clock))
            try:
                yield Parts(
                    config=config,
                    store=store,
                    commit=commit,
                    inference=inference,
                    follower=follower,
                    releases=releases,
                    users=users,
                    arms=arms,
                    shadow=Shadow(releases, scorer, tasks, follower.catalog, clock, config.shadow),
                    scorer=scorer,
                    encoder=encoder,
                    filters=Filters(attributes),
                    learned=learned,
                    slates=slates,
                    rules=rules,
                    fresh=FreshItems(config.policy),
                    trending=Trending(attributes),
                    counters=counters,
                    threads=threads,
                    clock=clock,
                    new_id=_ids(config.gateway_id, clock()),
                )
            finally:
                await commit.close()
        await slates.close()
        await releases.close()


@asynccontextmanager
async def _background() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group whose tasks end with the body. What the body raises comes out as it is, not in a group."""
    raised: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            try:
                yield tasks
            except BaseException as error:
                raised = error
                raise
            # The one way to end all tasks of a group from inside: an error of its own.
            raise _Finished
    except BaseExceptionGroup as group:
        if any(error is not raised and not isinstance(error, _Finished) for error in group.exceptions):
            raise
        if raised is not None:
            raise raised from None


class _Finished(Exception):
    """The body of `_background` has ended."""


async def _forever(work: Callable[[], Awaitable[None]]) -> None:
    """Goes on with background work whatever it meets: serving with one part of it stuck, and saying so, is better than
    not serving."""
    while True:
        try:
            await work()
        except Exception:
            _log.exception("background work failed; it starts again", work=work.__qualname__)
            await asyncio.sleep(_RESTART_SECONDS)


def _ids(gateway_id: str, start_micros: int) -> Callable[[], str]:
    """Makes ids that no other gateway, and no other run of this one, makes."""
    prefix = hashlib.sha256(f"{gateway_id}/{start_micros}".encode()).hexdigest()[:16]
    numbers = itertools.count(1)
    return lambda: f"{prefix}-{next(numbers):x}"
