"""The plan of an ablation: the trainings (rule of thresholding, noise, seed) that answer its questions, and their networks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from drsn_jax.core.errors import UserError
from drsn_jax.functional.noise import NO_NOISE, NOISE_KINDS, Noise
from drsn_jax.functional.thresholding import THRESHOLD_RULES
from drsn_jax.nn.networks import Network, drsn_cs, drsn_cw, resnet
from drsn_jax.studies.cells import COUNT, LEVEL, NUMBER, POSITIVE, SHARE, SNR, TEXT, one_of
from drsn_jax.studies.runs import METRICS
from drsn_jax.studies.tables import Table
from drsn_jax.training.members import Member

NO_RULE = "none"
RULES = (*THRESHOLD_RULES, NO_RULE)
TRAINING_COLUMNS = ("rule", "train_noise", "train_snr_db", "seed")  # the columns that tell trainings apart
_NOISE = one_of((*NOISE_KINDS, NO_NOISE))
_TRAINING = dict(zip(TRAINING_COLUMNS, (one_of(RULES), _NOISE, LEVEL, COUNT), strict=True))
_TEST = {"test_noise": _NOISE, "test_snr_db": SNR}
# what the tables of an ablation hold, and its records
TABLES = {
    "results": Table(
        {**_TRAINING, **_TEST, "windows": POSITIVE, "repeats": COUNT, "accuracy": SHARE, "loss": NUMBER, "concentration": NUMBER},
        (*TRAINING_COLUMNS, *_TEST),
    ),
    "thresholds": Table(
        {**_TRAINING, **_TEST, "unit": TEXT, "alpha": NUMBER, "zeros": SHARE, "collapsed": SHARE},
        (*TRAINING_COLUMNS, *_TEST, "unit"),
    ),
    METRICS: Table({**_TRAINING, "epoch": COUNT}),
}


@dataclass(frozen=True)
class Training:
    """One training: the rule of thresholding (``"none"`` for a plain residual network), and noise, seed and learning rate."""

    rule: str
    member: Member

    @property
    def columns(self) -> dict[str, Any]:
        """The values of ``TRAINING_COLUMNS`` in the rows of this training, by column."""
        noise = self.member.noise
        return dict(zip(TRAINING_COLUMNS, (self.rule, noise.kind, noise.level, self.member.seed), strict=True))

    @property
    def key(self) -> tuple[str, ...]:
        """The values of ``TRAINING_COLUMNS`` as text, as a row of a CSV file has them."""
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
    """Return the trainings that answer the questions of an ablation, each once for every seed.

    Soft thresholds are trained at every level of every kind of noise. With ``ranges`` they are also trained clean and, for every
    kind, on the range from the lowest to the highest finite level. Every rule of ``rules`` is trained at the ``rule_levels`` of
    the first kind. A training that answers two questions is made once.

    Raises UserError if there are no kinds, levels or seeds.
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
    """Make the network of a rule, which standardises its windows.

    With ``shared`` all channels of a unit share one threshold. ``size`` are fields of ``Network``, for example ``units=(1, 1)``.
    """
    if rule == NO_RULE:
        return resnet(classes=classes, standardise=True, **size)
    return (drsn_cs if shared else drsn_cw)(classes=classes, threshold_rule=rule, standardise=True, **size)
