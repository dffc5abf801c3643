"""Which trainings answer the questions of a noise ablation: rules of thresholding, noise and seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from drsn_jax.core.errors import UserError
from drsn_jax.functional.noise import Noise
from drsn_jax.functional.thresholding import THRESHOLD_RULES
from drsn_jax.nn.networks import Network, drsn_cs, drsn_cw, resnet
from drsn_jax.training.members import Member

NO_RULE = "none"
RULES = (*THRESHOLD_RULES, NO_RULE)
TRAINING_COLUMNS = ("rule", "train_noise", "train_snr_db", "seed")  # the columns that tell trainings apart


@dataclass(frozen=True)
class Training:
    """What is trained: the rule of the thresholds (``"none"``: a plain residual network) and the noise it meets."""

    rule: str
    member: Member

    @property
    def columns(self) -> dict[str, Any]:
        """The columns ``TRAINING_COLUMNS`` of its rows in the tables."""
        noise = self.member.noise
        return dict(zip(TRAINING_COLUMNS, (self.rule, noise.kind, noise.level, self.member.seed), strict=True))

    @property
    def key(self) -> tuple[str, ...]:
        """The columns as text, as a row of a CSV file has them."""
        return tuple(map(str, self.columns.values()))

    def __str__(self) -> str:
        return f"{self.rule}, {self.member.noise}, seed {self.member.seed}"


def plan(
    kinds: Sequence[str],
    levels: Sequence[float],
    *,
    rules: Sequence[str],
    rule_levels: Sequence[float],
    ranges: bool = True,
    seeds: Sequence[int] = (0,),
    learning_rate: float = 0.1,
) -> list[Training]:
    """Return the trainings that answer the questions: soft thresholds at every level of every kind, clean, and on a range of
    levels (with ``ranges``, from the lowest to the highest finite one); every rule at ``rule_levels`` of the first kind.

    A training that answers two questions is made once. Raises UserError without kinds, levels or seeds.
    """
    if not (kinds and levels and seeds):
        raise UserError(f"an ablation has kinds of noise, levels and seeds, got {list(kinds)}, {list(levels)}, {list(seeds)}")
    finite = [level for level in levels if math.isfinite(level)]
    soft = [Noise(kind, level) for kind in kinds for level in levels]
    if ranges and len(finite) > 1:
        soft += [Noise(), *(Noise(kind, (min(finite), max(finite))) for kind in kinds)]
    pairs = [("soft", noise) for noise in soft]
    pairs += [(rule, Noise(kinds[0], level)) for rule in rules for level in rule_levels]
    trainings = [Training(rule, Member(seed, noise, learning_rate)) for seed in seeds for rule, noise in pairs]
    return list(dict.fromkeys(trainings))


def build(rule: str, classes: int, shared: bool = False, **size: Any) -> Network:
    """Return the network of a rule, which standardises its windows; with ``shared`` it has one threshold for all channels.
    ``size`` are fields of ``Network``, ``units`` for example."""
    if rule == NO_RULE:
        return resnet(classes=classes, standardise=True, **size)
    return (drsn_cs if shared else drsn_cw)(classes=classes, threshold_rule=rule, standardise=True, **size)
