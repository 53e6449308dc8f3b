"""ReleaseService: which models there are, and who is answered by which."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TypeVar, TypeVarTuple

from recency.v1 import release_pb2
from recency_server import limits, moves
from recency_server.adopt import recorded_versions, unready_models
from recency_server.calls import Method, Source, Terms
from recency_server.errors import InvalidRequest, NotFound, Violation, WrongState
from recency_server.pages import encode_page
from recency_server.parts import Parts
from recency_server.query import Deadline
from recency_server.release_use import release_use
from recency_server.validate import Problem, number, span
from recency_server.validate_calls import check_page, check_release
from recency_store.errors import ManifestError, StoreError
from recency_store.manifest import Manifest
from recency_store.records import ReleaseRecord, ReleaseState

_RELEASES_PAGE = "releases"
# What is left of a deadline when a wait ends, so that the answer arrives.
_RESERVE_SECONDS = 0.2
_WATCH_SECONDS = 0.5
_T = TypeVar("_T")
_Arguments = TypeVarTuple("_Arguments")


class ReleaseService:
    """Shows releases and moves traffic between them. States are written to the store, where every gateway sees them."""

    descriptor = release_pb2.DESCRIPTOR.services_by_name["ReleaseService"]
    later: Mapping[str, str] = {}

    def __init__(self, parts: Parts, *, reads: Terms, writes: Terms, streams: Terms) -> None:
        self._parts = parts
        self._reads = reads
        self._writes = writes
        self._streams = streams

    def implemented(self) -> Mapping[str, tuple[Method | Source, Terms]]:
        """The methods that this version has."""
        return {
            "ListReleases": (self.list_releases, self._reads),
            "GetRelease": (self.get_release, self._reads),
            "ActivateRelease": (self.activate_release, self._writes),
            "SetCanary": (self.set_canary, self._writes),
            "RollbackRelease": (self.roll_back_release, self._writes),
            "SetShadow": (self.set_shadow, self._writes),
            "WatchReleases": (self.watch_releases, self._streams),
        }

    async def list_releases(
        self, request: release_pb2.ListReleasesRequest, deadline: Deadline
    ) -> release_pb2.ListReleasesResponse:
        """A page of the releases, newest first."""
        limit, before = check_page(_RELEASES_PAGE, request.page_size, request.page_token)
        records = await self._in_thread(self._parts.store.list_releases)
        if before:
            records = [record for record in records if record.release < int(before)]
        page = records[:limit]
        return release_pb2.ListReleasesResponse(
            releases=[release_message(record) for record in page],
            next_page_token=encode_page(_RELEASES_PAGE, str(page[-1].release)) if len(records) > limit else "",
        )

    async def get_release(
        self, request: release_pb2.GetReleaseRequest, deadline: Deadline
    ) -> release_pb2.GetReleaseResponse:
        """One release, or the active one, and what this gateway does with it."""
        if request.release < 0:
            raise InvalidRequest(Violation("release", "is negative; releases count from 1, and 0 means the active one"))
        if request.release:
            record: ReleaseRecord | None = await self._in_thread(self._parts.store.get_release, request.release)
        else:
            record = await self._in_thread(self._parts.store.active_release)
        if record is None:
            raise NotFound("release: none is active yet; publish one with `recency export bootstrap`")
        return release_pb2.GetReleaseResponse(release=self._with_use(record))

    async def activate_release(
        self, request: release_pb2.ActivateReleaseRequest, deadline: Deadline
    ) -> release_pb2.ActivateReleaseResponse:
        """Makes a release the one that serves."""
        problems = []
        if request.HasField("wait"):
            wrong = span(request.wait)
            if wrong is None and request.wait.seconds > limits.ACTIVATE_WAIT_SECONDS:
                wrong = f"is longer than {limits.ACTIVATE_WAIT_SECONDS} s"
            if wrong is not None:
                problems.append(Problem("wait", wrong))
        check_release(request.release, request.reason, problems)
        await self._check_ready(request.release, "activated")
        record = await self._move(moves.activate, request.release, request.reason)
        if request.HasField("wait"):
            await self._until_served(record.release, request.wait.ToNanoseconds() / 1e9, deadline)
        return release_pb2.ActivateReleaseResponse(
            release=self._with_use(record), served=self._parts.releases.role_of(record.release) == "active"
        )

    async def set_canary(
        self, request: release_pb2.SetCanaryRequest, deadline: Deadline
    ) -> release_pb2.SetCanaryResponse:
        """Gives a release a share of the users, or ends that."""
        wrong = number(request.fraction, 0.0, 1.0)
        check_release(request.release, request.reason, [] if wrong is None else [Problem("fraction", wrong)])
        if request.fraction:
            await self._check_ready(request.release, "a canary")
        record = await self._move(moves.set_canary, request.release, request.fraction, request.reason)
        return release_pb2.SetCanaryResponse(release=self._with_use(record))

    async def roll_back_release(
        self, request: release_pb2.RollbackReleaseRequest, deadline: Deadline
    ) -> release_pb2.RollbackReleaseResponse:
        """Goes back, whether or not the goal is ready here: what is to be left is worse than a wait."""
        check_release(request.release, request.reason, least=0)
        record = await self._move(moves.roll_back, request.release, request.reason)
        return release_pb2.RollbackReleaseResponse(release=self._with_use(record))

    async def set_shadow(
        self, request: release_pb2.SetShadowRequest, deadline: Deadline
    ) -> release_pb2.SetShadowResponse:
        """Lets a release score beside the active one, or ends that. It is loaded for this, so it need not be ready."""
        check_release(request.release, request.reason)
        record = await self._move(moves.set_shadow, request.release, request.end, request.reason)
        return release_pb2.SetShadowResponse(release=self._with_use(record))

    async def watch_releases(
        self, request: release_pb2.WatchReleasesRequest
    ) -> AsyncIterator[release_pb2.WatchReleasesResponse]:
        """Every change that the store shows, oldest release first, until the caller has enough. A store that does not
        answer for a while is waited for."""
        known: dict[int, tuple[ReleaseState, str, float, int]] = {}
        tell = request.include_current
        while True:
            for record in reversed(await self._listed()):
                state = (record.state, record.reason, record.canary_fraction, record.activation)
                if known.get(record.release) != state:
                    known[record.release] = state
                    if tell:
                        yield release_pb2.WatchReleasesResponse(release=release_message(record))
            tell = True
            await asyncio.sleep(_WATCH_SECONDS)

    async def _listed(self) -> list[ReleaseRecord]:
        """All releases, as soon as the store answers."""
        while True:
            try:
                return await self._in_thread(self._parts.store.list_releases)
            except StoreError:
                await asyncio.sleep(_WATCH_SECONDS)

    async def _check_ready(self, release: int, what: str) -> None:
        """Whoever moves traffic to what this gateway cannot serve is told before, not by a page of errors."""
        record = await self._in_thread(self._parts.store.get_release, release)
        if record.state is ReleaseState.REJECTED:
            raise WrongState(f"release {release} was rejected ({record.reason}); publish what should serve anew")
        refused = self._parts.releases.refusals.reasons.get(release, "")
        unready = refused or await unready_models(self._parts.inference, recorded_versions(record))
        if unready:
            raise WrongState(
                f"release {release} is not ready to be {what}: {unready}; let Triton load it first "
                f"(`recency release shadow {release}`), and try again when it is ready"
            )

    async def _move(self, move: Callable[..., ReleaseRecord], *arguments: object) -> ReleaseRecord:
        record = await self._in_thread(lambda: move(self._parts.store, *arguments))
        self._parts.releases.look_soon()
        return record

    async def _until_served(self, release: int, seconds: float, deadline: Deadline) -> None:
        try:
            async with asyncio.timeout(min(seconds, deadline.remaining_seconds() - _RESERVE_SECONDS)):
                await self._parts.releases.until_active(release)
        except TimeoutError:
            pass

    def _with_use(self, record: ReleaseRecord) -> release_pb2.Release:
        message = release_message(record)
        message.use.CopyFrom(release_use(self._parts, record.release))
        return message

    async def _in_thread(self, call: Callable[[*_Arguments], _T], *args: *_Arguments) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._parts.threads, call, *args)


def release_message(record: ReleaseRecord) -> release_pb2.Release:
    """A release as callers see it. A manifest that cannot be read leaves its part out: its state still shows."""
    release = release_pb2.Release(
        release=record.release,
        state=f"RELEASE_STATE_{record.state.value}",
        reason=record.reason,
        parent=record.parent,
        canary_fraction=record.canary_fraction,
    )
    release.create_time.FromMicroseconds(record.create_micros)
    try:
        manifest = Manifest.from_json(record.manifest_json, f"release {record.release}")
    except ManifestError as error:
        release.reason = release.reason or str(error)
        return release
    if manifest.trained_through_micros:
        release.trained_through_time.FromMicroseconds(manifest.trained_through_micros)
    release.item_count = manifest.item_count
    release.kind, release.run = manifest.kind, manifest.run
    release.model_versions.update(manifest.model_versions)
    release.metrics.update(manifest.metrics)
    release.checksums.update({name: entry.sha256 for name, entry in manifest.files.items()})
    return release
