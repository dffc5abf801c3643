"""What people and programs read of a diagnosis: lines of text, and a record for JSON."""

import math
from typing import Any

from drsn_jax.core.text import visible
from drsn_jax.diagnosis.asking import Asked
from drsn_jax.diagnosis.diagnosis import Diagnosis
from drsn_jax.diagnosis.doubts import SURE_PROBABILITY
from drsn_jax.diagnosis.gears import against_healthy
from drsn_jax.diagnosis.physics import GearPhysics, Physics

SHOWN = 3  # classes that an answer names


def file_answer(
    file: str, asked: Asked, told: set[str], physics: Physics | str | None = None, *, unasked: bool
) -> tuple[dict[str, Any], str]:
    """Return the record and the text of a file.

    The text has a line for the class, one for what was taken of the file where nobody has asked for a channel, one for what
    physics says, one for what speaks against the class, and one for each warning that is not yet in ``told``, which is added.

    Args:
      file: its name as it was asked for.
      asked: its diagnosis and its signal.
      told: the warnings that other files have had.
      physics: what physics says, or why it says nothing; None where it was not asked for.
      unasked: whether the signal was chosen without being named.
    """
    found, signal = asked.found, asked.signal
    lines = [f"{visible(file)}: {title(found)}, {numbers(found)}"]
    if unasked and signal.channel:
        lines.append(f"  taken: channel {visible(signal.channel)}, the only signal")
    if physics is not None:
        lines.append(f"  physics: {'; '.join(physics_lines(physics))}")
    if found.doubts:
        lines.append(f"  not sure because {', and '.join(found.doubts)}")
    new = [warning for warning in found.warnings if warning not in told]
    told.update(new)
    record: dict[str, Any] = {
        "file": file,
        "class": found.label,
        "sure": found.sure,
        "doubts": list(found.doubts),
        "probability": found.probability,
        "agreement": found.agreement,
        "entropy": found.entropy,
        "best": [{"class": r.label, "probability": r.probability} for r in found.best],
        "novelty": found.novelty,
        "possible": None if found.possible is None else list(found.possible),
        "windows": len(found.starts),
        "channel": signal.channel,
        "sampling_rate": signal.sampling_rate,
        "rate_from": signal.rate_from,
        "warnings": list(found.warnings),
        "times_real_time": asked.times_real_time,
    }
    if found.changed is not None:
        record["changed"] = found.changed
    if physics is not None:
        seen = None if isinstance(physics, str) else physics
        record["physics"] = seen and [{**one._asdict(), "sure": one.sure} for one in seen.evidence]
        record["gear"] = _gear_record(seen.gear) if seen and seen.gear else None
        record["speed_rpm"] = seen and 60 * seen.speed
        record["speed_searched"] = seen and seen.searched
    return record, "\n".join([*lines, *(f"  warning: {warning}" for warning in new)])


def numbers(found: Diagnosis) -> str:
    """Return the numbers behind an answer. The probability of the only class of a model says nothing."""
    if found.changed is not None:
        return f"novelty {found.novelty:.2f} over {len(found.starts)} windows (up to 1 is as before)"
    # a class that would be written with 0.0 % is no alternative
    others = ", ".join(f"{visible(r.label)} {percent(r.probability)}" for r in found.best[1:] if r.probability >= 0.001)
    return (
        f"probability {percent(found.probability)}, {100 * found.agreement:.0f} % of {len(found.starts)} windows agree"
        f"{f'; then {others}' if others else ''}"
    )


def physics_lines(physics: Physics | str) -> list[str]:
    """Return what physics says, one text for each fault whose lines stand out, or one that says that none do, and for the gear;
    or why it says nothing."""
    if isinstance(physics, str):
        return [f"nothing, because {physics}"]
    told = [f"{one.fault}: {one}" for one in physics.evidence if one.sure]
    if physics.evidence and not told:
        told = ["no fault of this bearing has lines above the noise"]
    if physics.gear is not None:
        told += _gear_lines(physics.gear)
    told += [physics.problem] if physics.problem else []
    return [*told, f"speed found: {60 * physics.speed:.0f} revolutions a minute"] if physics.searched else told


def _gear_lines(gear: GearPhysics) -> list[str]:
    """Return what is told of a gear: its mesh and sidebands, beside those of healthy recordings, and of a planetary stage the
    lines of the sun where they stand out."""
    healthy, sun = against_healthy(gear.evidence, gear.healthy_db), gear.evidence.sun
    told = [f"gear: {gear.evidence}{f'; {healthy}' if healthy else ''}"]
    return [*told, f"sun gear: {sun}"] if sun is not None and sun.sure else told


def _gear_record(gear: GearPhysics) -> dict[str, Any]:
    """Return the lines of a gear for JSON."""
    sun = gear.evidence.sun
    seen = {**gear.evidence._asdict(), "sun": sun and {**sun._asdict(), "sure": sun.sure}}
    return {**seen, "healthy_sidebands_db": list(gear.healthy_db)}


def percent(share: float) -> str:
    """Return a probability as people read it; one below the limit of being sure is never rounded up to it."""
    shown = math.floor(1000 * share) / 10 if share < SURE_PROBABILITY else 100 * share
    return f"{shown:.1f} %"


def title(found: Diagnosis) -> str:
    """Return the class, and whether the network is sure; of a model of one class, whether the recording has changed."""
    label = visible(found.label)
    if found.changed:
        return f"changed (unlike {label})"
    if found.sure:
        return label
    if found.possible is not None and len(found.possible) > 1:
        label = " or ".join(map(visible, found.possible[:SHOWN])) + (" or others" if len(found.possible) > SHOWN else "")
    return f"not sure (perhaps {label})"
