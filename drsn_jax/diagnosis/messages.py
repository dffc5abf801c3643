"""Diagnose samples that come in messages, as from a broker of MQTT, a queue or a socket, whatever carries them."""

import datetime
import json
import os
from typing import Any, Literal

import numpy as np

from drsn_jax.core.errors import UserError
from drsn_jax.diagnosis.bundle_files import fingerprint, load
from drsn_jax.diagnosis.diagnosis import require_signals
from drsn_jax.diagnosis.streams import check_type, diagnose_windows

Form = Literal["float32", "json"]
# what Python and NumPy raise of text that is no JSON, and of JSON that is no array of numbers
_NO_NUMBERS = (ValueError, TypeError, KeyError, OverflowError, RecursionError)


class Listener:
    """Answers messages of samples: a message that completes a window gets a diagnosis, one that cannot be used an error.

    Samples of each sensor go on from message to message, so that a message may hold a part of a window, a window, or many.

    Args:
      model: the folder of a bundle.
      sampling_rate: of the samples, in Hz; by default that of the training data.

    Raises BundleError as ``load``, UserError for a model of pictures and for one whose windows are revolutions of the shaft.
    """

    def __init__(self, model: str | os.PathLike[str], sampling_rate: float | None = None) -> None:
        self.model, self.name = load(model), fingerprint(model)
        require_signals(self.model)
        if self.model.per_revolution:
            raise UserError(
                "the model's windows are revolutions of the shaft, for signals of a known speed: it takes no messages"
            )
        self.sampling_rate = self.model.sampling_rate if sampling_rate is None else sampling_rate
        self._waiting: dict[str, np.ndarray] = {}
        self.model.answer(np.zeros((1, *self.model.window_shape), np.float32))  # compiles

    def reply(self, sensor: str, payload: bytes, form: Form) -> tuple[Literal["diagnosis", "error"], dict[str, Any]] | None:
        """Return what there is to say of a message, as JSON can hold it; None where it completes no window.

        Args:
          sensor: the name of the sender, whose samples go on from its message before.
          payload: samples ``(n, channels)``: as "float32" the channels interleaved and little-endian, as "json" nested lists, or
            a mapping with them under ``samples``; of one channel also a plain list.
          form: which of both it is.

        A diagnosis is of all windows that the message completes together: ``class`` is the name or "not sure", because of
        ``doubts``; ``probabilities`` are calibrated by ``temperature``, the mean over ``windows``; ``model`` is the fingerprint
        of the bundle, and ``time`` that of the answer. After an error the next window of the sensor begins anew.
        """
        time = {"time": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")}
        length, before = self.model.window_length, self._waiting.pop(sensor, None)
        try:
            samples = read_samples(payload, form, self.model.channels)
            samples = samples if before is None else np.concatenate([before, samples])
            whole = len(samples) // length * length
            answer = self._answer(samples[:whole].reshape(-1, *self.model.window_shape)) if whole else None
        except UserError as error:
            return "error", {"error": str(error), **time}
        self._waiting[sensor] = samples[whole:].copy()
        return None if answer is None else ("diagnosis", {**answer, **time})

    def forget(self) -> None:
        """Forget incomplete windows, where messages may have been lost."""
        self._waiting.clear()

    def _answer(self, windows: np.ndarray) -> dict[str, Any]:
        found = diagnose_windows(self.model, windows, self.sampling_rate)
        return {
            "class": found.label if found.sure else "not sure",
            "probabilities": dict(zip(self.model.classes, found.probabilities.mean(0).tolist(), strict=True)),
            "doubts": list(found.doubts),
            "warnings": list(found.warnings),
            "windows": len(windows),
            "model": self.name,
            "temperature": self.model.temperature,
        }


def read_samples(payload: bytes, form: Form, channels: int) -> np.ndarray:
    """Return the samples ``(n, channels)`` of a message as float32; see ``Listener.reply``.

    Raises UserError for a message that holds something else, no samples, or samples that are not finite.
    """
    what = f"{form} samples of {channels} channel{'s' * (channels > 1)}"
    try:
        if form == "json":
            given = json.loads(payload)
            array = np.asarray(given["samples"] if isinstance(given, dict) else given, np.float64)
        else:
            array = np.frombuffer(payload, "<f4")
        array = array if array.ndim == 2 and form == "json" else array.reshape(-1, channels)
        if array.shape[1] != channels:
            raise ValueError(f"an array of the shape {array.shape}")
    except _NO_NUMBERS as error:
        raise UserError(f"a message of {len(payload)} bytes is no {what}: {error}") from error
    if form == "float32":
        check_type(array)
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    if array.size == 0:
        raise UserError(f"the message is empty, expected {what}")
    if not np.isfinite(array).all():
        raise UserError("the message holds samples that are not finite")
    return array
