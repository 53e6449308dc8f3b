"""Who trains together. One process is a team of one and exchanges nothing; `ray_train.py` makes larger ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn


def _itself(module: nn.Module) -> nn.Module:
    return module


def _own_count(count: int) -> int:
    return count


def _own_value(value: float) -> float:
    return value


@dataclass(frozen=True, slots=True)
class Team:
    """A process's place among `size` that hold the same weights and each a part of the users.

    wrap    a module whose gradients are the team's mean
    most    the largest of everybody's counts: all make as many steps
    total   the sum of everybody's values
    """

    rank: int = 0
    size: int = 1
    wrap: Callable[[nn.Module], nn.Module] = _itself
    most: Callable[[int], int] = _own_count
    total: Callable[[float], float] = _own_value

    def mean(self, value: float, weight: float) -> float:
        """The mean of everybody's values by their weights; 0 where nobody has any."""
        weights = self.total(weight)
        return self.total(value * weight) / weights if weights else 0.0


ALONE = Team()
