"""What physics says of one recording, beside what a network says.

It is the lines of each fault, the spectrum that shows them, and a doubt where the two disagree.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from drsn_jax.core.errors import UserError
from drsn_jax.diagnosis.diagnosis import Diagnosis
from drsn_jax.diagnosis.evidence import AROUND, HARMONICS, LONGEST, FaultEvidence, evidence_in, line_powers, noise_level
from drsn_jax.diagnosis.gears import GearEvidence, gear_lines
from drsn_jax.diagnosis.shaft_speed import shaft_speed
from drsn_jax.functional.gears import GearOrders
from drsn_jax.functional.orders import BearingOrders

SHOWN_FROM = 0.25  # orders: below it lies what is slower than the shaft
COLUMNS = 1200  # of a spectrum that is drawn
# words by which classes are named, and abbreviations, which are told from words by their capitals or a number behind them
WORDS = {
    "inner race": ("inner", "innerrace", "innenring"),
    "outer race": ("outer", "outerrace", "außenring", "aussenring"),
    "ball": ("ball", "balls", "roller", "rollers", "wälzkörper"),
    "healthy": ("healthy", "normal", "good", "faultless", "undamaged", "baseline", "gesund"),
}
SHORT = {"inner race": ("IR", "IRF", "BPFI"), "outer race": ("OR", "ORF", "BPFO"), "ball": ("BSF",)}
NOT = ("no", "not", "non", "without", "un", "kein", "ohne")  # what is denied is another class
# "ball bearing" and "ball screw" are no fault of a ball
THINGS = re.compile(r"(ball|roller)s?[\W_]*(bearing|screw|joint|valve|mill)s?", re.IGNORECASE)


class GearPhysics(NamedTuple):
    """What physics says of a gear in a recording.

    Fields:
      evidence: its lines.
      orders: places in the power spectrum, in multiples of the speed, ``(columns,)``.
      above_db: how far the highest line at each place stands above the noise around it, in dB, ``(columns,)``.
      healthy_db: how strong the sidebands are in healthy recordings of the training, in dB; empty where none are known.
    """

    evidence: GearEvidence
    orders: np.ndarray
    above_db: np.ndarray
    healthy_db: tuple[float, ...] = ()


class Physics(NamedTuple):
    """What physics says of a recording.

    Fields:
      evidence: one entry for each fault of the bearing, the strongest first; empty where no bearing was looked at.
      orders: places in the spectrum of the envelope, in multiples of the speed, ``(columns,)``; none without a bearing.
      above_db: how far the highest line at each place stands above the noise around it, in dB, ``(columns,)``.
      speed: of the shaft, in revolutions a second.
      searched: whether that speed was found in the vibration, and not given.
      gear: the same of the gear; None where none was looked at.
      problem: why one of both could not be looked at, a clause; or empty.
    """

    evidence: tuple[FaultEvidence, ...]
    orders: np.ndarray
    above_db: np.ndarray
    speed: float = 0.0
    searched: bool = False
    gear: GearPhysics | None = None
    problem: str = ""


class Parts(NamedTuple):
    """What on the shaft is looked at.

    Fields:
      bearing: None where none is known.
      gear: None where its teeth are not known.
      healthy_db: how strong the sidebands of the gear are in healthy recordings of the training, in dB.
    """

    bearing: BearingOrders | None = None
    gear: GearOrders | None = None
    healthy_db: tuple[float, ...] = ()

    @property
    def known(self) -> bool:
        """Whether there is anything to look at."""
        return self.bearing is not None or self.gear is not None


def recording_physics(
    read: Callable[[int, int], np.ndarray],
    length: int,
    sampling_rate: float,
    speed: float | tuple[float, float],
    parts: Parts,
) -> Physics:
    """Return what physics says of a recording that is read in parts, by ``read(start, stop) -> (stop - start, channels)``.

    At most the first ``LONGEST`` samples are looked at, of the first channel. A speed that is a range, ``(lowest, highest)``, is
    searched in the vibration. Arguments and errors as ``bearing_evidence``, ``gear_evidence`` and ``shaft_speed``, and UserError
    where the speed is not known then. Where only one of bearing and gear can be looked at, it is told why.
    """
    samples = np.asarray(read(0, min(length, LONGEST)))[:, :1]
    searched = isinstance(speed, tuple)
    if isinstance(speed, tuple):
        speed = _found(samples, sampling_rate, *speed)
    found = Physics((), np.zeros(0), np.zeros(0), speed, searched)
    problem = ""
    if parts.bearing is not None:
        try:
            orders, power = line_powers(samples, sampling_rate, speed, parts.bearing)
        except UserError as error:
            if parts.gear is None:
                raise
            problem = f"nothing of the bearing, because {error}"
        else:
            evidence = tuple(evidence_in(orders, power, parts.bearing))
            highest = HARMONICS * max(one.order for one in evidence) + AROUND
            drawn = _drawn(orders, power, highest)
            found = found._replace(evidence=evidence, orders=drawn[0], above_db=drawn[1])
    if parts.gear is not None:
        try:
            teeth, orders, power = gear_lines(samples, sampling_rate, speed, parts.gear)
        except UserError as error:
            if not found.evidence:
                raise
            problem = f"nothing of the gear, because {error}"
        else:
            drawn = _drawn(orders, power, orders[-1], 1.0)
            found = found._replace(gear=GearPhysics(teeth, *drawn, parts.healthy_db))
    return found._replace(problem=problem)


def _found(samples: np.ndarray, sampling_rate: float, lowest: float, highest: float) -> float:
    """Return the speed of a shaft in a range; raise UserError where it is not known."""
    found = shaft_speed(samples, sampling_rate, lowest, highest)
    if not found.known:
        raise UserError(
            f"its speed does not stand out between {60 * lowest:.0f} and {60 * highest:.0f} revolutions a minute: another one is "
            f"nearly as good as {60 * found.hz:.0f}; give --speed-rpm, or a narrower --speed-range-rpm"
        )
    return found.hz


def _drawn(orders: np.ndarray, power: np.ndarray, highest: float, around: float = AROUND) -> tuple[np.ndarray, np.ndarray]:
    """Return the highest line of each column up to the order ``highest``, over the level of the noise in some orders around, in
    dB."""
    inside = (orders >= SHOWN_FROM) & (orders <= highest)
    orders, power = orders[inside], power[inside]
    level = noise_level(power, min(len(orders), max(1, round((highest - SHOWN_FROM) / around))))
    above = 10 * np.log10(np.maximum(power, np.finfo(float).tiny) / level)
    columns = np.array_split(np.arange(len(orders)), min(len(orders), COLUMNS))
    tops = [own[np.argmax(above[own])] for own in columns]
    return orders[tops], above[tops]


def fault_of(label: str) -> str | None:
    """Return which fault of a bearing the name of a class means.

    It is ``"inner race"``, ``"outer race"``, ``"ball"``, ``"healthy"``, or None where its words tell of none of them, or of
    several.

    Example::

        >>> fault_of("IR014"), fault_of("Outer race, 0.021 in"), fault_of("unbalance or looseness")
        ('inner race', 'outer race', None)
    """
    # "InnerRace_007" is two words and a number
    text = re.sub(r"(?<=[a-zäöüß])(?=[A-Z])", " ", THINGS.sub(" ", label))
    words = set(re.findall(r"[^\W\d_]+", text.lower()))
    if words & set(NOT):
        return None
    short = set(re.findall(r"(?<![^\W\d_])[A-Z]+(?![^\W\d_])", text))
    short |= {found.upper() for found in re.findall(r"(?<![^\W\d_])[A-Za-z]+(?=\d)", text)}
    found = [fault for fault, names in WORDS.items() if words & set(names) or short & set(SHORT.get(fault, ()))]
    return found[0] if len(found) == 1 else None


def disagreement(label: str, evidence: Sequence[FaultEvidence]) -> str:
    """Return why the lines speak against a class, a clause such as "the lines of the outer race stand out", or nothing.

    They speak against it where lines of a fault stand out surely, and the class names another fault of the bearing, or health.
    Where no lines stand out nothing follows, for many faults show none; nor where the class names something else, such as a gear.
    """
    sure = [one.fault for one in evidence if one.sure]
    named = fault_of(label)
    if not sure or named is None or named in sure:
        return ""
    others = "" if named == "healthy" else f", and not those of the {named}"
    return f"the lines of {' and '.join(f'the {fault}' for fault in sure)} stand out{others}"


def doubted(found: Diagnosis, evidence: Sequence[FaultEvidence]) -> Diagnosis:
    """Return a diagnosis that is not sure where the lines speak against its class, and is as it was elsewhere."""
    if not (doubt := disagreement(found.label, evidence)):
        return found
    return dataclasses.replace(found, sure=False, doubts=(*found.doubts, doubt))
