"""What every experiment script needs around its work: options, a preset, progress, errors in one sentence."""

import argparse
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import jax

from drsn_jax.cli.console import say
from drsn_jax.core import distributed, runtime

Options = TypeVar("Options")


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


# how it is run, and not what
HOW = ("coordinator", "processes", "process_id", "distributed", "heartbeat_seconds", "checkpoint_seconds", "out", "plain_runtime")


def prepare(options: RunOptions) -> None:
    """Check the options, set up the process and join the others of its job; call it before anything else touches JAX."""
    if options.heartbeat_seconds < 1:
        raise ValueError(f"--heartbeat-seconds must be at least 1, got {options.heartbeat_seconds}")
    if not options.checkpoint_seconds >= 0:
        raise ValueError(f"--checkpoint-seconds must not be negative, got {options.checkpoint_seconds}")
    if options.devices is not None and options.devices < 1:
        raise ValueError(f"--devices must be at least 1, got {options.devices}")
    if options.deterministic and options.plain_runtime:
        raise ValueError("--deterministic changes the process, which --plain-runtime leaves as it is: choose one")
    if not options.plain_runtime:
        runtime.prepare(devices=options.devices, dry_run=options.dry_run, deterministic=options.deterministic)
    named = (options.coordinator, options.processes, options.process_id)
    if options.distributed or any(value is not None for value in named):
        distributed.initialize(*named, heartbeat_seconds=options.heartbeat_seconds)


def advise(options: RunOptions) -> None:
    """A line for who is about to wait, where this machine could train faster on its CPU as it is."""
    if options.plain_runtime or options.dry_run or jax.local_devices()[0].platform != "cpu":
        return
    if (library := runtime.spare_tcmalloc()) is not None:
        say(f"LD_PRELOAD={library} in front of this command makes training steps up to {runtime.TCMALLOC_GAIN:g} times as fast")


def shards(options: RunOptions) -> int:
    """Over how many devices of all processes a batch is spread; after ``prepare``."""
    return jax.device_count() if jax.process_count() > 1 else options.devices or 1


def config(options: RunOptions) -> dict[str, Any]:
    """What decides the results, for ``RunFolder``: all options but ``HOW``; of the devices their number over all processes, for
    sums are rounded in another order."""
    chosen = {name: value for name, value in dataclasses.asdict(options).items() if name not in HOW}
    chosen["devices"] = shards(options)
    return {name: _plain(value) for name, value in chosen.items()}


def _plain(value: Any) -> Any:
    """As JSON can hold it, which has neither paths nor infinity."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) or (isinstance(value, float) and math.isinf(value)) else value


def parse(
    options: type[Options],
    description: str | None,
    presets: Mapping[str, Options] | None = None,
    arguments: Sequence[str] | None = None,
) -> Options:
    """Options from the command line; where there are presets, ``--preset NAME`` sets the defaults that the others then change.

    Needs tyro (extra ``experiments``). Leaves with code 2 and a message where an option is wrong.
    """
    import tyro

    if presets is None:
        return tyro.cli(options, args=arguments, description=description)
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", default=next(iter(presets)))
    name = first.parse_known_args(arguments)[0].preset
    # an unknown name is left to the full parser, which says what there is
    default = presets.get(name, next(iter(presets.values())))
    return tyro.cli(options, args=arguments, default=default, description=description)
