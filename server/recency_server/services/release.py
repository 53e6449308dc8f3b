"""ReleaseService: which models there are."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from recency.v1 import release_pb2
from recency_server.calls import Method, Terms
from recency_server.errors import InvalidRequest, NotFound, Violation
from recency_server.pages import encode_page
from recency_server.parts import Parts
from recency_server.query import Deadline
from recency_server.validate_calls import check_page
from recency_store.errors import ManifestError, UnknownRelease
from recency_store.manifest import Manifest
from recency_store.records import ReleaseRecord

_RELEASES_PAGE = "releases"


class ReleaseService:
    """Shows releases; moving traffic between them comes later."""

    descriptor = release_pb2.DESCRIPTOR.services_by_name["ReleaseService"]
    later: Mapping[str, str] = {
        "ActivateRelease": "the exporter activates a release that passed its checks",
        "SetCanary": "a release serves everybody or nobody in this version",
        "RollbackRelease": "publish the earlier state as a new release with `recency export bootstrap`",
        "WatchReleases": "call GetRelease with release 0 every few seconds",
    }

    def __init__(self, parts: Parts, *, reads: Terms) -> None:
        self._parts = parts
        self._reads = reads

    def implemented(self) -> Mapping[str, tuple[Method, Terms]]:
        """The methods that this version has."""
        return {
            "ListReleases": (self.list_releases, self._reads),
            "GetRelease": (self.get_release, self._reads),
        }

    async def list_releases(
        self, request: release_pb2.ListReleasesRequest, deadline: Deadline
    ) -> release_pb2.ListReleasesResponse:
        """A page of the releases, newest first."""
        limit, before = check_page(_RELEASES_PAGE, request.page_size, request.page_token)
        loop = asyncio.get_running_loop()
        records = await loop.run_in_executor(self._parts.threads, self._parts.store.list_releases)
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
        """One release, or the active one."""
        if request.release < 0:
            raise InvalidRequest(Violation("release", "is negative; releases count from 1, and 0 means the active one"))
        loop, store = asyncio.get_running_loop(), self._parts.store
        record: ReleaseRecord | None
        if request.release:
            try:
                record = await loop.run_in_executor(self._parts.threads, store.get_release, request.release)
            except UnknownRelease as error:
                raise NotFound(f"release: there is no release {request.release}") from error
        else:
            record = await loop.run_in_executor(self._parts.threads, store.active_release)
            if record is None:
                raise NotFound("release: none is active yet; publish one with `recency export bootstrap`")
        return release_pb2.GetReleaseResponse(release=release_message(record))


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
    release.model_versions.update(manifest.model_versions)
    release.metrics.update(manifest.metrics)
    release.checksums.update({name: entry.sha256 for name, entry in manifest.files.items()})
    return release
