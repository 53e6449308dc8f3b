"""The benches' results as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from recency_cli.screen import age, table

if TYPE_CHECKING:
    from rich.table import Table

    from recency_bench.export_growth import Growth
    from recency_bench.export_rounds import Round
    from recency_bench.freshness import FreshnessResult
    from recency_bench.intervals import Figure
    from recency_bench.load import LoadResult
    from recency_bench.options import OptionsResult
    from recency_bench.prequential import PrequentialResult
    from recency_bench.quality import QualityResult
    from recency_bench.staleness import StalenessResult
    from recency_bench.swaps import SwapResult
    from recency_bench.ways import WayRow


def freshness_tables(result: FreshnessResult) -> list[Table]:
    """From a write to the first answer that shows it."""
    rows = [
        (name, row.count, *(f"{value:.1f}" for value in (row.p50_ms, row.p90_ms, row.p99_ms, row.max_ms)),
         result.never.get(name, ""))
        for name, row in result.rows.items()
    ]  # fmt: skip
    columns = ("from write to answer", "rounds", "p50 ms", "p90 ms", "p99 ms", "max ms", "never")
    title = (
        f"release {result.release}, published {age(result.release_age_seconds)} ago, "
        f"trained through {age(result.trained_through_age_seconds)} ago"
    )
    return [table(title, columns, rows, right=columns[1:])]


def options_tables(result: OptionsResult) -> list[Table]:
    """Each kind of request beside the plain one."""
    rows = [
        (kind, row.count, *(f"{value:.1f}" for value in (row.p50_ms, row.p90_ms, row.p99_ms)),
         f"{result.p50_ratio[kind]:.2f}", result.degraded[kind] or "")
        for kind, row in result.rows.items()
    ]  # fmt: skip
    columns = ("request", "answers", "p50 ms", "p90 ms", "p99 ms", "p50 ÷ plain", "degraded")
    return [table("What options cost", columns, rows, right=columns[1:])]


def load_tables(result: LoadResult) -> list[Table]:
    """Each loop, then the limit and the ratio."""
    parts = list(result.steps[0].cpu_ms_per_answer)
    columns = ("loop", "offered", "answers/s", "errors", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms",
               *(f"{part} CPU ms" for part in parts))  # fmt: skip
    rows = []
    for step in result.steps:
        seen = step.load
        unit = " callers" if step.kind == "closed" else "/s"
        rows.append(
            (
                step.kind,
                f"{step.offered:.0f}{unit}",
                f"{seen.answers_per_second:.0f}",
                sum(seen.errors.values()) + seen.degraded,
                f"{seen.latencies.p50_ms:.1f}",
                f"{seen.latencies.p90_ms:.1f}",
                f"{seen.latencies.p99_ms:.1f}",
                f"{seen.latencies.p999_ms:.1f}",
                *(f"{step.cpu_ms_per_answer[part]:.3f}" for part in parts),
            )
        )
    direct = ", ".join(f"{d.answers_per_second:.0f}" for d in result.direct)
    cost = ", ".join(f"{d.cpu_ms_per_answer:.3f}" for d in result.direct)
    memory = ", ".join(f"{name} {size / 2**20:.0f} MiB" for name, size in result.resident_bytes.items())
    facts = [
        ("onnxruntime directly, answers/s (each turn)", direct),
        ("onnxruntime directly, CPU ms an answer", cost),
        ("best rate with p99 < 50 ms and no error, answers/s", f"{result.best_rate:.0f}"),
        (f"ratio to onnxruntime directly on {result.cores} cores", f"{result.ratio:.3f}"),
        ("resident memory", memory),
    ]
    return [table("", columns, rows, right=columns[1:]), table("", ("", ""), facts)]


def quality_tables(result: QualityResult) -> list[Table]:
    """Leave-one-out figures, ours first."""
    columns = ("leave-one-out, test", "NDCG@10", "HR@10", "MRR@10", "± NDCG", "cases", "training s")
    rows = [
        (row.model, f"{row.ndcg:.4f}", f"{row.hit_rate:.4f}", f"{row.mrr:.4f}", f"{row.ndcg_standard_error:.4f}",
         row.cases, f"{row.seconds_to_train:.0f}")
        for row in result.rows
    ]  # fmt: skip
    title = "" if not result.degraded else f"{result.degraded} answers were degraded: these figures are not the models'"
    return [table(title, columns, rows, right=columns[1:])]


def way_tables(rows: Sequence[WayRow]) -> list[Table]:
    """Each way of asking, beside the plain one."""
    columns = ("asked", "NDCG@10 [95 %]", "against plain [95 %]", "distance in a slate", "places filled")
    shown = [
        (row.way, _interval(row.ndcg), _interval(row.gain), f"{row.distance:.3f}", f"{row.filled:.1f}") for row in rows
    ]
    return [table(f"leave-one-out in other ways, {rows[0].ndcg.cases} cases", columns, shown, right=columns[1:])]


def prequential_tables(result: PrequentialResult) -> list[Table]:
    """Each arm's figures with their intervals, and what each has over the frozen model."""
    plan = result.plan
    columns = ("arm", *result.rows[0].figures)
    asked = "" if plan.every == 1 else f", each {plan.every}th asked for"
    rows = [(row.arm, *(_interval(figure) for figure in row.figures.values())) for row in result.rows]
    title = (
        f"test-then-train in time order: NDCG@10 [95 %], {result.cases:,} events of {result.users:,} users{asked}, "
        f"seeds: {plan.seeds}"
    )
    more = [
        (row.arm, *(_interval(figure, sign="+") for figure in row.more.values())) for row in result.rows if row.more
    ]
    tables = [table(title, columns, rows, right=columns[1:])]
    if more:
        over = ("more than frozen", *result.rows[0].figures)
        tables.append(table("", over, more, right=over[1:]))
    releases = [
        (row.arm, str(seed), str(one.window + 1), str(one.release), one.state, f"{one.seconds:.0f}", one.reason)
        for row in result.rows
        for seed, made in enumerate(row.made)
        for one in made
    ]
    if releases:
        columns = ("releases of", "seed", "window", "release", "state", "seconds", "reason")
        tables.append(table("", columns, releases, right=columns[1:4]))
    degraded = sum(row.degraded for row in result.rows)
    if degraded:
        tables.append(table("", (f"{degraded} answers were degraded: these figures are not the models'",), ()))
    return tables


def _interval(figure: Figure, sign: str = "") -> str:
    return f"{figure.mean:{sign}.4f} [{figure.low:{sign}.4f} {figure.high:{sign}.4f}]"


def swap_tables(result: SwapResult) -> list[Table]:
    """What callers noticed, how long each step took, and what it left behind."""
    facts = [
        ("load, answers/s (share of the capacity)", f"{result.rate:.0f} ({result.rate / result.capacity:.2f})"),
        ("answers while releases changed, and probes", f"{result.during.answers:,} + {result.probes:,}"),
        ("failed or degraded", result.failed),
        ("mixed", result.mixed),
        ("p50 ms before, during", f"{result.before.latencies.p50_ms:.1f}, {result.during.latencies.p50_ms:.1f}"),
        ("p99 ms before, during", f"{result.before.latencies.p99_ms:.1f}, {result.during.latencies.p99_ms:.1f}"),
        ("p99 in swaps ÷ in rests", f"{result.p99_ratio:.2f}"),
        ("seconds a swap, everything", f"{result.seconds_per_swap:.2f}"),
        (f"resident memory after the last ÷ after swap {result.settled}", f"{result.resident_ratio:.3f}"),
    ]
    title = f"{result.swaps} swaps, {result.rollbacks} rollbacks, {result.canaries} canaries"
    steps = [
        (step, f"{seconds:.2f}", f"{result.p99_by_step_ms.get(step, 0):.1f}")
        for step, seconds in result.seconds_by_step.items()
    ]
    memory = [
        (name, f"{result.resident_settled[name] / 2**20:.0f}", f"{result.resident_last[name] / 2**20:.0f}")
        for name in result.resident_last
    ]
    return [
        table(title, ("", ""), facts),
        table("", ("step", "median s", "p99 ms while it runs"), steps, right=("median s", "p99 ms while it runs")),
        table("", ("resident MiB", f"swap {result.settled}", "last"), memory, right=(f"swap {result.settled}", "last")),
        *(table("first trouble", ("",), [(line,)]) for line in result.trouble[:3]),
    ]


def staleness_tables(result: StalenessResult) -> list[Table]:
    """Everything live, then each channel held back."""
    columns = ("held back", "by", *(f"{group}, NDCG@10" for group in result.live), "less than live, all [95 %]")
    rows = [("nothing", "", *(f"{figure.mean:.4f}" for figure in result.live.values()), "")]
    rows += [
        (point.channel, point.delay, *(f"{figure.mean:.4f}" for figure in point.figures.values()),
         _interval(point.less["all"], sign="+"))
        for point in sorted(result.points, key=lambda point: (point.channel, point.seconds))
    ]  # fmt: skip
    asked = "" if result.every == 1 else f", each {result.every}th asked for"
    title = f"{result.cases:,} events of {result.users:,} users{asked}; a window lasts {age(result.window_seconds)}"
    return [table(title, columns, rows, right=columns[2:])]


def export_tables(growth: Sequence[Growth], rounds: Sequence[Round]) -> list[Table]:
    """First releases by the length of the log, a row a stage; then days replayed against a running stack, the same way."""
    columns = ("seconds, from a log of so many events", *(f"{one.events:,}" for one in growth))
    rows = [(stage, *(f"{one.stages[stage]:.1f}" for one in growth)) for stage in growth[0].stages]
    rows += [
        ("all", *(f"{one.seconds:.1f}" for one in growth)),
        ("training alone", *(f"{one.seconds_to_train:.1f}" for one in growth)),
        ("peak memory, MiB", *(f"{one.peak_bytes / 2**20:.0f}" for one in growth)),
    ]
    return [table("a first release", columns, rows, right=columns[1:]), *_round_tables(rounds)]


def _round_tables(rounds: Sequence[Round]) -> list[Table]:
    tables = []
    for depth in dict.fromkeys(one.depth for one in rounds):
        mine = [one for one in rounds if one.depth == depth]
        stages = list(dict.fromkeys(stage for one in mine for stage in one.stages))
        columns = ("seconds, after so many events of a day", *(f"{one.events:,}" for one in mine), "median")
        rows = [(stage, *_and_median([one.stages.get(stage) for one in mine])) for stage in stages]
        rows += [
            ("process and swap", *_and_median([one.rest for one in mine])),
            ("last event → an answer that learned it", *_and_median([one.seconds for one in mine])),
            ("peak memory, MiB", *_and_median([one.peak_bytes / 2**20 for one in mine], digits=0)),
        ]
        tables.append(table(f"{depth} release", columns, rows, right=columns[1:]))
        if refused := [f"release {one.release}: {one.reason}" for one in mine if one.reason]:
            tables.append(table("", ("not served, because",), [(reason,) for reason in refused]))
    return tables


def _and_median(values: Sequence[float | None], digits: int = 2) -> list[str]:
    known = [value for value in values if value is not None]
    shown = ["never" if value is None else f"{value:.{digits}f}" for value in values]
    return [*shown, f"{median(known):.{digits}f}" if known else "never"]
