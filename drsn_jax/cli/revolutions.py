"""Options of windows in revolutions of the shaft, the same for all scripts that read recordings.

The functions take the dataclass of options, as those of ``checks`` do, whose fields are ``speed_rpm``, ``revolutions`` and
``samples_per_revolution``.
"""

import dataclasses
import math
import warnings
from collections.abc import Sequence
from typing import Any, TypeVar

from drsn_jax.cli import checks
from drsn_jax.core.errors import UserError
from drsn_jax.data.drivetrain import SAMPLING_RATE, SPEEDS
from drsn_jax.data.formats.common import RecordingWarning
from drsn_jax.data.recordings import Recording
from drsn_jax.data.resampling import empty_orders, resample_to_revolutions
from drsn_jax.data.shaft import with_speeds

Options = TypeVar("Options")
SHORTEST = 16  # samples of a window
DRY_LENGTH = 256  # about so many samples has a window of a dry run


def check(options: Any, usual: Any) -> None:
    """Refuse options that are out of range or do not go together; raises UserError.

    ``usual`` are the options with their defaults.
    """
    checks.positive(options, "speed_rpm", unit="revolutions a minute")
    checks.positive(options, "revolutions", unit="revolutions")
    checks.at_least(options, 2, "samples_per_revolution", unit="samples")
    if options.speed_rpm is not None and options.recordings is None and options.dataset is None:
        raise UserError("--speed-rpm goes with --recordings or --dataset; the simulated drivetrain has speeds of its own")
    if options.revolutions is None:
        if options.samples_per_revolution != usual.samples_per_revolution:
            raise UserError("--samples-per-revolution goes with --revolutions")
        return
    if options.resample is not None:
        raise UserError("--revolutions brings each recording to a rate by its speed: leave out --resample")
    if options.windows_given:
        raise UserError("--windows-given takes windows as they are: leave out --revolutions")
    if options.window_length != usual.window_length:
        raise UserError("--revolutions says how long a window is: leave out --window-length")
    if (length := window_length(options)) < SHORTEST:
        raise UserError(
            f"--revolutions {options.revolutions:g} of --samples-per-revolution {options.samples_per_revolution} are {length} "
            f"samples, and a window has at least {SHORTEST}: raise one of them"
        )


def window_length(options: Any) -> int:
    """Return the samples of a window of so many revolutions."""
    return round(options.revolutions * options.samples_per_revolution)


def settle(options: Options) -> Options:
    """Return the options with the window length that the revolutions make; without ``--revolutions`` as they are."""
    asked: Any = options
    return options if asked.revolutions is None else dataclasses.replace(asked, window_length=window_length(asked))


def shorten(options: Options) -> Options:
    """Return the options of a dry run: as many revolutions of few samples each, so that windows are short."""
    asked: Any = options
    if asked.revolutions is None:
        return dataclasses.replace(asked, window_length=DRY_LENGTH)
    samples = max(2, math.ceil(SHORTEST / asked.revolutions), round(DRY_LENGTH / asked.revolutions))
    return settle(dataclasses.replace(asked, samples_per_revolution=min(samples, asked.samples_per_revolution)))


def simulated_windows(options: Any) -> int:
    """Return how many windows to simulate at the rate of the simulation, so that the slowest shaft makes those asked for."""
    return math.ceil(options.windows * SAMPLING_RATE / (min(SPEEDS) * options.samples_per_revolution))


def bring(options: Any, recordings: Sequence[Recording], most: int | None) -> list[Recording]:
    """Return recordings with their speeds and, with ``--revolutions``, at equal angles of the shaft; see
    ``resampling.resample_to_revolutions``.

    Of each at most ``most`` windows are kept, from its beginning. A RecordingWarning tells of orders that stay empty.
    """
    found = with_speeds(recordings, options.speed_rpm)
    if options.revolutions is None:
        return found
    samples = options.samples_per_revolution
    for sentence in empty_orders(found, samples):
        warnings.warn(sentence, RecordingWarning, stacklevel=2)
    if most is not None:  # one window more than is kept, because the end of a signal is cut by the filter
        found = [_beginning(r, (most + 1) * options.window_length / samples) for r in found]
    turned = resample_to_revolutions(found, samples)
    return turned if most is None else [dataclasses.replace(r, signal=r.signal[: most * options.window_length]) for r in turned]


def _beginning(recording: Recording, revolutions: float) -> Recording:
    """Return the first revolutions of a recording whose speed is known."""
    if recording.speed is None:
        return recording
    return dataclasses.replace(
        recording, signal=recording.signal[: math.ceil(revolutions * recording.sampling_rate / recording.speed)]
    )
