"""Where a release is and what comes of it, for `recency release show`: which gateways serve or refuse it and which Tritons
have it ready, as their leases say, and what the gateway at hand sees of its answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recency import ReleaseUse
    from recency_store.protocol import Store

_SECONDS = 1.0


def whereabouts(store: Store, release: int, now_micros: int) -> dict[str, Any]:
    """`served_by`, `ready_at` and `refused_by` (with the reason)."""
    from recency_inference.wanted import READY, SERVING
    from recency_server.leases import REFUSED

    def who(kind: str) -> dict[str, str]:
        prefix = f"{kind}/{release}/"
        return {lease.name.removeprefix(prefix): lease.holder for lease in store.list_leases(prefix, now_micros)}

    return {"served_by": sorted(who(SERVING)), "ready_at": sorted(who(READY)), "refused_by": who(REFUSED)}


def use_at(address: str, release: int) -> ReleaseUse | None:
    """What the gateway at an address does with a release; None where none answers at once."""
    from recency import Recency, RecencyError

    try:
        with Recency(address, timeout_seconds=_SECONDS) as client:
            return client.get_release(release).use
    except RecencyError:
        return None


def use_json(use: ReleaseUse | None) -> dict[str, Any] | None:
    """It for scripts; times in milliseconds."""
    if use is None:
        return None
    arm, shadow = use.arm, use.shadow
    return {
        "gateway": use.gateway,
        "role": use.role,
        "refused_reason": use.refused_reason,
        "held": use.held,
        "arm": arm and {
            "answers": arm.answers, "degraded": arm.degraded, "errors": arm.errors, "clicks": arm.clicks,
            "reward": arm.reward, "reward_low": arm.reward_low, "reward_high": arm.reward_high,
            "latency_median_ms": arm.latency_median.total_seconds() * 1e3,
            "latency_p90_ms": arm.latency_p90.total_seconds() * 1e3,
        },
        "shadow": shadow and {
            "scored": shadow.scored, "dropped": shadow.dropped, "errors": shadow.errors,
            "overlap_at_10": shadow.overlap_at_10, "rank_correlation": shadow.rank_correlation,
            "latency_mean_ms": shadow.latency_mean.total_seconds() * 1e3,
        },
    }  # fmt: skip


def use_rows(use: ReleaseUse) -> list[tuple[str, str]]:
    """It for people."""
    rows = [("role", use.role or "none"), ("requests that hold it", str(use.held))]
    if use.refused_reason:
        rows.append(("refused", use.refused_reason))
    if use.arm is not None:
        arm = use.arm
        rows += [
            ("answers since the canary began", f"{arm.answers}, {arm.degraded} degraded, {arm.errors} errors"),
            ("clicks", str(arm.clicks)),
            ("reward an answer", f"{arm.reward:.4f} ({arm.reward_low:.4f} to {arm.reward_high:.4f})"),
            ("latency", f"{_ms(arm.latency_median)} median, {_ms(arm.latency_p90)} p90"),
        ]
    if use.shadow is not None:
        shadow = use.shadow
        rows += [
            ("scored in the shadow", f"{shadow.scored}, {shadow.dropped} dropped, {shadow.errors} errors"),
            ("overlap at 10", f"{shadow.overlap_at_10:.3f}"),
            ("rank correlation", f"{shadow.rank_correlation:.3f}"),
            ("latency", f"{_ms(shadow.latency_mean)} mean"),
        ]
    return rows


def _ms(duration: Any) -> str:
    return f"{duration.total_seconds() * 1e3:.1f} ms"
