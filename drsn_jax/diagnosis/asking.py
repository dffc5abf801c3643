"""What a user means who names a model and files: a run in place of its model, a folder in place of its files, either order."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from drsn_jax.core.errors import UserError
from drsn_jax.data.formats.content import holds_no_signal
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.description import DESCRIPTION


def model_in(path: Path) -> Path | None:
    """Return the folder of the model that a path means: the folder itself, the ``model`` of a run, or that of a file in it."""
    if path.name == DESCRIPTION and path.is_file():
        return path.parent
    return next((folder for folder in (path, path / "model") if (folder / DESCRIPTION).is_file()), None)


def understood(model: Path, files: Sequence[str]) -> tuple[Path, list[str]]:
    """Return the folder of the model and the files that are meant.

    The model may be named by its run, and may stand behind a file. A folder means all files in it and below it, in the order of
    their paths, but for hidden ones and those whose names say that they hold no signal. Raises UserError for a folder without
    files. A model that is not there is returned as it was named.
    """
    named = [str(model), *files]
    found = model_in(model)
    if found is None:
        others = [number for number, file in enumerate(files, 1) if file != "-" and model_in(Path(file)) is not None]
        if len(others) == 1:
            found = model_in(Path(named.pop(others[0])))
            named = [named[0], *named]
    return found or model, [each for file in named[1:] for each in _files(file)]


def _files(named: str) -> Iterator[str]:
    """Yield a file, or the files of a folder."""
    folder = Path(named)
    if named == "-" or not folder.is_dir():
        yield named
        return
    inside = [path for path in sorted(folder.rglob("*")) if path.is_file() and not holds_no_signal(path)]
    inside = [path for path in inside if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    if not inside:
        raise UserError(f"the folder {folder} holds no recordings: name files, or a folder of files")
    yield from map(str, inside)


class TrainedSource(NamedTuple):
    """What was taken for a training: the name of a channel, and the names of the recordings that it was taken from."""

    channel: str
    files: tuple[str, ...]


def trained_sources(model: Bundle) -> list[TrainedSource]:
    """Return what a model was trained on, as far as its facts about the training tell; nothing of them is relied on."""
    entries = model.training.get("recordings")
    found = [entry for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, Sequence) else []
    return [
        TrainedSource(entry["channel"], tuple(file for file in entry["files"] if isinstance(file, str)))
        for entry in found
        if isinstance(entry.get("channel"), str) and isinstance(entry.get("files"), Sequence)
    ]
