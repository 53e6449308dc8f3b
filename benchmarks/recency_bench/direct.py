"""The limit that serving is measured against: onnxruntime run directly, in processes that do nothing else.

The same graph, the same batch size and the same cores as behind the gateway: one process a core, one thread each, as the
Triton instances are. `python -m recency_bench.direct` with a JSON job on standard input is one such process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

_WARM_RUNS = 5
# About what a MovieLens user has seen.
_EXCLUDED = 128


@dataclass(frozen=True, slots=True)
class DirectJob:
    """Run `release`'s recommender for so many seconds on batches of `batch`."""

    release_folder: str
    batch: int
    seconds: float
    seed: int


@dataclass(frozen=True, slots=True)
class Direct:
    """What all processes did together."""

    answers_per_second: float
    cpu_ms_per_answer: float


def direct(release_folder: Path, *, processes: int, batch: int, seconds: float) -> Direct:
    """Runs so many processes side by side; answers a second are summed, CPU time is averaged."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    running = []
    for seed in range(processes):
        job = DirectJob(str(release_folder), batch, seconds, seed)
        process = subprocess.Popen(
            [sys.executable, "-m", "recency_bench.direct"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(job)))
        process.stdin.close()
        running.append(process)
    outcomes = []
    for process in running:
        assert process.stdout is not None
        text = process.stdout.read()
        if process.wait() != 0:
            raise RuntimeError("the direct onnxruntime process failed; its error is above")
        outcomes.append(json.loads(text))
    answers = sum(o["answers"] for o in outcomes)
    return Direct(
        answers_per_second=sum(o["answers"] / o["seconds"] for o in outcomes),
        cpu_ms_per_answer=1e3 * sum(o["cpu_seconds"] for o in outcomes) / answers,
    )


def main() -> None:
    """One process of the reference."""
    import numpy as np
    import onnxruntime

    from recency_features.spec import RECOMMENDER
    from recency_inference.warm import Sizes, example_inputs
    from recency_store.manifest import read_manifest

    job = DirectJob(**json.load(sys.stdin))
    folder = Path(job.release_folder)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(folder / "recommender" / "model.onnx"), options)
    rng = np.random.default_rng(job.seed)
    manifest = read_manifest(folder)
    sizes = Sizes(excluded=_EXCLUDED)
    batches = [example_inputs(RECOMMENDER, manifest, job.batch, rng, sizes) for _ in range(8)]
    for inputs in batches[:_WARM_RUNS]:
        session.run(None, inputs)
    answers = 0
    cpu = time.process_time()
    started = time.perf_counter()
    while time.perf_counter() - started < job.seconds:
        session.run(None, batches[(answers // job.batch) % len(batches)])
        answers += job.batch
    outcome = {
        "answers": answers,
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - cpu,
    }
    json.dump(outcome, sys.stdout)


if __name__ == "__main__":
    main()
