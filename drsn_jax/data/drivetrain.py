"""A simulated drivetrain in the shape of the paper's rig: a pure function of key, state, speed and load.

A motor drives a two-stage planetary gearbox, a two-stage fixed-axis gearbox and a brake; one accelerometer
sits on the planetary gearbox. It records

    gain · (mesh · modulation + other meshes and shafts + fault + friction noise + sensor noise) + offset

- *mesh*: harmonics of the first planetary mesh, one copy a planet, with the planet's phase and its way to the sensor
  (McFadden & Smith, Proc. IMechE C 199(1), 1985). A damaged sun tooth meets a planet
  ``planets · (f_sun - f_carrier)`` times a second and then modulates amplitude and phase (Feng & Zuo, J.
  Sound Vib. 331(22), 2012): a root crack does nothing else.
- *fault*: impacts (bearing, broken tooth; in pairs where a tooth is missing) or bursts of noise (pitting: a
  cyclostationary signal) through decaying resonances. Rolling elements slip, so that their impacts follow a
  random walk, and the load zone modulates the inner race by the shaft, the balls by the cage (Randall &
  Antoni, Mech. Syst. Signal Process. 25(2), 2011); teeth are modulated by their planet's way to the sensor.
- *friction noise* through the same resonances and *sensor noise* are in every state.

Each recording draws its own gain, offset, phases, slip, speed error, resonances, harmonics, severity and
noise levels. No state gives itself away by scale, offset or length: most are told apart by when things
happen.
"""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from drsn_jax.core.errors import UserError
from drsn_jax.data import drivetrain_faults as faults
from drsn_jax.data.drivetrain_faults import STATES
from drsn_jax.data.recordings import Recording

SAMPLING_RATE = 12_800
"""Samples a second."""

SPEEDS: tuple[float, ...] = (20.0, 30.0, 40.0)
"""Set speeds of the motor, Hz."""

LOADS: tuple[float, ...] = (1.0, 6.0, 18.0)
"""Torques of the brake, lb·ft."""

HARMONICS = 4
# (harmonics, planets): equally spaced planets mesh with the ring in phases of their own
PLANET_PHASE = faults.RING_TEETH / faults.PLANETS * np.outer(np.arange(1, HARMONICS + 1), np.arange(faults.PLANETS))
PLANET_PHASOR = np.exp(2j * math.pi * PLANET_PHASE).astype(np.complex64)

RESONANCES = (2100.0, 3300.0, 4700.0)  # Hz, the same for every fault
WALK_STEP = 64  # samples between the nodes of the random walk
CHUNK = 8  # recordings simulated together; a divisor of the cells, so that each keeps its place in a chunk


@functools.partial(jax.jit, static_argnames="length")
def simulate(key: jax.Array, state: ArrayLike, speed: ArrayLike, load: ArrayLike, length: int = 80 * 2048) -> jax.Array:
    """Simulate one recording. The function is pure, so ``jax.vmap`` maps it over all arguments but the length.

    Args:
      key: a JAX random key, which decides everything that a recording draws.
      state: index into ``STATES``; it may be traced and is not checked.
      speed: set speed of the motor in Hz; the shaft turns up to 3 % slower, the more the higher the load.
      load: torque of the brake in lb·ft.
      length: number of samples at ``SAMPLING_RATE``, up to about a minute (phases are float32).

    Returns:
      ``(length, 1)``, float32, in the units of a sensor of unknown gain and offset.

    Raises:
      ValueError: for a length below 2.
    """
    if length < 2:
        raise UserError(f"a recording has at least 2 samples, got length={length}")
    # drawn together, because each generator takes the compiler a long time
    uniform_key, walk_key, noise_key = jax.random.split(key, 3)
    draws = iter(jax.random.uniform(uniform_key, (64,), jnp.float32))
    random, rubbing, hiss = jax.random.normal(noise_key, (3, length), jnp.float32)

    def of_state(table: np.ndarray) -> jax.Array:
        return jnp.asarray(table)[state]

    def between(low: float, high: float, count: int | None = None) -> jax.Array:
        draw = next(draws) if count is None else jnp.stack(list(itertools.islice(draws, count)))
        return low + (high - low) * draw

    # the shaft in turns: slip of the motor, error of its drive, slow fluctuation (integrated in closed form)
    seconds = jnp.arange(length, dtype=jnp.float32) / SAMPLING_RATE
    slip = (0.005 + 0.02 * load / 18) * between(0.8, 1.2)
    frequency = speed * (1 - slip) * (1 + between(-0.004, 0.004))
    hertz, depth, start = between(0.3, 2.0, 3), between(0, 0.003, 3), between(0, 1, 3)
    parts = zip(depth, hertz, start, strict=True)
    swing = sum(d / (2 * math.pi * h) * _cosine(h * seconds + s) for d, h, s in parts)
    sun = frequency * (seconds + swing)
    carrier = faults.CARRIER * sun + between(0, 1)

    # the fault acts at the integers of its phase, more or less strongly
    rate = of_state(faults.RATE)
    deviation = of_state(faults.SLIP) * jnp.sqrt(rate * frequency * WALK_STEP / SAMPLING_RATE)
    steps = jax.random.normal(walk_key, (-(-length // WALK_STEP),), jnp.float32)
    walk = _walk(deviation * steps)[:length]
    phase = rate * sun + between(0, 1) + walk
    planet = jnp.floor(phase + 0.5) / faults.PLANETS
    zone = of_state(faults.ZONE_TURNS) * sun + between(0, 1) + of_state(faults.TOOTH) * (carrier + planet)
    strength = 1 + of_state(faults.ZONE_DEPTH) * _cosine(zone)
    # 1 as the tooth meets a planet, a half of it 0.11 periods before and after
    contact = jnp.exp(3 * (_cosine(phase) - 1))
    severity = between(0.75, 1.25)

    # the first planetary mesh: powers of its phasor are the harmonics
    swell = of_state(faults.MESH_SWELL) * severity * strength * contact
    lag = of_state(faults.MESH_LAG) * severity * strength * contact / (2 * math.pi)
    turns = faults.RING_TEETH * carrier - lag
    mesh = (0.8 + 0.4 * load / 18) * _unit_power(_harmonics(between, carrier, turns)) * jnp.maximum(1 + swell, 0)

    size, start = between(0.02, 0.2, len(faults.OTHER_TONES)), between(0, 1, len(faults.OTHER_TONES))
    others = sum(size[i] * _cosine(t * sun + start[i]) for i, t in enumerate(faults.OTHER_TONES))

    # impacts or bursts, and the friction noise, through the same resonances
    impact = strength * (1 + 0.2 * random)
    impacts = _impulses(phase, impact) + of_state(faults.SECOND) * _impulses(phase - faults.GAP, impact)
    excitation = jnp.where(of_state(faults.BURSTS) > 0, random * strength * contact, impacts)
    resonances = jnp.asarray(RESONANCES) * between(0.96, 1.04, 3)
    response = _resonances(length, resonances, between(0.02, 0.04, 3), between(0.5, 1.0, 3))
    fault = of_state(faults.LEVEL) * severity * _unit_power(_filter(excitation, response))
    friction = between(0.1, 0.3) * _unit_power(_filter(rubbing, response))
    sensor = between(0.03, 0.1) * hiss

    gain = jnp.exp(between(-1, 1))
    return (gain * (mesh + others + fault + friction + sensor) + between(-1, 1))[:, None]


def _harmonics(between: Callable[..., jax.Array], carrier: Any, turns: Any) -> jax.Array:
    """The harmonics of the first planetary mesh, one copy for each planet; ``between`` draws their sizes, phases and ways."""
    phasor = jax.lax.complex(_cosine(turns), _cosine(turns - 0.25))
    path, unequal = between(0.2, 0.5), between(0.8, 1.2, faults.PLANETS)
    size = jnp.exp(between(-0.5, 0.5, HARMONICS)) / jnp.arange(1, HARMONICS + 1) ** 0.8
    coefficient = size * jnp.exp(2j * math.pi * between(0, 1, HARMONICS))
    ways = [unequal[p] * (1 + path * _cosine(carrier + p / faults.PLANETS)) for p in range(faults.PLANETS)]
    planets = [sum(phasors[p] * ways[p] for p in range(faults.PLANETS)) for phasors in PLANET_PHASOR]
    total: Any = sum(coefficient[h] * planets[h] * phasor ** (h + 1) for h in range(HARMONICS))
    return total.real


def characteristic_frequency(state: str | int, speed: float) -> float:
    """Return the frequency in Hz at which a fault acts: a line of the envelope spectrum.

    Ball-pass frequency of the inner or outer race, twice the spin of a ball, and for all faults of the sun
    gear ``planets · (f_sun - f_carrier)``.

    Args:
      state: name or index of a state.
      speed: speed of the motor shaft in Hz; under load up to 3 % below the set speed.

    Raises:
      ValueError: for an unknown state, and for ``"healthy"``, which has none.
    """
    if state not in STATES and state not in range(len(STATES)):
        raise UserError(f"unknown state {state!r}: choose one of {', '.join(STATES)}, or an index from 0")
    index = STATES.index(state) if isinstance(state, str) else int(state)
    if index == 0:
        raise UserError("a healthy drivetrain has no characteristic frequency: ask for one of the faults")
    return float(faults.RATE[index]) * speed


def drivetrain_recordings(seed: int = 0, *, recordings: int = 5, windows: int = 80, window_length: int = 2048) -> list[Recording]:
    """Simulate recordings of all 72 cells, 8 states × 3 speeds × 3 loads, in the layout of the paper's data.

    Args:
      seed: decides everything random. A recording depends on the seed, its cell, its number and its length, not on
        how many others are made; with another length it is another signal of the same statistics.
      recordings: number of recordings of every cell, each with a machine and a sensor of its own.
      windows: windows of ``window_length`` samples in a recording.
      window_length: samples of a window.

    Returns:
      ``72 · recordings`` recordings of ``(windows · window_length, 1)``, by state, speed, load and number;
      the label is the state, the condition for example ``"20 Hz, 6 lb·ft"``, the speed the set one.

    Raises:
      ValueError: for a count below 1.
    """
    if min(recordings, windows, window_length) < 1:
        raise UserError(f"counts start at 1, got {recordings=}, {windows=}, {window_length=}")
    length = windows * window_length
    cells = [(state, speed, load) for state in range(len(STATES)) for speed in SPEEDS for load in LOADS]
    root = jax.random.key(seed)
    signals = np.empty((len(cells), recordings, length, 1), np.float32)
    for number in range(recordings):
        for chunk in np.arange(len(cells)).reshape(-1, CHUNK):
            arguments = (np.array(column) for column in zip(*(cells[i] for i in chunk), strict=True))
            signals[chunk, number] = _simulate_chunk(root, number, chunk, *arguments, length=length)
    simulated = []
    for (state, speed, load), of_cell in zip(cells, signals, strict=True):
        condition = f"{speed:g} Hz, {load:g} lb·ft"
        for number, signal in enumerate(of_cell):
            name = f"{STATES[state]}, {condition}, recording {number}"
            simulated.append(Recording(signal, STATES[state], SAMPLING_RATE, condition, name=name, speed=speed))
    return simulated


@functools.partial(jax.jit, static_argnames="length")
def _simulate_chunk(root, number, cells, states, speeds, loads, length):
    keys = jax.vmap(lambda cell: jax.random.fold_in(jax.random.fold_in(root, cell), number))(cells)
    return jax.vmap(functools.partial(simulate, length=length))(keys, states, speeds, loads)


def _cosine(turns: Any) -> jax.Array:
    # whole turns are taken off first, because the cosine of a large argument is slower and less precise
    return jnp.cos(2 * math.pi * (turns - jnp.round(turns)))


def _unit_power(x: Any) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x)) + 1e-12)


def _walk(steps: jax.Array) -> jax.Array:
    """Return the running sum of the steps, each of which is spread evenly over ``WALK_STEP`` samples."""
    ramp = jnp.arange(1, WALK_STEP + 1) / WALK_STEP
    return ((jnp.cumsum(steps) - steps)[:, None] + steps[:, None] * ramp).reshape(-1)


def _impulses(phase: jax.Array, amplitude: jax.Array) -> jax.Array:
    """Place impulses where the phase passes an integer; each is shared between the two samples around that moment."""
    count = jnp.floor(phase)
    hit = jnp.diff(count, prepend=count[:1]) > 0
    step = jnp.maximum(jnp.diff(phase, prepend=phase[:1]), 1e-6)
    late = jnp.where(hit, jnp.minimum((phase - count) / step, 1), 0)
    train = jnp.where(hit, amplitude, 0)
    return train * (1 - late) + jnp.roll(train * late, -1)


def _resonances(length: int, frequency: jax.Array, damping: jax.Array, gain: jax.Array) -> jax.Array:
    """Return the frequency response of decaying sinusoids at the frequencies of a real FFT; its peaks are the gains::

        H(f) = Σ g · 2iζr / (1 - r² + 2iζr)

    with r the frequency divided by the resonance's and ζ its damping.
    """
    ratio = jnp.fft.rfftfreq(length, 1 / SAMPLING_RATE)[:, None] / frequency
    return jnp.sum(gain * 2j * damping * ratio / (1 - ratio**2 + 2j * damping * ratio), axis=-1)


def _filter(x: jax.Array, response: jax.Array) -> jax.Array:
    # circular: what rings on past the end stands at the start, so a recording begins in the middle of things
    return jnp.fft.irfft(jnp.fft.rfft(x) * response, x.shape[0])
