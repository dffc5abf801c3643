"""A model of healthy recordings alone, for a machine of which no fault was ever recorded: it tells what has changed."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from drsn_jax.core.errors import UserError
from drsn_jax.data.held_out import hold_out
from drsn_jax.data.recording import Recording
from drsn_jax.data.recordings import class_names
from drsn_jax.data.shaft import shaft_facts
from drsn_jax.data.splits import Segment
from drsn_jax.data.summary import common_channel, taken
from drsn_jax.data.windows import cut_windows, remove_means
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.gears import gear_facts
from drsn_jax.evaluation.novelty import FEWEST, fit_novelty
from drsn_jax.nn.band_energy import band_energy_linear
from drsn_jax.studies.model_selection import usual_rms
from drsn_jax.studies.trial_data import by_the_network, training_scale

HELD_OUT = 0.3  # of each recording: the limit needs a hundred windows to be that of one in a hundred


def learn_healthy(
    recordings: Sequence[Recording], *, window_length: int = 2048, standardise: str = "window", seed: int = 0
) -> Bundle:
    """Return a model with one class, of which ``Bundle.novelty`` tells how far a recording is from these.

    Its features are the two spectra of ``band_energy_linear`` in windows that overlap by half: the energy in frequency bands and
    its rhythm. Nothing is trained. The end of each recording is held out, and the novelty of its windows sets the limit, so that
    a window like these is beyond it once in a hundred.

    Args:
      recordings: of a machine in good order, of one class, at all speeds and loads at which it is to be watched.
      window_length: in samples.
      standardise: as ``TrainingConfig.standardise``.
      seed: of the shares in which the bands are averaged.

    Raises ValueError for several classes, and for recordings of fewer than ten windows on either side.
    """
    classes = class_names(recordings)
    if len(classes) != 1:
        raise UserError(
            f"a model of healthy recordings is made of one class, got {', '.join(classes)}: give the folder of the healthy "
            "recordings alone, or train on all classes"
        )
    segments = [Segment(number, 0, len(r.signal)) for number, r in enumerate(recordings)]
    sides = hold_out(segments, HELD_OUT, window_length, [r.label for r in recordings])
    known, held_out = (_windows(recordings, side, window_length) for side in sides)
    if min(len(known), len(held_out)) < FEWEST:
        raise UserError(
            f"the recordings have {len(known)} windows to know and {len(held_out)} to hold out, and each takes {FEWEST}: give "
            "more or longer recordings, or a shorter --window-length"
        )
    network = band_energy_linear(
        classes=1,
        standardise=by_the_network(standardise),
        scale=training_scale(known) if standardise == "training" else 1.0,
    )
    variables = jax.jit(network.init, static_argnames="train")(jax.random.key(seed), known[:1], train=False)
    bundle = Bundle(
        network,
        variables,
        tuple(classes),
        window_length,
        recordings[0].sampling_rate,
        window_length,
        channel=common_channel([r.channel for r in recordings]),
        channels=recordings[0].signal.shape[1],
        rms_range=usual_rms(known),
        training={"protocol": "healthy recordings alone", "seed": seed, **_known(recordings)},
        per_revolution=recordings[0].per_revolution,
    )
    # each feature in units of its own spread, as a norm after training has it
    features = bundle.features(known)
    statistics = jax.tree.map(np.asarray, variables["batch_stats"])
    statistics["views_norm"] = {"mean": features.mean(0), "var": np.maximum(features.var(0), 1e-6)}
    bundle = dataclasses.replace(bundle, variables={**variables, "batch_stats": statistics})
    features = bundle.features(known)
    return dataclasses.replace(bundle, novelty=fit_novelty(features, np.zeros(len(known), int), bundle.features(held_out)))


def _known(recordings: Sequence[Recording]) -> dict[str, Any]:
    """Return what is known of the recordings, as facts by name for the description of a model."""
    return {**shaft_facts(recordings), **gear_facts(recordings, recordings), "recordings": taken(recordings)}


def _windows(recordings: Sequence[Recording], segments: Sequence[Segment], length: int) -> np.ndarray:
    """Return the windows of the segments, which overlap by half, without their mean; none of segments that are shorter."""
    long = [segment for segment in segments if segment.stop - segment.start >= length]
    if not long:
        return np.zeros((0, length, recordings[0].signal.shape[1]), np.float32)
    return remove_means(cut_windows(recordings, long, length, max(1, length // 2)).windows)
