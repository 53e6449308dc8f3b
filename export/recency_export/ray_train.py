"""The training of `train.py` by several workers under Ray Train: each reads its users from Parquet, all hold one model.

Users are dealt to the workers by bucket, so that a history is whole where it is read. A step takes as many windows as with
one process, shared out, and its gradient is the mean over everybody's targets (torch DDP, gloo). One process is the default
and needs no Ray.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed, nn

from recency_export.dataset import Dataset, build_dataset
from recency_export.errors import ExportError, MissingExtra
from recency_export.model import Retrieval
from recency_export.parquet import BUCKETS, read_events
from recency_export.settings import HoldoutSettings, ModelSettings, TrainSettings
from recency_export.snapshot import Snapshot
from recency_export.team import Team
from recency_export.train import Advance, Curve, fine_tune
from recency_features.spaces import Directions

_COLUMNS = ("sequence", "user_id", "item_id", "type", "time_micros")


@dataclass(frozen=True, slots=True)
class Shared:
    """What every worker starts from, beside its own users' events in `parquet`.

    kept           int64, sorted: the positions of the log that the snapshot kept
    held_out       int64, sorted: those of them that the model may not see
    repeat_share   of all users together
    checkpoint     where the first worker writes, and all go on from; on several machines a folder that all of them see
    """

    parquet: Path
    item_ids: tuple[str, ...]
    text_vectors: npt.NDArray[np.float32]
    directions: Directions
    kept: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.int64]
    repeat_share: float
    model: ModelSettings
    train: TrainSettings
    seed: int
    threads: int
    checkpoint: Path


def shared_inputs(
    parquet: Path,
    snapshot: Snapshot,
    data: Dataset,
    model: ModelSettings,
    train: TrainSettings,
    seed: int,
    threads: int,
    checkpoint: Path,
) -> Shared:
    """From what the snapshot and the dataset stages made."""
    held = np.arange(len(data.item)) >= np.repeat(data.train_end, np.diff(data.offsets))
    return Shared(
        parquet=parquet.resolve(),
        item_ids=snapshot.item_ids,
        text_vectors=snapshot.text_vectors,
        directions=snapshot.directions,
        kept=np.sort(snapshot.sequence),
        held_out=np.sort(data.sequence[held]),
        repeat_share=data.repeat_share,
        model=model,
        train=train,
        seed=seed,
        threads=threads,
        checkpoint=checkpoint.resolve(),
    )


def own_users(shared: Shared, rank: int, size: int) -> Dataset:
    """A worker's part of the dataset: the same events, held-out ones and order as in the whole."""
    table = read_events(shared.parquet, _COLUMNS, buckets=range(rank, BUCKETS, size))
    sequence = table.column("sequence").to_numpy()
    table = table.filter(np.isin(sequence, shared.kept))
    item_number = {item_id: number for number, item_id in enumerate(shared.item_ids)}
    user_number: dict[str, int] = {}
    none = np.zeros(0, dtype=np.int64)
    part = Snapshot(
        item_ids=shared.item_ids,
        text_vectors=shared.text_vectors,
        user=_numbers(user_number.setdefault(name, len(user_number)) for name in table.column("user_id").to_pylist()),
        item=_numbers(item_number[name] for name in table.column("item_id").to_pylist()),
        type=table.column("type").to_numpy().astype(np.int32),
        time_micros=table.column("time_micros").to_numpy(),
        sequence=table.column("sequence").to_numpy(),
        shown=none.astype(np.int32),
        shown_offsets=np.zeros(1, dtype=np.int64),
        shown_user=none.astype(np.int32),
        shown_micros=none,
        shown_sequence=none,
        last_sequence=int(shared.kept.max(initial=0)),
    )
    data = build_dataset(part, HoldoutSettings(events_per_user=0), shared.seed)
    held = np.append(0, np.cumsum(np.isin(data.sequence, shared.held_out)))
    return replace(
        data,
        train_end=data.offsets[1:] - (held[data.offsets[1:]] - held[data.offsets[:-1]]),
        repeat_share=shared.repeat_share,
    )


def _numbers(values: Iterator[int]) -> npt.NDArray[np.int32]:
    return np.fromiter(values, dtype=np.int32)


def ray_team(rank: int, size: int) -> Team:
    """The team of the process group that Ray has set up."""

    def reduced(value: float, how: Any) -> float:
        tensor = torch.tensor([value], dtype=torch.float64)
        distributed.all_reduce(tensor, op=how)
        return float(tensor.item())

    def wrap(module: nn.Module) -> nn.Module:
        # What no request uses yet (user features) gets no gradient.
        return nn.parallel.DistributedDataParallel(module, find_unused_parameters=True, broadcast_buffers=False)

    return Team(
        rank=rank,
        size=size,
        wrap=wrap,
        most=lambda count: int(reduced(count, distributed.ReduceOp.MAX)),
        total=lambda value: reduced(value, distributed.ReduceOp.SUM),
    )


def work(config: dict[str, Any]) -> dict[str, Any]:
    """What each worker runs; the first one's answer is the model."""
    import ray
    import ray.train

    shared: Shared = ray.get(config["shared"])
    context = ray.train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    torch.set_num_threads(shared.threads)
    model, curve = fine_tune(
        own_users(shared, rank, size),
        shared.text_vectors,
        shared.model,
        shared.train,
        shared.seed,
        shared.checkpoint,
        lambda done, total, note: None,
        team=ray_team(rank, size),
        directions=shared.directions,
    )
    weights = io.BytesIO()
    torch.save(model.state_dict(), weights)
    return {"weights": weights.getvalue(), "curve": curve}


def fine_tune_with_ray(shared: Shared, storage: Path, advance: Advance) -> tuple[Retrieval, Curve]:
    """Trains with `train.workers` workers: on the cluster at `train.ray_address`, or on one of this machine's own that ends
    with the training."""
    try:
        import ray
        from ray.train import RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer
    except ImportError as error:
        raise MissingExtra(
            f"training with {shared.train.workers} workers (export.train.workers) needs Ray, and {error.name} is not "
            "installed; `pip install recency-server[ray]`, or train in one process"
        ) from error

    with _cluster(shared.train):
        advance(0, shared.train.epochs, f"{shared.train.workers} workers")
        trainer = TorchTrainer(
            work,  # type: ignore[arg-type]  # it may answer something, which the stub does not know yet
            train_loop_config={"shared": ray.put(shared)},
            torch_config=TorchConfig(backend="gloo"),
            scaling_config=ScalingConfig(num_workers=shared.train.workers),
            run_config=RunConfig(name="fine_tune", storage_path=str(storage.resolve())),
        )
        try:
            made = trainer.fit().return_value  # type: ignore[attr-defined]
        except ray.train.TrainingFailedError as error:
            raise ExportError(
                f"training under Ray failed: {error}; Ray's own logs lie in its session folder"
            ) from error
    model = Retrieval(shared.text_vectors, shared.model, shared.directions)
    model.load_state_dict(torch.load(io.BytesIO(made["weights"]), weights_only=True))
    curve: Curve = made["curve"]
    advance(shared.train.epochs, shared.train.epochs, f"loss {curve.loss[-1]:.3f}" if curve.loss else "")
    return model.eval(), curve


@contextmanager
def _cluster(settings: TrainSettings) -> Iterator[None]:
    import ray

    # Ray would tell its makers that it was used, and its logs would stand between our progress bars.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if settings.ray_address is None:
        ray.init(address="local", num_cpus=settings.workers, include_dashboard=False, **quiet)
    else:
        ray.init(address=settings.ray_address, **quiet)
    try:
        yield
    finally:
        ray.shutdown()
