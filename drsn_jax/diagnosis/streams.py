"""Diagnose windows as they come, and a stream of raw float32 samples, whose channels are interleaved, window by window."""

import math
import time
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

from drsn_jax.core.arrays import check_finite
from drsn_jax.core.errors import UserError
from drsn_jax.diagnosis.diagnosis import (
    Diagnosis,
    Model,
    answered,
    require_signals,
    summarise,
)
from drsn_jax.diagnosis.parts import constant_channels, root_mean_squares

TINY, HUGE = 1e-30, 1e30  # magnitudes between which sensible samples lie, in any unit
RANGE = 1e12  # the magnitudes of a signal differ by less; those of numbers that are read as another type by more
WRONG = 0.1  # share of the samples of a window that may be no number, or of a magnitude that no signal has


class Answer(NamedTuple):
    """What is said about a stretch of a stream.

    Fields:
      seconds: the time of its first sample.
      windows: how many windows it has.
      found: the diagnosis; None where none can be made, and ``error`` says why.
      error: a sentence; empty where there is a diagnosis.
      latency: seconds from the last of its samples to the answer.
    """

    seconds: float
    windows: int
    found: Diagnosis | None
    error: str
    latency: float


def diagnose_windows(model: Model, windows: np.ndarray, sampling_rate: float) -> Diagnosis:
    """Diagnose windows ``(n, window_length, channels)`` together, such as some of a stream, sampled at ``sampling_rate`` Hz.

    It is the diagnosis of a signal that is made of these windows, but that few of them are no reason for a warning. Raises
    UserError for windows of another shape or none, for samples that are not finite, and where the network's numbers overflow.
    """
    require_signals(model)
    windows, shape = np.asarray(windows), (model.window_length, model.channels)
    if windows.shape[1:] != shape or len(windows) == 0:
        raise UserError(f"the model takes windows of the shape (n, {shape[0]}, {shape[1]}), got {windows.shape}")
    check_finite(windows)
    levels = root_mean_squares(windows), constant_channels(windows)
    starts = np.arange(len(windows)) * model.window_length
    probabilities, novelty = answered(model, windows)
    return summarise(model, probabilities, *levels, sampling_rate, starts, novelty=novelty, few=0)


def expected(model: Model, rate: float, every: float | None) -> str:
    """Return the sentence that says which bytes a stream must have, and when it is answered."""
    require_signals(model)
    count = model.channels
    what = "1 channel" if count == 1 else f"{count} channels, interleaved (one sample of each in turn)"
    seconds = model.window_length / rate
    when = "a line for each window" if every is None else f"a line about every {_group(model, rate, every) * seconds:.3g} s"
    return (
        f"listening: raw float32 samples, little-endian, {what}, {rate:.9g} Hz; windows of {model.window_length} samples, "
        f"{seconds:.3g} s; {when}"
    )


def diagnose_stream(model: Model, source: BinaryIO, rate: float, every: float | None = None) -> Iterator[Answer]:
    """Yield an answer for every window of a stream, or for all windows of ``every`` seconds together.

    A window with samples that are not finite gets an answer without a diagnosis. Raises UserError for a stream that ends before
    its first window, and for one whose first windows are no float32 numbers: those of int16 and of other types look like numbers
    of all magnitudes. An incomplete window at the end is dropped.
    """
    size = model.window_length * model.channels * 4
    group = 1 if every is None else _group(model, rate, every)
    model.predict_proba(np.zeros((1, model.window_length, model.channels), np.float32))  # compiles
    number, believed, kept = 0, False, []

    def answer() -> Answer:
        windows = np.concatenate(kept)
        begun, first = time.perf_counter(), (number - len(windows)) * model.window_length / rate
        try:
            found, error = diagnose_windows(model, windows, rate), ""
        except UserError as reason:
            found, error = None, str(reason)
        return Answer(first, len(windows), found, error, time.perf_counter() - begun)

    while len(raw := source.read(size)) == size:
        window = np.frombuffer(raw, "<f4").reshape(1, model.window_length, model.channels)
        if not believed:
            check_type(window)
            believed = bool(np.any(window))  # silence is silence in every type
        number += 1
        if np.isfinite(window).all():
            kept.append(window)
            if len(kept) == group:
                yield answer()
                kept = []
            continue
        number -= 1
        if kept:
            yield answer()
            kept = []
        yield Answer(number * model.window_length / rate, 1, None, "samples that are not finite", 0.0)
        number += 1
    if kept:
        yield answer()
    if number == 0:
        raise UserError(f"standard input ended before a window of {model.window_length} samples was there")


def check_type(window: np.ndarray) -> None:
    """Raise UserError for a window of float32 numbers that are probably samples of another type."""
    with np.errstate(invalid="ignore"):  # NaNs of a kind that numbers do not have
        magnitudes = np.abs(window[window != 0].astype(np.float64))
    if not magnitudes.size:
        return
    finite = np.isfinite(magnitudes)
    odd = np.mean(~finite | (magnitudes < TINY) | (magnitudes > HUGE))
    low, high = np.quantile(magnitudes[finite], (0.1, 0.9)) if finite.any() else (0.0, math.inf)
    if odd > WRONG or high > RANGE * low:
        raise UserError(
            "these are no float32 samples: the first window holds numbers that no signal has, as int16 or other samples give "
            "that are read as float32. Send float32, for example arecord -f FLOAT_LE, or sox -t s16 … -t f32 -"
        )


def _group(model: Model, rate: float, every: float) -> int:
    """Return how many windows make up ``every`` seconds."""
    return max(1, round(every * rate / model.window_length))
