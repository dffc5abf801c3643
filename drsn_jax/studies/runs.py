"""The folder of a run: its configuration, its machine and its results, in files that any program can read.

``config.json`` (the options) and ``environment.json`` (the machine and the versions) are written first. ``metrics.jsonl`` grows
by one line with every epoch. Tables (``results.csv``, ``timings.csv`` …) grow by whole rows and are never half-written.
"""

import contextlib
import csv
import hashlib
import io
import json
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from drsn_jax.core.distributed import broadcast_from_main, gather_from_all, is_main_process
from drsn_jax.core.errors import UserError
from drsn_jax.core.files import exclusive, write_atomically
from drsn_jax.core.runtime import versions
from drsn_jax.core.text import as_cell, from_cell


class RunFolder:
    """The folder of a new run, or of a run that is continued.

    In a job of several processes each of them makes a ``RunFolder`` with the same configuration. The folder is that of process 0:
    only process 0 writes, and all processes get the rows that it reads.

    Args:
      path: the folder; it is made if it is missing.
      config: the options that decide the results, as JSON can hold them.

    Raises:
      ValueError: if the folder holds a run with another configuration (the message lists what differs), if it holds files but no
        run, and if the processes of a job have different configurations.
    """

    def __init__(self, path: str | os.PathLike[str], config: Mapping[str, Any]) -> None:
        self.path = Path(path)
        wanted = json.loads(json.dumps(config))

        def begin() -> bytes:
            self._begin(wanted)
            return b""

        first, *others = map(json.loads, gather_from_all(json.dumps(wanted).encode()))
        for number, other in enumerate(others, 1):
            if different := _difference(first, other, "in process 0", f"in process {number}"):
                raise UserError(f"the processes of a job must be given the same options ({different})")
        broadcast_from_main(begin)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other runs out of the folder while the context lasts; raise ValueError if one is at work in it.

        The lock of a process ends with the process, even if that is killed.
        """
        with contextlib.ExitStack() as stack:
            if is_main_process() and not stack.enter_context(exclusive(self.path / ".lock")):
                raise UserError(f"another run is at work in {self.path}: wait for its end, or choose another --out")
            yield

    def checkpoints_of(self, name: str, key: Any) -> Path:
        """Return the folder of the checkpoints of one training: people can read ``name`` in it, and no other ``key`` has it."""
        number = hashlib.sha256(repr(key).encode()).hexdigest()[:8]
        return self.path / "checkpoints" / f"{re.sub(r'[^A-Za-z0-9.+-]+', '_', name)}-{number}"

    def _begin(self, wanted: Mapping[str, Any]) -> None:
        file = self.path / "config.json"
        if file.exists():
            _refuse_difference(self.path, _read_config(file), wanted)
            self._drop_cut_line()
        elif self.path.exists() and not _is_new(self.path):
            raise UserError(f"{self.path} exists and is no run folder: choose another --out")
        else:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UserError(f"the folder {self.path} cannot be made ({error.strerror}): choose another --out") from error
            write_atomically(self.path / "environment.json", _json(_environment()))
            # last, because its presence says that the folder is a run
            write_atomically(file, _json(wanted))

    def _drop_cut_line(self) -> None:
        """Drop the last record if an interruption cut it off, so that the next one does not continue its line."""
        file = self.path / "metrics.jsonl"
        text = file.read_bytes() if file.exists() else b""
        if text and not text.endswith(b"\n"):
            write_atomically(file, text[: text.rfind(b"\n") + 1])

    def log(self, record: Mapping[str, Any]) -> None:
        """Add one line to ``metrics.jsonl``, written out at once."""
        if not is_main_process():
            return
        with open(self.path / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def forget(self, trial: Mapping[str, Any], from_epoch: int = 1) -> None:
        """Remove the records of a trial from ``metrics.jsonl``, from an epoch on.

        A trial that was interrupted makes these epochs again. ``trial`` has the fields that identify it.
        """
        if not is_main_process():
            return
        records = read_metrics(self.path)
        kept = [r for r in records if any(r.get(name) != value for name, value in trial.items()) or r["epoch"] < from_epoch]
        if len(kept) < len(records):
            write_atomically(self.path / "metrics.jsonl", "".join(json.dumps(record) + "\n" for record in kept))

    def add_rows(self, table: str, rows: Sequence[Mapping[str, Any]], key: Sequence[str] = ()) -> None:
        """Add rows, all with the same columns, to ``<table>.csv``.

        Rows in the table that agree with the first new row in the columns ``key`` are removed: an interrupted trial left them.
        """
        if not is_main_process():
            return
        rows = [{name: as_cell(value) for name, value in row.items()} for row in rows]
        new = {name: from_cell(str(rows[0][name])) for name in key}
        present = read_rows(self.path / f"{table}.csv")
        kept = [row for row in present if not key or any(row[name] != value for name, value in new.items())]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows([*({name: as_cell(value) for name, value in row.items()} for row in kept), *rows])
        write_atomically(self.path / f"{table}.csv", text.getvalue())

    def rows(self, table: str) -> list[dict[str, str]]:
        """Return the rows of ``<table>.csv`` so far, as text by column; all processes of a job must call it."""
        return json.loads(broadcast_from_main(lambda: json.dumps(read_rows(self.path / f"{table}.csv")).encode()))


def read_rows(file: str | os.PathLike[str]) -> list[dict[str, str]]:
    """Return the rows of a CSV file, as text by column; no rows if the file is missing."""
    if not Path(file).exists():
        return []
    with open(file, newline="", encoding="utf-8") as opened:
        return [{name: from_cell(value) for name, value in row.items()} for row in csv.DictReader(opened)]


def read_metrics(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the records of ``metrics.jsonl``, without a last one that an interruption cut off.

    Raises UserError if another line is damaged.
    """
    file = Path(folder) / "metrics.jsonl"
    lines = file.read_text(encoding="utf-8").split("\n") if file.exists() else []
    try:
        return [json.loads(line) for line in lines[:-1] if line]
    except ValueError as error:
        raise UserError(f"{file} is damaged ({error}): take out the line that is no JSON, or choose another --out") from error


def _read_config(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is damaged ({error}): choose another --out") from error
    if not isinstance(config, dict):
        raise UserError(f"{file} holds no configuration: choose another --out")
    return config


def _is_new(path: Path) -> bool:
    """Return whether a folder is empty, apart from files that an interruption leaves before there is a configuration."""
    return path.is_dir() and all(file.name.startswith((".", "environment.json")) for file in path.iterdir())


def _refuse_difference(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    if different := _difference(found, wanted, "there", "now"):
        raise UserError(f"{path} holds a run with another configuration ({different}): choose another --out")


def _difference(found: Mapping[str, Any], wanted: Mapping[str, Any], there: str, here: str) -> str:
    missing = object()
    different = [name for name in sorted({*found, *wanted}) if found.get(name, missing) != wanted.get(name, missing)]
    return "; ".join(f"{name}: {found.get(name)!r} {there}, {wanted.get(name)!r} {here}" for name in different)


def _environment() -> dict[str, Any]:
    devices = jax.devices()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "devices": [f"{device.platform}:{device.device_kind}" for device in devices],
        "packages": versions(),
    }


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def unique(rows: Sequence[dict[str, str]], column: str) -> list[str]:
    """Return the different values of a column in the order of their first appearance."""
    return list(dict.fromkeys(row[column] for row in rows))
