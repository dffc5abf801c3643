"""The folder of a run: its configuration, its machine and its results, in files that any program can read.

``config.json`` (the options) and ``environment.json`` (the machine and the versions) are written first. ``metrics.jsonl`` grows
by one line with every epoch. Tables (``results.csv``, ``timings.csv`` …) grow by whole rows and are never half-written.
Everything is written while a lock is held, so that two runs that are started at once cannot mix.
"""

import contextlib
import csv
import hashlib
import io
import json
import os
import platform
import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from drsn_jax.core.distributed import broadcast_from_main, gather_from_all, is_main_process
from drsn_jax.core.errors import UserError
from drsn_jax.core.files import exclusive, naming, sweep, write_atomically
from drsn_jax.core.runtime import versions
from drsn_jax.core.text import as_cell, from_cell
from drsn_jax.studies.cells import TEXT
from drsn_jax.studies.tables import Table, is_record, read_metrics, read_rows

METRICS = "metrics"  # the name of the records of ``metrics.jsonl`` among the tables
# options whose value is a hash, and what it means for people where it is another one
FINGERPRINTS = {
    "data": "other recordings (their samples differ)",
    "start": "another network to start from (its files differ)",
}
# a second run that only looks at the folder holds its lock for milliseconds; on a network disk for longer
PATIENCE_SECONDS = 2.0


class RunFolder:
    """The folder of a new run, or of a run that is continued.

    In a job of several processes each of them makes a ``RunFolder`` with the same configuration. The folder is that of process 0:
    only process 0 writes, and all processes get the rows that it reads.

    Args:
      path: the folder; it is made if it is missing.
      config: the options that decide the results, as JSON can hold them.
      tables: what the tables hold, by name, and the records of ``metrics.jsonl`` (``METRICS``). A table that is not among them
        may hold anything.
      places: options that say only where the data is. They are kept and not compared, so that data may be moved.

    Raises:
      ValueError: if the folder holds a run with another configuration (the message lists what differs), if it holds files but no
        run, if its tables were edited and cannot be read any more, and if the processes of a job have different configurations.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        config: Mapping[str, Any],
        *,
        tables: Mapping[str, Table] | None = None,
        places: Collection[str] = (),
    ) -> None:
        self.path, self._tables, self._places = Path(path), dict(tables or {}), frozenset(places)
        self._config = json.loads(json.dumps(config))
        first, *others = map(json.loads, gather_from_all(json.dumps(self._config).encode()))
        for number, other in enumerate(others, 1):
            if different := _difference(first, other, "in process 0", f"in process {number}", self._places):
                raise UserError(f"the processes of a job must be given the same options ({different})")
        broadcast_from_main(self._begin)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other runs out of the folder while the context lasts; raise ValueError if one is at work in it.

        The lock of a process ends with the process, even if that is killed. All processes of a job must call it.
        """
        with contextlib.ExitStack() as stack:

            def enter() -> bytes:
                if not stack.enter_context(exclusive(self.path / ".lock", PATIENCE_SECONDS)):
                    raise UserError(f"another run is at work in {self.path}: wait for its end, or choose another --out")
                self._settle()
                return b""

            broadcast_from_main(enter)
            yield

    def checkpoints_of(self, name: str, key: Any) -> Path:
        """Return the folder of the checkpoints of one training: people can read ``name`` in it, and no other ``key`` has it."""
        number = hashlib.sha256(repr(key).encode()).hexdigest()[:8]
        return self.path / "checkpoints" / f"{re.sub(r'[^A-Za-z0-9.+-]+', '_', name)}-{number}"

    def _begin(self) -> bytes:
        """Make the folder and its configuration, unless they are there."""
        self._refuse()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"the folder {self.path} cannot be made ({error.strerror}): choose another --out") from error
        environment = None if self._file.exists() else _json(_environment())
        # a run that is at work holds the lock until its end; one that has just begun writes its configuration at once
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            with exclusive(self.path / ".lock") as free:
                if free:
                    self._settle(environment)
                    return b""
            self._refuse()
            if self._file.exists():
                return b""  # ``alone`` will say that a run is at work
            if time.monotonic() > end:
                raise UserError(f"another run is at work in {self.path}: wait for its end, or choose another --out")
            time.sleep(0.01)

    @property
    def _file(self) -> Path:
        return self.path / "config.json"

    def _refuse(self) -> None:
        """Raise UserError for a folder of another run or of no run; writes nothing."""
        # looked at first: another run may make the configuration between the two looks
        foreign = self.path.exists() and not _is_new(self.path)
        if self._file.exists():
            found = read_config(self._file)
            if different := _difference(found, self._config, "there", "now", self._places):
                raise UserError(f"{self.path} holds a run with another configuration ({different}): choose another --out")
        elif foreign:
            raise UserError(f"{self.path} exists and is no run folder: choose another --out")

    def _settle(self, environment: str | None = None) -> None:
        """Write the configuration of a new run, or put the files of an interrupted one in order; the lock is held meanwhile."""
        self._refuse()
        if not self._file.exists():
            write_atomically(self.path / "environment.json", environment or _json(_environment()))
            # last, because its presence says that the folder is a run
            write_atomically(self._file, _json(self._config))
        for folder in (self.path, self.path / "model"):
            sweep(folder)
        # before hours of work, and before anything of them is written again
        for name, table in self._tables.items():
            if name != METRICS:
                read_rows(self.path / f"{name}.csv", table)
        read_metrics(self.path, self._tables.get(METRICS))
        _end_last_line(self.path / "metrics.jsonl")

    def log(self, record: Mapping[str, Any]) -> None:
        """Add one line to ``metrics.jsonl``, written out at once."""
        if not is_main_process():
            return
        path = self.path / "metrics.jsonl"
        with naming(path), open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def forget(self, trial: Mapping[str, Any], from_epoch: int = 1) -> None:
        """Remove the records of a trial from ``metrics.jsonl``, from an epoch on.

        A trial that was interrupted makes these epochs again. ``trial`` has the fields that identify it.
        """
        if not is_main_process():
            return
        records = read_metrics(self.path, self._tables.get(METRICS))
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
        new = {name: from_cell(value) if isinstance(value := rows[0][name], str) else value for name in key}
        file = self.path / f"{table}.csv"
        own = Table(dict.fromkeys(rows[0], TEXT)) if table not in self._tables else self._tables[table]
        present = read_rows(file, own, needed=list(rows[0]))
        kept = [row for row in present if not key or not all(_same(row[name], value) for name, value in new.items())]
        # a column of the user's own stays
        columns = list(dict.fromkeys([*rows[0], *(name for row in present[:1] for name in row)]))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows([*({name: as_cell(value) for name, value in row.items()} for row in kept), *rows])
        write_atomically(file, text.getvalue())

    def rows(self, table: str) -> list[dict[str, str]]:
        """Return the rows of ``<table>.csv`` so far, as text by column; all processes of a job must call it."""
        return json.loads(broadcast_from_main(lambda: json.dumps(self._read(table)).encode()))

    def _read(self, table: str) -> list[dict[str, str]]:
        return read_rows(self.path / f"{table}.csv", self._tables.get(table))


def read_config(file: Path) -> dict[str, Any]:
    """Return the content of ``config.json``; raise UserError for a file that holds no configuration."""
    try:
        config = json.loads(file.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise UserError(f"{file} is damaged ({error}): choose another --out") from error
    if not isinstance(config, dict):
        raise UserError(f"{file} holds no configuration: choose another --out")
    return config


def _is_new(path: Path) -> bool:
    """Return whether a folder is empty, apart from files that an interruption leaves before there is a configuration."""
    return path.is_dir() and all(file.name.startswith((".", "environment.json")) for file in path.iterdir())


def _end_last_line(file: Path) -> None:
    """Drop the last record if an interruption cut it off, so that the next one does not continue its line. A record that
    is whole, where an editor has taken the end of its line, gets that back."""
    text = file.read_bytes() if file.exists() else b""
    if text and not text.endswith(b"\n"):
        last = text.rfind(b"\n") + 1
        write_atomically(file, text + b"\n" if is_record(text[last:]) else text[:last])


def _difference(found: Mapping[str, Any], wanted: Mapping[str, Any], there: str, here: str, places: Collection[str]) -> str:
    missing = object()
    names = sorted({*found, *wanted} - set(places))
    different = [name for name in names if found.get(name, missing) != wanted.get(name, missing)]
    return "; ".join(_told(name, found.get(name), wanted.get(name), there, here) for name in different)


def _told(name: str, found: Any, wanted: Any, there: str, here: str) -> str:
    """Return how one option differs; a fingerprint says nothing to people but that something is another one."""
    if name in FINGERPRINTS and isinstance(found, str) and isinstance(wanted, str):
        return FINGERPRINTS[name]
    shown = ["a fingerprint" if name in FINGERPRINTS and isinstance(value, str) else repr(value) for value in (found, wanted)]
    return f"{name}: {shown[0]} {there}, {shown[1]} {here}"


def _same(cell: str, value: Any) -> bool:
    """Return whether a cell holds a value: numbers are compared as numbers, because a spreadsheet writes 0.0 as 0."""
    if cell == str(value) or isinstance(value, str):
        return cell == str(value)
    try:
        return float(cell) == value
    except ValueError:
        return False


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
