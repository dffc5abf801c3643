"""The kinematics of the simulated drivetrain, and tables of what each health state does.

A table has one entry for each state, so that a state may be a traced integer.

Turns are counted per turn of the motor shaft, which carries the bearing and the first sun.
"""

import numpy as np

STATES: tuple[str, ...] = (
    "healthy",
    "inner race",
    "outer race",
    "ball",
    "root crack",
    "pitting",
    "broken tooth",
    "missing tooth",
)
"""The paper's health states, in the order of the tables."""

# first planetary stage: sun 20, planets 3 × 40, ring 100 teeth, ring fixed; a sun tooth meets every planet
PLANETS, RING_TEETH = 3, 100
CARRIER = 20 / (20 + RING_TEETH)
SUN_TOOTH = PLANETS * (1 - CARRIER)
# a missing tooth leaves a gap of two pitches, here in periods of the sun tooth
GAP = 2 * SUN_TOOTH / (RING_TEETH * CARRIER)
# second stage: 28, 4 × 36, 100
SECOND_CARRIER = CARRIER * 28 / (28 + 100)
# tones beside the first mesh: shaft (1 and 2 per turn), second planetary mesh and its double, and both meshes
# of the fixed-axis gearbox, 90:32 and 76:40 teeth, which the second carrier drives
OTHER_TONES = tuple(turns * SECOND_CARRIER for turns in (1 / SECOND_CARRIER, 2 / SECOND_CARRIER, 100, 200, 90, 76 * 90 / 32))
# bearing: balls, and diameter of a ball / of the pitch circle, contact angle 0 (Randall & Antoni 2011)
BALLS, BALL_RATIO = 9, 0.23
CAGE = (1 - BALL_RATIO) / 2
OUTER_RACE = BALLS * (1 - BALL_RATIO) / 2
INNER_RACE = BALLS * (1 + BALL_RATIO) / 2
BALL = (1 - BALL_RATIO**2) / BALL_RATIO  # twice the ball's spin: a spall meets both races


def _table(healthy, inner, outer, ball, crack, pitting, broken, missing) -> np.ndarray:
    return np.array([healthy, inner, outer, ball, crack, pitting, broken, missing], np.float32)


# events per turn: the frequency that gives the state away
RATE = _table(0, INNER_RACE, OUTER_RACE, BALL, SUN_TOOTH, SUN_TOOTH, SUN_TOOTH, SUN_TOOTH)
# slip of the rolling elements: standard deviation of an interval, in intervals
SLIP = _table(0, 0.01, 0.01, 0.015, 0, 0, 0, 0)
# what excites the resonances: level; bursts of noise (1) or impacts (0); a second impact after the gap
LEVEL = _table(0, 0.85, 0.85, 0.85, 0.4, 0.85, 0.85, 0.85)
BURSTS = _table(0, 0, 0, 0, 0, 1, 0, 0)
SECOND = _table(0, 0, 0, 0, 0, 0, 0, 1)
# how the strength of the events varies: turns of the load zone (teeth: the planet's way to the sensor), depth
ZONE_TURNS = _table(0, 1, 0, CAGE, 0, 0, 0, 0)
ZONE_DEPTH = _table(0, 0.9, 0, 0.8, 0.3, 0.3, 0.3, 0.3)
TOOTH = _table(0, 0, 0, 0, 1, 1, 1, 1)
# what a damaged tooth does to the mesh while it meets a planet: relative amplitude, phase lag (rad)
MESH_SWELL = _table(0, 0, 0, 0, 2.5, 0.1, -0.4, -0.8)
MESH_LAG = _table(0, 0, 0, 0, 1.5, 0.1, 0.4, 0.8)
