"""What is trained of a language model instead of its weights: LoRA, AdaLoRA, bottleneck adapters, a prefix.

`peft` brings LoRA, AdaLoRA and the prefix. It has no bottleneck adapters, so those are ours (docs/decisions/0092). All are
kept in its format: `adapter_config.json` and `adapter_model.safetensors` in one folder.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recency_export.errors import MissingExtra, UnfitEncoder
from recency_export.language_settings import LanguageModelSettings

try:
    import peft
    from safetensors.torch import load_file, save_file
    from transformers import DynamicCache
except ImportError as error:
    raise MissingExtra(f"{error.name} is not installed; `pip install recency-server[export]`") from error

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_BOTTLENECK = "BOTTLENECK"
# After attention and after the feed-forward part, before the residual is added: where Houlsby et al. put them.
_OUTPUTS = ("output.dense", "out_lin", "lin2")
_PREFIX_SPREAD = 0.02


class Bottleneck(nn.Module):
    """A layer, and behind it down to a few dimensions and up again. It changes nothing until it is trained."""

    def __init__(self, layer: nn.Linear, width: int) -> None:
        super().__init__()
        self.layer = layer
        self.down = nn.Linear(layer.out_features, width)
        self.up = nn.Linear(width, layer.out_features)
        nn.init.normal_(self.down.weight, std=layer.out_features**-0.5)
        for tensor in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(tensor)

    def forward(self, x: Tensor) -> Tensor:
        """What the layer answers, adapted."""
        answer: Tensor = self.layer(x)
        changed: Tensor = self.up(nn.functional.gelu(self.down(answer)))
        return answer + changed


class Adapted(nn.Module):
    """An encoder with bottleneck adapters in it."""

    def __init__(self, model: Any, width: int, names: tuple[str, ...]) -> None:
        super().__init__()
        places = [
            name
            for name, layer in model.named_modules()
            if isinstance(layer, nn.Linear) and any(re.search(rf"(^|\.){re.escape(end)}$", name) for end in names)
        ]
        if not places:
            raise UnfitEncoder(
                f"no linear layer of the language model is called {' or '.join(names)}; "
                "name some in export.language_model.target_modules, or choose the method lora"
            )
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        for name in places:
            model.set_submodule(name, Bottleneck(model.get_submodule(name), width))
        self.model = model
        self.config = {"peft_type": _BOTTLENECK, "width": width, "target_modules": list(names)}

    def forward(self, **inputs: Tensor) -> Any:
        """As the encoder answers."""
        return self.model(**inputs)

    def save_pretrained(self, folder: Path) -> None:
        """Writes the adapters alone."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).write_text(json.dumps(self.config, indent=1, sort_keys=True), encoding="utf-8")
        save_file({n: p.detach().contiguous() for n, p in self.named_parameters() if p.requires_grad}, folder / WEIGHTS)


class Prefixed(nn.Module):
    """An encoder whose every layer attends to a few learned keys and values before the text.

    The forward pass is ours: peft's counts the prefix into the positions and gives an encoder a mask without it.
    """

    def __init__(self, tuned: Any) -> None:
        super().__init__()
        self.tuned = tuned
        if tuned.get_base_model().config.model_type != "bert":
            raise UnfitEncoder(
                f"a prefix needs an encoder of the type bert, this one is {tuned.get_base_model().config.model_type}; "
                "choose the method lora (export.language_model.method)"
            )
        config = tuned.active_peft_config
        self._heads, self._tokens = config.num_attention_heads, config.num_virtual_tokens
        self._head_dim = config.token_dim // config.num_attention_heads

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        """As the encoder answers."""
        rows = input_ids.shape[0]
        weight: Tensor = self.tuned.prompt_encoder[self.tuned.active_adapter].embedding.weight
        learned_PJHD = weight.view(self._tokens, -1, self._heads, self._head_dim)
        learned_JHPD = learned_PJHD.permute(1, 2, 0, 3)
        pairs = [
            tuple(part.unsqueeze(0).expand(rows, -1, -1, -1) for part in learned_JHPD[at : at + 2])
            for at in range(0, len(learned_JHPD), 2)
        ]
        real_BK = torch.cat([attention_mask.new_ones(1, self._tokens).expand(rows, -1), attention_mask], dim=1)
        hidden_B11K = (1.0 - real_BK.to(weight.dtype))[:, None, None, :] * torch.finfo(weight.dtype).min
        hidden_B1SK = hidden_B11K.expand(-1, -1, input_ids.shape[1], -1)
        positions = torch.arange(input_ids.shape[1]).unsqueeze(0)
        return self.tuned.get_base_model()(
            input_ids=input_ids, attention_mask=hidden_B1SK, position_ids=positions, past_key_values=DynamicCache(pairs)
        )

    def save_pretrained(self, folder: Path) -> None:
        """Writes the prefix alone."""
        self.tuned.save_pretrained(folder)


def attach(model: Any, settings: LanguageModelSettings, steps: int) -> Any:
    """A model of which only the new parts are trained; `steps` is how long that will be."""
    names = list(settings.target_modules) or None
    kind = peft.TaskType.FEATURE_EXTRACTION
    if settings.method == "adapters":
        return Adapted(model, settings.rank, settings.target_modules or _OUTPUTS)
    if settings.method == "prefix":
        tuned = peft.get_peft_model(model, peft.PrefixTuningConfig(num_virtual_tokens=settings.rank, task_type=kind))
        nn.init.normal_(tuned.get_parameter("prompt_encoder.default.embedding.weight"), std=_PREFIX_SPREAD)
        return Prefixed(tuned)
    config: peft.PeftConfig
    if settings.method == "adalora":
        config = peft.AdaLoraConfig(
            init_r=settings.rank + settings.rank // 2,
            target_r=settings.rank,
            lora_alpha=settings.alpha,
            target_modules=names,
            tinit=steps // 5,
            tfinal=steps // 3,
            total_step=steps,
            task_type=kind,
        )
    else:
        config = peft.LoraConfig(r=settings.rank, lora_alpha=settings.alpha, target_modules=names, task_type=kind)
    return peft.get_peft_model(model, config)


def read_adapter(model: Any, folder: Path, trainable: bool = False) -> Any:
    """The model with what `folder` holds."""
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if config["peft_type"] == _BOTTLENECK:
        adapted = Adapted(model, config["width"], tuple(config["target_modules"]))
        _, unexpected = adapted.load_state_dict(load_file(folder / WEIGHTS), strict=False)
        if unexpected:
            raise UnfitEncoder(f"{folder}: holds adapters of another language model ({unexpected[0]})")
        return adapted
    tuned = peft.PeftModel.from_pretrained(model, folder, is_trainable=trainable)
    return Prefixed(tuned) if config["peft_type"] == peft.PeftType.PREFIX_TUNING else tuned


def merged(model: Any) -> Any | None:
    """The plain model with what was learned in its weights; None where that cannot be done."""
    return None if isinstance(model, (Adapted, Prefixed)) else model.merge_and_unload()
