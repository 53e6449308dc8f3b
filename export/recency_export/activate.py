"""From a published candidate to a release that serves, or one that was rejected and says why.

Where agents own Tritons, the candidate is judged when each of them has it loaded and warm. Where none does, nothing serves,
and what onnxruntime computes is what counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from recency_export.errors import CouldNotJudge
from recency_export.evidence import Evidence
from recency_export.gate import GateSettings, Verdict, judge
from recency_export.settings import RunSettings
from recency_inference.wanted import SERVING, ready_lease
from recency_store.protocol import Store
from recency_store.records import Lease, ReleaseRecord, ReleaseState

_AGENT = "agent/"
_POLL_SECONDS = 0.05

Clock = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Judged:
    """The candidate's record after the gate, and what the gate saw; None where an agent had rejected it before."""

    record: ReleaseRecord
    verdict: Verdict | None


def ready_targets(
    store: Store, release: int, settings: RunSettings, clock: Clock, advance: Callable[[int, int, str], None]
) -> tuple[str, ...]:
    """Waits until every Triton with an agent has the release ready; answers their addresses, none where there is none.

    An agent that ends meanwhile is not waited for. Nothing is answered, either, for a release that an agent has rejected.
    """
    give_up = time.monotonic() + settings.ready_seconds
    while True:
        now = clock()
        targets = tuple(sorted(lease.name.removeprefix(_AGENT) for lease in store.list_leases(_AGENT, now)))
        ready = [target for target in targets if _held(store, ready_lease(release, target), now)]
        if len(ready) == len(targets) or store.get_release(release).state is ReleaseState.REJECTED:
            return targets
        advance(len(ready), len(targets), f"waiting for {', '.join(sorted(set(targets) - set(ready)))}")
        if time.monotonic() > give_up:
            raise CouldNotJudge(
                f"release {release} was not ready on {', '.join(sorted(set(targets) - set(ready)))} within "
                f"{settings.ready_seconds:.0f} s (export.run.ready_seconds); it stays a candidate: look at that "
                "Triton's log, then run it again"
            )
        time.sleep(_POLL_SECONDS)


def decide(store: Store, evidence: Evidence, parent: int, settings: GateSettings, lease: Lease) -> Judged:
    """Judges a candidate made from `parent`, and makes the one write that this comes down to: ACTIVE, or REJECTED with the
    reasons."""
    release = evidence.release
    record = store.get_release(release)
    if record.state is not ReleaseState.CANDIDATE:
        return Judged(record, None)
    verdict = judge(evidence, settings)
    reasons = list(verdict.reasons)
    active = store.active_release()
    serving = active.release if active is not None else 0
    if serving != parent:
        reasons.append(f"parent: it was made from release {parent}, and release {serving} serves now; run it again")
    state = ReleaseState.REJECTED if reasons else ReleaseState.ACTIVE
    store.set_release_state(release, state, "; ".join(reasons), lease=lease)
    return Judged(store.get_release(release), verdict)


def wait_served(store: Store, release: int, seconds: float, clock: Clock) -> float | None:
    """Seconds until the first gateway serves the release; None where none did in time, or no gateway is there at all."""
    begun = time.monotonic()
    if not store.list_leases(f"{SERVING}/", clock()):
        return None
    while time.monotonic() - begun < seconds:
        if store.list_leases(f"{SERVING}/{release}/", clock()):
            return time.monotonic() - begun
        time.sleep(_POLL_SECONDS)
    return None


def _held(store: Store, name: str, now_micros: int) -> bool:
    return any(lease.name == name for lease in store.list_leases(name, now_micros))
