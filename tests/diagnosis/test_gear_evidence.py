"""What a recording shows of a gear: its lines are found with their strength, and nothing in noise; bad input is refused."""

import functools
import math
from pathlib import Path

import jax
import numpy as np
import pytest

from drsn_jax.data.drivetrain import LOADS, SAMPLING_RATE, SPEEDS, STATES, simulate
from drsn_jax.data.recording import Recording
from drsn_jax.data.recordings import read_recordings
from drsn_jax.diagnosis.gears import NONE_DB, GearEvidence, against_healthy, compared, gear_evidence, gear_facts, sidebands
from drsn_jax.functional.gears import GearOrders, named_gear

RATE, SPEED = 10_000.0, 25.0
GEAR = named_gear("21")
TABLES = Path(__file__).parents[2] / "experiments" / "recordings"
TOOTH_FAULTS = STATES[4:]


def meshing(teeth=21, *, depth=0.5, lag=0.0, speed=SPEED, seconds=5.0, noise=0.5, seed=0):
    """Two harmonics of a mesh whose amplitude swells by ``depth`` and whose phase by ``lag`` once a revolution, in noise."""
    turns = speed * np.arange(int(seconds * RATE)) / RATE
    swing = np.cos(2 * np.pi * turns)
    mesh = sum(np.cos(2 * np.pi * k * teeth * turns + k * (lag * np.sin(2 * np.pi * turns) + 1)) / k for k in (1, 2))
    return (1 + depth * swing) * mesh + noise * np.random.default_rng(seed).normal(size=len(turns))


@pytest.mark.parametrize("depth", [0.1, 0.5])
def test_the_sidebands_are_as_strong_as_they_were_made(depth):
    """Each of two sidebands has a half of the depth as its amplitude."""
    found = gear_evidence(meshing(depth=depth, noise=0.1), RATE, SPEED, GEAR)
    assert found.sidebands_db == pytest.approx(10 * math.log10(depth**2 / 2), abs=0.3)
    assert (found.mesh, found.tooth, found.stands_out, found.sun) == (21.0, 1.0, True, None)
    assert found.above_db[0] > found.above_db[1] > 20 > found.above_db[2]


def test_the_speed_may_be_a_little_off():
    """By 1 %, and not by a sideband: the mesh of 80 teeth is not looked for where its sidebands are."""
    exact = gear_evidence(meshing(), RATE, SPEED, GEAR)
    off = gear_evidence(meshing(), RATE, SPEED / 1.01, GEAR)
    assert off.slip == pytest.approx(0.01, abs=1e-3)
    assert off.sidebands_db == pytest.approx(exact.sidebands_db, abs=0.5)
    many = gear_evidence(meshing(80, depth=1.5), RATE, SPEED / 1.004, named_gear("80"))
    assert many.slip == pytest.approx(0.004, abs=3e-4)
    assert many.sidebands_db == pytest.approx(10 * math.log10(1.5**2 / 2), abs=0.5)


def test_gain_and_offset_do_not_matter_and_phase_makes_sidebands_too():
    signal = meshing(depth=0.0, lag=0.3)
    found = gear_evidence(signal, RATE, SPEED, GEAR)
    assert compared(found) > -15
    for changed in (1e-4 * signal, signal[:, None] + 7):
        assert gear_evidence(changed, RATE, SPEED, GEAR).sidebands_db == pytest.approx(found.sidebands_db, abs=0.01)


def test_nothing_is_found_in_noise():
    """Hardly ever: at one of many speeds noise may stand a little high, and one line may count as the mesh."""
    rng = np.random.default_rng(0)
    found = [gear_evidence(rng.normal(size=50_000), RATE, SPEED, GEAR) for _ in range(20)]
    assert sum(one.stands_out for one in found) <= 1
    assert max(max(one.above_db) for one in found) < 13
    nothing = GearEvidence(21.0, 1.0, 0.0, (3.0,), False, None, None)
    assert str(nothing) == "no line of the mesh (21× the shaft) stands out of the noise"


def test_sidebands_that_are_nearer_to_the_next_line_are_left_out():
    np.testing.assert_allclose(sidebands(GEAR), [-2, -1, 1, 2])
    np.testing.assert_allclose(sidebands(named_gear("20 100 3")), [-5, -2.5, 2.5, 5])
    assert len(sidebands(named_gear("12 60 3"))) == 2


def test_as_many_lines_are_looked_for_as_the_rate_shows():
    for teeth, lines in ((21, 3), (64, 3), (65, 2), (97, 2), (98, 1), (194, 1)):
        assert len(gear_evidence(meshing(teeth), RATE, SPEED, named_gear(str(teeth))).above_db) == lines, teeth


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"signal": np.zeros((60_000, 2))}, r"one channel \(length, 1\), got the shape \(60000, 2\)"),
        ({"signal": np.zeros(60_000)}, "no vibration at all"),
        ({"signal": np.full(60_000, np.nan)}, "not finite"),
        ({"signal": meshing(seconds=0.5)}, "12.5 revolutions of the shaft, and lines are told apart from 20 on"),
        ({"speed": 0.0}, "positive numbers of Hz, got 0.0"),
        ({"sampling_rate": math.nan}, "positive numbers of Hz"),
        ({"gear": named_gear("197")}, "mesh 4925 times a second, which with its sidebands lies beyond half the sampling rate"),
    ],
)
def test_bad_input(change, words):
    usual = {"signal": meshing(), "sampling_rate": RATE, "speed": SPEED, "gear": GEAR}
    with pytest.raises(ValueError, match=words):
        gear_evidence(**usual | change)


def test_sidebands_beside_those_of_healthy_recordings():
    def found(ratio, *, stands_out=True):
        return GearEvidence(21.0, 1.0, 0.0, (30.0,), stands_out, ratio, None)

    assert compared(found(None)) == compared(found(-40.0)) == NONE_DB
    assert against_healthy(found(-10.0), (-20.0, -13.5)) == (
        "that is more than in 2 healthy recordings of the training (-20 to -14 dB)"
    )
    assert against_healthy(found(-10.0), (-20.0, -12.5)) == "the 2 healthy recordings of the training had -20 to -12 dB"
    assert against_healthy(found(None), (-30.0,)) == "the 1 healthy recording of the training had up to -30 dB"
    assert against_healthy(found(-10.0), ()) == ""
    assert str(found(-41.0)).endswith("and the sidebands 1× beside them are together more than 30 dB below them")
    assert str(found(None)).endswith("and no sidebands 1× beside them")
    assert str(found(2.6)).endswith("are together 3 dB above them")
    assert against_healthy(found(None, stands_out=False), (-30.0,)) == ""


def test_what_a_model_keeps_of_the_gear():
    def recording(label, signal, rate=RATE, **facts):
        return Recording(signal[:, None], label, rate, **{"speed": SPEED, "gear": GEAR} | facts)

    sound, short = recording("ok", meshing(depth=0.1, noise=0.1)), recording("ok", meshing(seconds=0.5))
    worn, unknown = recording("worn", meshing()), recording("ok", meshing(), speed=None)
    facts = gear_facts([sound, short, worn, unknown], [sound, short, unknown])
    assert facts == {"gear": {"mesh": 21.0, "tooth": 1.0}, "healthy_sidebands_db": [pytest.approx(-23, abs=0.3)]}
    assert gear_facts([worn], []) == {"gear": {"mesh": 21.0, "tooth": 1.0}}
    for other in (None, GearOrders(22.0, 1.0)):
        assert gear_facts([sound, recording("ok", meshing(), gear=other)], [sound]) == {}
    # at equal angles of the shaft, where a rate is that of a revolution
    turned = recording("ok", meshing(depth=0.1, noise=0.1), rate=RATE / SPEED, per_revolution=True)
    assert gear_facts([turned], [turned]) == facts


@functools.cache
def simulated():
    """Three recordings of each of 72 cells of the simulated gearbox with the true speed of each, as a tachometer tells it."""
    make = jax.jit(functools.partial(simulate, length=2**17))
    found = []
    for number in range(3):
        for cell, (state, speed, load) in enumerate(
            (state, speed, load) for state in range(len(STATES)) for speed in SPEEDS for load in LOADS
        ):
            key = jax.random.fold_in(jax.random.fold_in(jax.random.key(27), cell), number)
            draws = np.asarray(jax.random.uniform(jax.random.split(key, 3)[0], (64,)))
            slip = (0.005 + 0.02 * load / 18) * (0.8 + 0.4 * draws[0])  # the first draws of ``simulate``
            true = speed * (1 - slip) * (1 - 0.004 + 0.008 * draws[1])
            found.append((STATES[state], number, float(true), np.asarray(make(key, state, speed, load)[:, 0], np.float64)))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("snr_db", [math.inf, 10.0, 0.0, -5.0])
def test_the_simulated_gearbox(snr_db):
    """Sidebands of a damaged sun are stronger than those of healthy recordings, in noise too, and no others are for certain."""
    rng, gear = np.random.default_rng(0), named_gear("20 100 3")
    healthy, seen = [], []
    for state, number, speed, clean in simulated():
        if state == "healthy" and number < 2:
            healthy.append(compared(gear_evidence(clean, SAMPLING_RATE, speed, gear)))
        noise = np.std(clean) * 10 ** (-snr_db / 20)
        found = gear_evidence(clean + noise * rng.normal(size=len(clean)), SAMPLING_RATE, speed, gear)
        seen.append((state, number, found))
    more = {s: [bool("more than" in against_healthy(e, healthy)) for t, n, e in seen if t == s and n == 2] for s in STATES}
    sun = {s: [e.sun is not None and e.sun.sure for t, _, e in seen if t == s] for s in STATES}
    print(f"\n{snr_db} dB; healthy sidebands {min(healthy):.0f} to {max(healthy):.0f} dB")
    for state in STATES:
        ratios = [compared(e) for t, _, e in seen if t == state]
        told = f"{state}: sidebands {min(ratios):.0f} to {max(ratios):.0f} dB, more than in healthy recordings "
        print(f"{told}{sum(more[state])} of {len(more[state])}; lines of the sun {sum(sun[state])} of {len(sun[state])}")
    assert not any(more["healthy"])
    assert not any(sun["healthy"])
    assert all(all(more[state]) for state in ("root crack", "broken tooth", "missing tooth"))
    assert sum(sum(sun[state]) for state in TOOTH_FAULTS) >= 100  # of 108
    assert sum(sum(sun[state]) for state in ("inner race", "outer race", "ball")) <= 1  # of 81


def test_a_machine_without_gears_has_lines_at_whole_orders_too(data_folder):
    """So that they accuse nothing: at any number of teeth the bearings of Case Western, the healthy one too, have a "mesh" with
    "sidebands". The lines of a sun, at 2.5 times the shaft, stand out of three of the 37, of the inner race of 0.014 inch."""
    folder = data_folder / "cwru"
    recordings = read_recordings(TABLES / "cwru_drive_end_12k.csv", folder / "drive_end_12k")
    others = read_recordings(TABLES / "cwru_drive_end_48k_0hp.csv", folder / "drive_end_48k_0hp")
    recordings += [r for r in others if r.label == "normal"]
    assert len(recordings) == 37
    found = {
        teeth: [gear_evidence(r.signal[:120_000], r.sampling_rate, r.speed or 1797 / 60, named_gear(teeth)) for r in recordings]
        for teeth in ("21", "20 100 3")
    }
    assert all(one.stands_out and compared(one) > 0 for one in found["21"])
    sun = [r.label for r, one in zip(recordings, found["20 100 3"], strict=True) if one.sun is not None and one.sun.sure]
    assert len(sun) <= 3
    assert set(sun) <= {"IR014"}
