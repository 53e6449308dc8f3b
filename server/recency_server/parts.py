"""Everything that a request needs, opened once and handed down: `open_parts` starts it, and stops it on the way out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from recency_inference.client import Inference
from recency_server.batching import BatchConfig
from recency_server.counters import Counters
from recency_server.encode import Encoder
from recency_server.follow import FollowConfig, Follower
from recency_server.query import Clock
from recency_server.releases import ReleaseConfig, Releases
from recency_server.score import Scorer
from recency_server.slates import SlateConfig, SlateLog
from recency_server.users import UserConfig, Users
from recency_store.group_commit import GroupCommit
from recency_store.protocol import Store


@dataclass(frozen=True, slots=True)
class RecommendConfig:
    """How the request path behaves.

    gateway_id        names this process among the gateways of a store: leases and recommendation ids carry it
    exclude_seen      whether what a user consumed is left out: `always`, `never`, or `auto`, which keeps it where the
                      release says that the catalogue is consumed again
    repeat_share      `auto` keeps seen items when more than this share of the training events repeated an item
    reserve_seconds   kept back from a deadline, so that a fallback still reaches the caller in time
    store_threads     threads that read the store for requests and followers
    """

    gateway_id: str
    exclude_seen: Literal["auto", "always", "never"] = "auto"
    repeat_share: float = 0.05
    reserve_seconds: float = 0.01
    store_threads: int = 4
    batch: BatchConfig = field(default_factory=BatchConfig)
    follow: FollowConfig = field(default_factory=FollowConfig)
    users: UserConfig = field(default_factory=UserConfig)
    releases: ReleaseConfig = field(default_factory=ReleaseConfig)
    slates: SlateConfig = field(default_factory=SlateConfig)


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
    scorer: Scorer
    encoder: Encoder
    slates: SlateLog
    counters: Counters
    threads: ThreadPoolExecutor
    clock: Clock
    new_id: Callable[[], str]


@asynccontextmanager
async def open_parts(
    config: RecommendConfig, store: Store, inference: Inference, clock: Clock
) -> AsyncIterator[Parts]:
    """Opens the parts, reads the catalogue, makes the first try to adopt the active release, and follows from then on.

    Works with an empty store, with no release and with Triton down. The caller owns `store` and `inference`.
    """
    raise NotImplementedError
    yield
