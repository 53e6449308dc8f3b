"""The exporter's configuration, apart from the modules that it configures because those import torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from recency_export.gate_settings import GateSettings
from recency_export.language_settings import LanguageModelSettings
from recency_export.tracking import TrackingSettings
from recency_export.watch_policy import WatchSettings
from recency_features.spec import HISTORY_LENGTH, TREND_HALF_LIVES_SECONDS


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The shape of the retrieval model. An item vector is [learned | content]."""

    learned_dim: int = 64
    content_dim: int = 64
    layers: int = 2
    heads: int = 2
    feed_forward_dim: int = 128
    dropout: float = 0.3
    # Chance that an item's residual is left out in a training step, so that its text alone must do.
    residual_dropout: float = 0.3
    history_length: int = HISTORY_LENGTH


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How the retrieval model is trained."""

    epochs: int = 28
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    clip_norm: float = 5.0
    windows_per_batch: int = 32
    # Shares of the steps after which warm-up ends and the linear way down begins.
    warmup_until: float = 0.04
    flat_until: float = 0.5
    # Above this many items the softmax is over a sample of `negatives`.
    full_softmax_items: int = 20_000
    negatives: int = 4_096
    # Validation and checkpoint every so many epochs.
    check_every: int = 4
    # Cases of the validation that picks the best state.
    check_cases: int = 1_500
    # Fewer training targets than this teach nothing that holds: the model stays as it starts.
    least_targets: int = 50
    # More than one: workers under Ray Train (docs/scaling-training.md), in a cluster of this machine's own or at an address.
    workers: int = 1
    ray_address: str | None = None


@dataclass(frozen=True, slots=True)
class HoldoutSettings:
    """Which events are kept from the retrieval model, for validation and to fit the ranker on."""

    events_per_user: int = 5
    # At most one event in so many of a user's is held out.
    at_most_one_in: int = 3
    # At most so many events in all; users are drawn by the seed where there are more.
    cases: int = 10_000


@dataclass(frozen=True, slots=True)
class RankerSettings:
    """The ranker over the first candidates, and the tables of co-occurrence that it reads."""

    hidden: int = 32
    candidates: int = 100
    # Random items beside them, so that the scorer's arbitrary candidates are no surprise.
    random_candidates: int = 28
    epochs: int = 20
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    cases_per_batch: int = 128
    # Share of cases that are repeated with a history cut to a few events, as a new user's.
    short_share: float = 0.35
    # Share of the candidates that a step of the fit reads as fresh items, which no table holds (docs/decisions/0128).
    fresh_dropout: float = 0.1
    # Dense tables up to this many items, neighbour lists beyond.
    dense_items: int = 4_000
    neighbours: int = 64
    # Newest history positions whose co-occurrence with a candidate counts.
    window: int = 8
    # After how long an event counts half, in each of the trends that retrieval, ranker and fallback read.
    trend_half_lives_seconds: tuple[float, ...] = TREND_HALF_LIVES_SECONDS
    # Fewer cases than this fit nothing: the ranker stays silent.
    least_cases: int = 200

    def __post_init__(self) -> None:
        lives, count = self.trend_half_lives_seconds, len(TREND_HALF_LIVES_SECONDS)
        if len(lives) != count or list(lives) != sorted(set(lives)) or not 0.0 < lives[0] <= lives[-1] < float("inf"):
            raise ValueError(
                f"ranker.trend_half_lives_seconds is {list(lives)}; give {count} numbers of seconds, growing"
            )


@dataclass(frozen=True, slots=True)
class CleanSettings:
    """Which logged events teach nothing, or too much. The defaults are far from what a person does."""

    # The same user, item and type again within so many seconds is one event.
    duplicate_seconds: float = 1.0
    # Later than now by more than this, or before this year: a clock that was wrong.
    future_seconds: float = 3_600.0
    earliest_year: int = 1990
    # A user with more events than this within an hour is a machine: all of theirs are left out.
    bot_events_per_hour: int = 2_000
    # More events of one user on one item within a day than this are a burst: the first so many count.
    item_events_per_day: int = 20
    # The newest so many events of a user count: nobody speaks for everybody.
    user_events: int = 2_000
    # An hour without an event ends a session.
    session_gap_seconds: float = 3_600.0


@dataclass(frozen=True, slots=True)
class TuneSettings:
    """How a release is fine-tuned from its parent (docs/decisions/0084)."""

    epochs: int = 4
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    clip_norm: float = 5.0
    windows_per_batch: int = 32
    # Share of the steps in which the rate rises; after it, it falls as a cosine.
    warmup: float = 0.1
    # Older events replayed for each new one, and at least so many, against forgetting.
    replay: float = 4.0
    least_replay: int = 2_000
    # Training ends after so many epochs without a better validation; with fewer cases than `least_cases` it never does.
    patience: int = 2
    least_cases: int = 200
    # Passes over what was held out for validation, at the end, so that the release has learned the newest events too.
    last_epochs: int = 4
    # Of each user's new events so many, and at most one in so many, are held out, and so many in all.
    holdout_per_user: int = 20
    holdout_one_in: int = 3
    holdout_cases: int = 1_000
    # Old cases on which forgetting is measured.
    old_cases: int = 600
    # More new events than this share of the older ones: the whole training of a first release, from the parent's weights.
    whole_training_share: float = 1.0
    # Logged slates: the loss of what was taken among what was shown, weighted by the chance that the place was looked at.
    slate_weight: float = 0.2
    largest_position_weight: float = 10.0
    # Adversarial perturbation of the item vectors, as a share of their length: none, one step (fgm) or several (pgd).
    adversarial: Literal["none", "fgm", "pgd"] = "fgm"
    adversarial_size: float = 0.05
    adversarial_steps: int = 3
    adversarial_weight: float = 0.3
    # The ranker is fitted anew when the log has grown by this factor since it was; else the parent's is kept.
    refit_ranker_growth: float = 2.0


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How one run behaves towards everybody else."""

    lease_seconds: float = 30.0
    # `--depth auto` makes a full release from so many new events on, and an item release below.
    full_after_events: int = 1_000
    # How long a candidate may take to be ready on each Triton that has an agent.
    ready_seconds: float = 120.0
    # How long to wait for a gateway to serve the new release, for the report alone; 0 does not wait.
    served_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class BootstrapConfig:
    """Everything that decides what release 1 becomes, and where the stages work.

    workspace        a folder of the stages' own; a killed bootstrap goes on from it
    place            the URL that releases are published to; empty: the folder that they are put together in
    encoder_folder   a Hugging Face model folder; None looks for the installed all-MiniLM-L6-v2
    threads          for torch and onnxruntime; the same number gives the same release. On two cores that others use too, a
                     second thread waits for its turn at every step: one is far faster (docs/decisions/0023)
    """

    workspace: Path
    place: str = ""
    seed: int = 0
    threads: int = 1
    encoder_folder: Path | None = None
    model: ModelSettings = field(default_factory=ModelSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    holdout: HoldoutSettings = field(default_factory=HoldoutSettings)
    ranker: RankerSettings = field(default_factory=RankerSettings)
    clean: CleanSettings = field(default_factory=CleanSettings)
    tune: TuneSettings = field(default_factory=TuneSettings)
    run: RunSettings = field(default_factory=RunSettings)
    gate: GateSettings = field(default_factory=GateSettings)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    language_model: LanguageModelSettings = field(default_factory=LanguageModelSettings)
    watch: WatchSettings = field(default_factory=WatchSettings)
