"""What physics says of a recording: the spectrum that is drawn, which fault a class means, and where the two disagree."""

import numpy as np
import pytest

from drsn_jax.core.errors import UserError
from drsn_jax.diagnosis import physics
from drsn_jax.diagnosis.answer_lines import physics_lines
from drsn_jax.diagnosis.diagnosis import Diagnosis
from drsn_jax.diagnosis.evidence import FaultEvidence
from drsn_jax.diagnosis.physics import Parts, disagreement, doubted, fault_of, recording_physics
from drsn_jax.functional.gears import GearOrders
from drsn_jax.functional.orders import bearing_orders

RATE, SPEED = 12_000.0, 29.5
BEARING = bearing_orders(balls=9, ball_diameter=7.94, pitch_diameter=39.04)


def fault(name, decades):
    return FaultEvidence(name, "BPFX", 5.0, 0.0, (20.0, 20.0, 20.0), decades)


def test_the_spectrum_shows_the_lines_of_the_fault_and_the_level_of_the_noise():
    length = 120_000
    strokes = (np.arange(length) * SPEED * BEARING.bpfi / RATE) % 1 < 0.01
    signal = np.random.default_rng(0).normal(size=(length, 2))
    signal[:, 0] += 6 * strokes
    found = recording_physics(lambda start, stop: signal[start:stop], length, RATE, SPEED, Parts(BEARING))
    assert [one.fault for one in found.evidence if one.sure] == ["inner race"]
    assert found.orders.shape == found.above_db.shape == (physics.COLUMNS,)
    assert np.all(np.diff(found.orders) > 0)
    assert found.orders[0] >= physics.SHOWN_FROM
    assert 3 * BEARING.bpfi < found.orders[-1] <= 3 * BEARING.bpfi + 0.5
    for number in (1, 2, 3):
        near = np.abs(found.orders - number * BEARING.bpfi) < 0.05
        assert found.above_db[near].max() == pytest.approx(found.evidence[0].above_db[number - 1], abs=1.5)
    # a column shows the highest of some bins, so its noise lies a little above the level
    assert 0 < np.median(found.above_db) < 6


def test_a_speed_that_was_not_given_is_found_where_it_stands_out():
    length, rng = 120_000, np.random.default_rng(0)
    time = np.arange(length) / RATE
    strokes = 9 * ((time * SPEED * BEARING.bpfi) % 1 < 0.01)
    turning = 0.1 * sum(np.cos(2 * np.pi * SPEED * number * time) for number in (1, 2, 3, 4, 5))
    noise = rng.normal(size=length)

    def look(signal, speed):
        return recording_physics(lambda start, stop: signal[start:stop, None], length, RATE, speed, Parts(BEARING))

    found = look(noise + strokes + turning, (20.0, 40.0))
    assert found.searched
    assert found.speed == pytest.approx(SPEED, rel=0.002)
    assert [one.fault for one in found.evidence if one.sure] == ["inner race"]
    assert physics_lines(found)[-1] == f"speed found: {60 * found.speed:.0f} revolutions a minute"
    given = look(noise + strokes + turning, SPEED)
    assert (given.speed, given.searched) == (SPEED, False)
    assert "speed found" not in " ".join(physics_lines(given))
    with pytest.raises(UserError, match=r"does not stand out between 1200 and 2400 revolutions a minute: another one is nearly"):
        look(noise, (20.0, 40.0))


def test_a_long_recording_is_looked_at_from_its_beginning(monkeypatch):
    monkeypatch.setattr(physics, "LONGEST", 60_000)
    asked = []

    def read(start, stop):
        asked.append((start, stop))
        return np.random.default_rng(0).normal(size=(stop - start, 1))

    recording_physics(read, 10**9, RATE, SPEED, Parts(BEARING))
    assert asked == [(0, 60_000)]


def test_a_gear_is_told_beside_a_bearing_or_alone():
    length = 60_000
    turns = SPEED * np.arange(length) / RATE
    signal = (1 + 0.5 * np.cos(2 * np.pi * turns)) * np.cos(2 * np.pi * 21 * turns) + np.random.default_rng(0).normal(size=length)

    def look(parts, length=length):
        return recording_physics(lambda start, stop: signal[start:stop, None], length, RATE, SPEED, parts)

    both, alone = look(Parts(BEARING, GearOrders(21, 1), (-30.0, -20.0))), look(Parts(gear=GearOrders(21, 1)))
    assert both.gear is not None
    assert alone.gear is not None
    assert not alone.evidence
    assert len(both.evidence) == 3
    assert both.gear.evidence == alone.gear.evidence
    assert len(both.gear.orders) == len(both.gear.above_db) == physics.COLUMNS
    peak = both.gear.orders[np.argmax(both.gear.above_db)]
    assert peak == pytest.approx(21, abs=0.1)
    bearing, gear = physics_lines(both)
    assert bearing == "no fault of this bearing has lines above the noise"
    assert gear.startswith("gear: lines of the mesh at 21×, 42×, 63× the shaft stand ")
    assert gear.endswith("together 9 dB below them; that is more than in 2 healthy recordings of the training (up to -20 dB)")
    # the lines of a gear with 210 teeth lie beyond half the sampling rate, those of the bearing do not
    (bearing, why) = physics_lines(look(Parts(BEARING, GearOrders(210, 1))))
    assert bearing == "no fault of this bearing has lines above the noise"
    assert why.startswith("nothing of the gear, because the teeth mesh 6195 times a second")
    far = BEARING._replace(bpfi=200.0)
    assert physics_lines(look(Parts(far, GearOrders(21, 1))))[1].startswith("nothing of the bearing, because 3 lines of each")
    for parts in (Parts(BEARING), Parts(gear=GearOrders(21, 1)), Parts(BEARING, GearOrders(21, 1))):
        with pytest.raises(UserError, match=r"has 4\.92 revolutions"):
            look(parts, 2000)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("IR007", "inner race"),
        ("OR021@6", "outer race"),
        ("Ball, 0.014 in", "ball"),
        ("inner_race-3", "inner race"),
        ("BPFO", "outer race"),
        ("normal", "healthy"),
        ("Healthy (new)", "healthy"),
        ("inner or outer race", None),  # two of them
        ("normal ball bearing", "healthy"),
        ("unbalance", None),
        ("oriole", None),  # a word that begins like one
        ("unbalance or looseness", None),
        ("or007", "outer race"),
        ("OR 2", "outer race"),
        ("InnerRace_007", "inner race"),
        ("0.007-InnerRace", "inner race"),
        ("IRF", "inner race"),
        ("no ball fault", None),
        ("not healthy", None),
        ("ball screw backlash", None),
        ("roller bearing cage", None),
        ("ball bearing, inner race", "inner race"),
        ("B007", None),
        ("", None),
    ],
)
def test_which_fault_a_class_means(label, expected):
    assert fault_of(label) == expected


@pytest.mark.parametrize(
    ("label", "sure", "expected"),
    [
        ("IR007", ("outer race",), "the lines of the outer race stand out, and not those of the inner race"),
        ("IR007", ("outer race", "ball"), "the lines of the outer race and the ball stand out, and not those of the inner race"),
        ("IR007", ("outer race", "inner race"), ""),  # its own lines are there too
        ("IR007", (), ""),
        ("healthy", ("ball",), "the lines of the ball stand out"),
        ("healthy", (), ""),
        ("unbalance", ("ball",), ""),
    ],
)
def test_lines_speak_against_a_class_that_names_something_else(label, sure, expected):
    evidence = [fault(name, 9.0 if name in sure else 3.9) for name in ("inner race", "outer race", "ball")]
    evidence.sort(key=lambda one: sure.index(one.fault) if one.fault in sure else 9)
    assert disagreement(label, evidence) == expected


def test_a_class_that_the_lines_speak_against_is_not_sure():
    found = Diagnosis("IR007", 0.99, 1.0, 0.0, (), (), True, np.ones((5, 1)), np.arange(5))
    assert doubted(found, [fault("inner race", 9.0)]) is found
    against = doubted(found, [fault("ball", 9.0)])
    assert not against.sure
    assert against.doubts == ("the lines of the ball stand out, and not those of the inner race",)
    assert (against.label, against.probability) == ("IR007", 0.99)
