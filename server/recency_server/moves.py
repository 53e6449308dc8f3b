"""How traffic moves between releases: which moves there are, and which are refused. Blocking calls over the store, the same
for a gateway and for the command line without one."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from recency_server.errors import WrongState
from recency_store.errors import UnknownRelease
from recency_store.protocol import Store
from recency_store.records import ReleaseRecord, ReleaseState

_log = structlog.get_logger("recency.server")

Move = Callable[[Store], ReleaseRecord]


def activate(store: Store, release: int, reason: str = "") -> ReleaseRecord:
    """Makes a release the one that serves; the one that served is retired. One that serves already stays as it is."""
    record = store.get_release(release)
    if record.state is ReleaseState.ACTIVE:
        return record
    return _moved(store, record, ReleaseState.ACTIVE, reason or "activated by request")


def set_canary(store: Store, release: int, fraction: float, reason: str = "") -> ReleaseRecord:
    """Gives a release this share of the users, another canary is retired; 0 ends it. WrongState for the active one."""
    record = store.get_release(release)
    if not fraction:
        if record.state is not ReleaseState.CANARY:
            raise WrongState(f"release {release} is no canary, it is {record.state.value}; there is nothing to end")
        return _moved(store, record, ReleaseState.RETIRED, reason or "canary ended by request")
    _beside_another(store, record, "canary")
    return _moved(store, record, ReleaseState.CANARY, reason or "canary by request", fraction)


def set_shadow(store: Store, release: int, end: bool = False, reason: str = "") -> ReleaseRecord:
    """Lets a release score beside the active one, another shadow ends; or ends it. WrongState for the active one."""
    record = store.get_release(release)
    if end:
        if record.state is not ReleaseState.SHADOW:
            raise WrongState(f"release {release} is no shadow, it is {record.state.value}; there is nothing to end")
        return _moved(store, record, _after_shadow(record), reason or "shadow ended by request")
    _beside_another(store, record, "shadow")
    moved = _moved(store, record, ReleaseState.SHADOW, reason or "shadow by request")
    for other in store.serving_releases():
        if other.state is ReleaseState.SHADOW and other.release != release:
            _moved(store, other, _after_shadow(other), f"replaced by release {release}")
    return moved


def roll_back(store: Store, release: int = 0, reason: str = "") -> ReleaseRecord:
    """Goes back to a release, or to the one that served before, and answers it. WrongState where none did."""
    left = store.active_release()
    try:
        record = store.roll_back(release, reason or "rolled back by request")
    except UnknownRelease as error:
        if release:
            raise
        raise WrongState(str(error)) from error
    _log.warning(
        "rolled back", release=record.release, left=left.release if left is not None else 0, reason=record.reason
    )
    return record


def _beside_another(store: Store, record: ReleaseRecord, what: str) -> None:
    if record.state is ReleaseState.ACTIVE:
        raise WrongState(
            f"release {record.release} is active and answers everybody; a {what} stands beside another one"
        )
    if store.active_release() is None:
        raise WrongState(f"no release is active that a {what} could stand beside; activate one first")


def _after_shadow(record: ReleaseRecord) -> ReleaseState:
    """One that never served is a candidate again."""
    return ReleaseState.RETIRED if record.activation else ReleaseState.CANDIDATE


def _moved(
    store: Store, record: ReleaseRecord, state: ReleaseState, reason: str, fraction: float = 0.0
) -> ReleaseRecord:
    store.set_release_state(record.release, state, reason, fraction)
    _log.info(
        "release moved",
        release=record.release,
        before=record.state.value,
        state=state.value,
        canary_fraction=fraction,
        reason=reason,
    )
    return store.get_release(record.release)
