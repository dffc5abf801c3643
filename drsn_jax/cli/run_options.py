"""The options that every experiment script has, the setting up of its process, and the parsing of the command line."""

import argparse
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import jax

from drsn_jax.cli import checks, commands
from drsn_jax.cli.console import say
from drsn_jax.core import distributed, runtime
from drsn_jax.core.errors import UserError

Options = TypeVar("Options")
Run = TypeVar("Run", bound="RunOptions")


@dataclass(frozen=True)
class RunOptions:
    """How a script runs, the same for all of them: on which devices and processes, into which folder."""

    devices: int | None = None
    """Spread every batch over so many devices of this process; a CPU shows its cores as devices then."""
    coordinator: str | None = None
    """HOST:PORT of process 0, to train with several processes; start the same command on each."""
    processes: int | None = None
    """How many processes there are."""
    process_id: int | None = None
    """Which one this is, from 0."""
    distributed: bool = False
    """Train with the processes of a job under SLURM, Open MPI, Kubernetes or on a Cloud TPU, which are detected."""
    heartbeat_seconds: int = 100
    """A process that gives no sign of life for so long ends the job."""
    join_seconds: float = 120.0
    """So long the processes of a job wait for each other at the start."""
    checkpoint_seconds: float = 30.0
    """How much work of a training an interruption may cost."""
    deterministic: bool = False
    """Only operations whose results repeat bit by bit, on a GPU too; slower there."""
    out: Path | None = None
    """Folder of the run; by default runs/<script>-<UTC time>."""
    dry_run: bool = False
    """Run every part of it in seconds, with tiny networks, windows and epochs: the numbers mean nothing."""
    plain_runtime: bool = False
    """Leave memory settings and compilation cache of the process as they are."""


# options that change how a run is executed but not its results; ``config`` leaves them out
EXECUTION_OPTIONS = (
    "coordinator",
    "processes",
    "process_id",
    "distributed",
    "heartbeat_seconds",
    "join_seconds",
    "checkpoint_seconds",
    "out",
    "plain_runtime",
)


def prepare(options: RunOptions) -> None:
    """Check the options, set up the process and join the other processes of its job.

    Call it before anything else touches JAX. Raises UserError for options that cannot be run, and where the job does not start.
    """
    checks.at_least(options, 1, "heartbeat_seconds", "devices")
    checks.at_least(options, 0, "checkpoint_seconds")
    checks.positive(options, "join_seconds", unit="seconds")
    if options.deterministic and options.plain_runtime:
        raise UserError("--deterministic changes the process, which --plain-runtime leaves as it is: choose one")
    if not options.plain_runtime:
        runtime.prepare(devices=options.devices, dry_run=options.dry_run, deterministic=options.deterministic)
    named = (options.coordinator, options.processes, options.process_id)
    if options.distributed or any(value is not None for value in named):
        distributed.initialize(*named, heartbeat_seconds=options.heartbeat_seconds, join_seconds=options.join_seconds)
    runtime.require_platform()


def advise(options: RunOptions) -> None:
    """Print a line before a long run if a library that is installed on this machine would make training on its CPU faster."""
    if options.plain_runtime or options.dry_run or jax.local_devices()[0].platform != "cpu":
        return
    if (library := runtime.spare_tcmalloc()) is not None:
        say(f"LD_PRELOAD={library} in front of this command makes training steps up to {runtime.TCMALLOC_GAIN:g} times as fast")


def shards(options: RunOptions) -> int:
    """Return over how many devices, of all processes, a batch is spread; call ``prepare`` before."""
    return jax.device_count() if jax.process_count() > 1 else options.devices or 1


def config(options: RunOptions) -> dict[str, Any]:
    """Return the options that determine the results, as ``RunFolder`` stores and compares them.

    Instead of ``--devices`` the number of devices of all processes is kept, because it changes the order of summation and so the
    rounding.
    """
    chosen = {name: value for name, value in dataclasses.asdict(options).items() if name not in EXECUTION_OPTIONS}
    chosen["devices"] = shards(options)
    if chosen.get("revolutions", 0) is None:  # then these decide nothing, and runs of earlier versions go on
        for name in ("revolutions", "samples_per_revolution", "speed_rpm"):
            chosen.pop(name, None)
    return {name: _plain(value) for name, value in chosen.items()}


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it: paths and infinity as text, tuples as lists."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) or (isinstance(value, float) and math.isinf(value)) else value


def parse(
    options: type[Options],
    description: str | None,
    presets: Mapping[str, Options] | None = None,
    arguments: Sequence[str] | None = None,
) -> Options:
    """Parse the command line, or ``arguments``, into options.

    Where there are presets, ``--preset NAME`` chooses the defaults, which the other options then change. ``description`` is the
    text of ``--help``. Needs tyro (extra ``experiments``). Ends the process with code 2 and a message where an option is wrong.
    """
    import tyro

    prog, description = commands.program(), commands.as_typed(description or "")
    if presets is None:
        return tyro.cli(options, args=arguments, description=description, prog=prog)
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", default=next(iter(presets)))
    name = first.parse_known_args(arguments)[0].preset
    # an unknown name is left to the full parser, which says what there is
    default = presets.get(name, next(iter(presets.values())))
    return tyro.cli(options, args=arguments, default=default, description=description, prog=prog)


def begin(options: Run, check: Callable[[Run], None], shorten: Callable[[Run], Run]) -> Run:
    """Check the options of a script and ``prepare`` its process; return the options, in a dry run those of ``shorten``.

    ``check`` raises UserError for options that cannot be run. ``shorten`` is called in the prepared process, because it may ask
    for the devices.
    """
    check(options)
    prepare(options)
    return shorten(options) if options.dry_run else options
