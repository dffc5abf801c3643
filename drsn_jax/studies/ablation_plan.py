"""Which trainings answer the questions of a noise ablation: rules of thresholding, noise, levels and seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from drsn_jax.functional.thresholding import THRESHOLD_RULES
from drsn_jax.nn.networks import Network, drsn_cs, drsn_cw, resnet
from drsn_jax.training.ensembles import Member

NO_RULE = "none"


RULES = (*THRESHOLD_RULES, NO_RULE)


CLEAN = math.inf


TRAINING_COLUMNS = ("rule", "train_noise", "train_snr_db", "seed")  # the columns that tell trainings apart


@dataclass(frozen=True)
class Training:
    """What is trained: the rule of the thresholds (``"none"``: a plain residual network) and the noise it meets."""

    rule: str
    member: Member

    @property
    def key(self) -> dict[str, Any]:
        """The columns of its rows that tell it from others."""
        noise = "none" if self.member.snr_db == CLEAN else self.member.noise
        return dict(zip(TRAINING_COLUMNS, (self.rule, noise, level_name(self.member.snr_db), self.member.seed), strict=True))


def level_name(snr_db: float | tuple[float, float]) -> str:
    """A level of training as tables say it: ``-5``, ``inf`` (clean) or ``-5..5``."""
    # all digits, for two levels must not share a name
    return "..".join(repr(float(level)).removesuffix(".0") for level in (snr_db if isinstance(snr_db, tuple) else (snr_db,)))


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
    """The trainings that answer the questions: soft thresholds at every level of every kind, clean, and on a range of levels
    (with ``ranges``, from the lowest to the highest finite one); every rule at ``rule_levels`` of the first kind.

    A training that answers two questions is made once. Raises ValueError without kinds, levels or seeds.
    """
    if not (kinds and levels and seeds):
        raise ValueError(f"an ablation has kinds of noise, levels and seeds, got {list(kinds)}, {list(levels)}, {list(seeds)}")
    finite = [level for level in levels if math.isfinite(level)]
    found: list[Training] = []
    for seed in seeds:
        of = lambda rule, kind, level: Training(rule, Member(seed, kind, level, learning_rate))  # noqa: E731, B023
        found += [of("soft", kinds[0] if level == CLEAN else kind, level) for kind in kinds for level in levels]
        if ranges and len(finite) > 1:
            found.append(of("soft", kinds[0], CLEAN))
            found += [of("soft", kind, (min(finite), max(finite))) for kind in kinds]
        found += [of(rule, kinds[0], level) for rule in rules for level in rule_levels]
    return list(dict.fromkeys(found))


def build(rule: str, classes: int, units: tuple[int, ...], shared: bool = False) -> Network:
    """Return the network of a rule; two ``units`` make one of the first two stages, ``shared`` one threshold for all channels."""
    sizes = {"classes": classes, "widths": Network.widths[: len(units)], "units": units}
    if rule == NO_RULE:
        return resnet(**sizes)
    return (drsn_cs if shared else drsn_cw)(**sizes, threshold_rule=rule)
