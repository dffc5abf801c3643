"""The card of a model on a report: what it is, what it was trained on, and how good it was on test data."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from drsn_jax.core import page
from drsn_jax.core.runtime import versions
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.nn.networks import parameter_count
from drsn_jax.nn.presets import preset_name

SHOWN = 12  # files of the training that are named


def model_card(model: Bundle) -> Iterator[str]:
    """Yield what the model is, what it was trained on, and how good it was on test data."""
    positions = model.window_length
    units = ("revolutions of the shaft", "samples in each") if model.per_revolution else ("s", "Hz")
    length = f"{positions} samples, {positions / model.sampling_rate:.3g} {units[0]} at {model.sampling_rate:,.9g} {units[1]}"
    about = {
        "network": f"{preset_name(model.network) or 'of its own'}, {parameter_count(model.variables['params']):,} parameters",
        "classes": ", ".join(model.classes),
        "window": f"{length}, {model.channels} {'channel' if model.channels == 1 else 'channels'}",
        **_training(model.training),
        "this report": f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}, "
        + ", ".join(f"{name} {version}" for name, version in versions().items()),
    }
    yield page.heading("The model")
    yield page.facts(about)
    rows = [row for entry in model.accuracy if (row := _accuracy(entry)) is not None]
    if rows:
        yield page.paragraph("Its accuracy on the test recordings of its training, by noise that was added to them:")
        yield page.table(["noise", "SNR", "accuracy", "true class in its set"], rows)


def _training(training: Mapping[str, Any]) -> dict[str, str]:
    """Return the facts about a training that are texts and numbers; what others wrote into the file may hold anything."""
    named = {
        "train_noise": "trained in noise", "train_snr_db": "at an SNR (dB) of", "protocol": "split of its data",
        "fold": "fold", "seed": "seed", "epoch": "epoch that was kept",
    }  # fmt: skip
    found = {
        named[name]: str(value) for name, value in training.items() if name in named and isinstance(value, str | int | float)
    }
    entries = training.get("recordings")
    entries = [entry for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, list | tuple) else []
    files = [str(file) for entry in entries if isinstance(named := entry.get("files"), list | tuple) for file in named]
    if files:
        more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
        found["trained on"] = f"{len(files)} {'file' if len(files) == 1 else 'files'}: {', '.join(files[:SHOWN])}{more}"
    return found


def _accuracy(entry: Mapping[str, Any]) -> list[str] | None:
    """Return a row of the table of accuracies; None for an entry that is none."""
    share, level = entry.get("accuracy"), entry.get("snr_db")
    if not isinstance(share, int | float) or not 0 <= share <= 1:
        return None
    covered = entry.get("covered")
    shares = [f"{100 * share:.1f} %", f"{100 * covered:.1f} %" if isinstance(covered, int | float) and 0 <= covered <= 1 else ""]
    if str(level) in ("inf", "None"):
        return ["none", "clean", *shares]
    shown = f"{level:g} dB" if isinstance(level, int | float) and abs(level) < 1e3 else str(level)
    return [str(entry.get("noise", "")), shown, *shares]
