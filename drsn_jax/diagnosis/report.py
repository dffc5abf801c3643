"""A report of a diagnosis that can be handed on: one page of HTML with the answers, their pictures, and what the model is."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from drsn_jax.core import page
from drsn_jax.core.errors import UserError
from drsn_jax.core.files import write_atomically
from drsn_jax.diagnosis.answer_lines import numbers, percent, physics_lines, title
from drsn_jax.diagnosis.asking import Asked
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.diagnosis import COVERAGE, Diagnosis
from drsn_jax.diagnosis.doubts import SURE_AGREEMENT, SURE_PROBABILITY
from drsn_jax.diagnosis.model_card import model_card
from drsn_jax.diagnosis.physics import Physics

FILE = "report.html"


class Entry(NamedTuple):
    """What a report says of a file; nothing in it keeps the file open.

    Fields:
      file: its name as it was asked for.
      found: its diagnosis; None where there is none.
      length: its samples.
      sampling_rate: in Hz.
      channel: which signal of it was taken.
      physics: what physics says, or why it says nothing; None where it was not asked for.
      picture: the figure of the diagnosis, a PNG; None for no figure.
      error: why there is no diagnosis, or no figure.
    """

    file: str
    found: Diagnosis | None = None
    length: int = 0
    sampling_rate: float = 1.0
    channel: str = ""
    physics: Physics | str | None = None
    picture: bytes | None = None
    error: str = ""


def entry_of(file: str, asked: Asked, physics: Physics | str | None) -> Entry:
    """Return what a report says of a file that was asked about."""
    signal = asked.signal
    assert signal.sampling_rate is not None
    return Entry(file, asked.found, asked.length, signal.sampling_rate, signal.channel, physics)


def writable(folder: Path) -> Path:
    """Make a folder where it is missing, and return it; raise UserError where nothing can be written into it.

    To be called before anything is asked: a report is written at the end.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = "it is a file" if folder.is_file() else error.strerror or str(error)
        raise UserError(f"nothing can be written into {folder} ({reason}): choose another folder") from error
    return folder


def write_report(folder: Path, model: Bundle, entries: Sequence[Entry], *, dry_run: bool = False) -> Path:
    """Write ``report.html`` into a folder, which is made where it is missing, and return its path.

    The page is complete in itself: it loads nothing, and what names of files and classes hold is shown and never interpreted. A
    report that lies there is replaced. A page of a ``dry_run`` says that its numbers mean nothing.
    """
    parts = [page.paragraph("A dry run: its numbers and figures mean nothing.", strong=True)] if dry_run else []
    names = _names(entries)
    parts += [page.paragraph(_summary(entries)), _table(entries, names)]
    for number, (entry, name) in enumerate(zip(entries, names, strict=True), 1):
        parts += _section(entry, name, _anchor(number))
    parts += [page.heading("How to read it"), *map(page.paragraph, _explained(model, entries)), *model_card(model)]
    writable(folder)
    write_atomically(folder / FILE, page.page("Diagnosis of recordings", parts))
    return folder / FILE


def _anchor(number: int) -> str:
    return f"file-{number}"


def _summary(entries: Sequence[Entry]) -> str:
    """Return a sentence that counts the answers."""
    sure = sum(entry.found is not None and entry.found.sure for entry in entries)
    failed = sum(entry.found is None for entry in entries)
    kinds = {"with a named class": sure, "not sure": len(entries) - sure - failed, "that could not be read": failed}
    counted = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
    return f"{len(entries)} {'recording' if len(entries) == 1 else 'recordings'}: {counted}."


def _names(entries: Sequence[Entry]) -> list[str]:
    """Return the names of the files below the folder that holds them all, for who reads the report need not know where it lies;
    where there is no such folder, as they were asked for."""
    files = [Path(os.path.abspath(entry.file)) for entry in entries]
    try:
        shared = Path(os.path.commonpath([file.parent for file in files]))
    except ValueError:  # no files, or files of several drives
        shared = None
    if shared is None or shared == Path(shared.anchor):
        return [entry.file for entry in entries]
    return [str(file.relative_to(shared)) for file in files]


def _table(entries: Sequence[Entry], names: Sequence[str]) -> str:
    """Return the table of all files."""
    head = ["file", "answer", "probability", "windows that agree", "novelty", "warnings"]
    with_physics = any(entry.physics is not None for entry in entries)
    rows = []
    for entry, name in zip(entries, names, strict=True):
        if entry.found is None:
            rows.append([name, "error, see below", *[""] * (4 + with_physics)])
            continue
        found = entry.found
        numbers = [percent(found.probability), f"{100 * found.agreement:.0f} %"] if found.changed is None else ["", ""]
        cells = [name, title(found), *numbers, "" if found.novelty is None else f"{found.novelty:.2f}", str(len(found.warnings))]
        rows.append(cells + [_sure_faults(entry.physics)] * with_physics)
    links = [_anchor(number) for number in range(1, len(entries) + 1)]
    return page.table(head + ["lines stand out of"] * with_physics, rows, links=links)


def _sure_faults(physics: Physics | str | None) -> str:
    if not isinstance(physics, Physics):
        return ""
    sure = [one.fault for one in physics.evidence if one.sure]
    gear = physics.gear.evidence if physics.gear is not None else None
    if gear is not None and gear.sun is not None and gear.sun.sure:
        sure.append("sun gear")
    return ", ".join(sure) or "none"


def _section(entry: Entry, name: str, anchor: str) -> Iterator[str]:
    """Yield the parts of a file's section."""
    yield page.heading(name, anchor)
    if entry.found is None:
        yield page.paragraph(f"error: {entry.error}")
        return
    found = entry.found
    yield page.paragraph(f"{title(found)}, {numbers(found)}", strong=True)
    if found.doubts:
        yield page.paragraph(f"Not sure because {', and '.join(found.doubts)}.")
    yield page.items(f"Warning: {warning}" for warning in found.warnings)
    if entry.physics is not None:
        yield page.paragraph("What physics says:")
        yield page.items(physics_lines(entry.physics))
    if entry.picture is not None:
        yield page.image(entry.picture, f"The answer, the waveform and the classes over time of {name}")
    elif entry.error:
        yield page.paragraph(f"There is no picture: {entry.error}")
    about = {
        "classes that come first": ", ".join(f"{one.label} {percent(one.probability)}" for one in found.best),
        "windows": f"{len(found.starts)}, of which {100 * found.agreement:.0f} % agree",
        "recording": f"{entry.length:,} samples at {entry.sampling_rate:,.9g} Hz, {entry.length / entry.sampling_rate:.3g} s",
    }
    if found.possible is not None:
        about["possible classes"] = ", ".join(found.possible) or "none"
    if entry.channel:
        about["channel"] = entry.channel
    yield page.facts(about)


def _explained(model: Bundle, entries: Sequence[Entry]) -> Iterator[str]:
    """Yield what a reader must know who was not there when the model was trained."""
    with_sets = model.surprises is not None
    if len(model.classes) == 1:
        yield (
            f"Each recording is cut into windows. The model knows recordings of one class alone, {model.classes[0]}, and a "
            "recording is called changed where half of its windows are farther from these, by their novelty, than 1. It does not "
            "say what has changed: a fault, but also another load, speed, sensor or noise. The absence of a warning is no "
            "guarantee."
        )
    else:
        named = "it is the only possible class" if with_sets else f"that mean is at least {100 * SURE_PROBABILITY:.0f} %"
        yield (
            "Each recording is cut into windows; a clip is one. The network gives each window a probability for every class that "
            f"it was trained on, and the answer is the class with the highest mean. It is named where {named}, at least "
            f"{100 * SURE_AGREEMENT:.0f} % of the windows have this class first, and nothing speaks against it; else the answer "
            "is “not sure”, with the reasons."
        )
        yield (
            "A network can only answer with classes that it was trained on. Another machine, or a fault that it never saw, can "
            "be named with a high probability. The absence of a warning is no guarantee."
        )
    if with_sets:
        yield (
            "Possible classes: those that are as likely, in more than half of the windows, as true classes were on windows that "
            "were held out in the training. Of further stretches of the recordings of the training at least "
            f"{100 * COVERAGE:.0f} in 100 have their true class among them. Of other recordings, loads or noise nothing is "
            "promised."
        )
    if any(entry.found is not None and entry.found.novelty is not None for entry in entries):
        yield (
            "Novelty: how far a recording is, to the network, from those of the training. Of windows like those of the training "
            "one in a hundred is farther than 1. A recording above 2 is not named, and a model of healthy recordings alone calls "
            "one above 1 changed."
        )
    if any(entry.picture is not None for entry in entries):
        yield (
            "In the pictures, over time and frequency: red speaks for the class that comes first, blue against it. Were a red "
            "frequency louder, the class would be more probable. This explains the network, not the machine."
        )
    yield from _explained_physics(entries)


def _explained_physics(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield what lines of bearings and gears mean, where they were looked for."""
    seen = [entry.physics for entry in entries if isinstance(entry.physics, Physics)]
    if any(physics.evidence for physics in seen):
        yield (
            "Physics: a fault of a bearing is struck at a rate that follows from the bearing's geometry and the speed of the "
            "shaft, so that lines stand at multiples of it in the spectrum of the envelope. Lines are said to stand out where "
            "noise would show such lines less than once in ten thousand recordings. Where none stand out nothing follows: many "
            "faults show none."
        )
    if any(physics.gear is not None for physics in seen):
        yield (
            "Gears: teeth that mesh make lines at multiples of their rate, and what is unequal among the teeth makes sidebands "
            "beside them. Gears in good order have sidebands too, and a shaft without a gear has lines at the same places, so "
            "that they accuse nothing by themselves: compare them with the same machine in good order. Lines of a sun gear "
            "come where one of its teeth meets the planets; on a simulated gearbox only damaged ones had them."
        )
