"""How the language model is adapted to what people do with the items that it reads about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Method = Literal["frozen", "lora", "adalora", "adapters", "prefix"]


@dataclass(frozen=True, slots=True)
class LanguageModelSettings:
    """How the text encoder is fine-tuned (docs/language-model.md).

    method           frozen: as it came; lora, adalora: merged into its weights; adapters (bottleneck), prefix: in the graph
    rank             of LoRA and AdaLoRA; the width of a bottleneck adapter; the number of prefix tokens
    target_modules   names of the layers that LoRA, AdaLoRA and adapters change; none: what is usual for the model
    """

    method: Method = "frozen"
    rank: int = 8
    alpha: int = 16
    target_modules: tuple[str, ...] = ()
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    # Share of the steps in which the learning rate grows; afterwards it falls as a cosine does.
    warmup: float = 0.1
    clip_norm: float = 1.0
    steps: int = 120
    # Items whose texts a step encodes, and users that each of them answers for.
    batch: int = 32
    users_per_item: int = 16
    temperature: float = 1.5
    # Weight of staying near the vectors that the encoder started from.
    pull: float = 1.0
    # Events, the newest ones, whose users the texts are to answer for.
    events: int = 20_000
    # Ends after so many seconds wherever it is, and is then not repeatable by the seed; 0 for no limit.
    max_seconds: float = 0.0

    def __post_init__(self) -> None:
        for name in ("rank", "steps", "batch", "users_per_item", "events"):
            if getattr(self, name) < 1:
                raise ValueError(f"language_model.{name} is {getattr(self, name)}; it is at least 1")
        for name in ("temperature", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"language_model.{name} is {getattr(self, name)}; it is above 0")
