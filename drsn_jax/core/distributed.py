"""The same step on several devices: ``pmap`` over shards of the batch, with equal copies of the state on all devices.

With several processes (``initialize``) the map spans the devices of all processes. Each process holds copies of the state on its
own devices and feeds them their shards of the batch. Collectives inside the step keep the copies equal. Process 0 alone reads
checkpoints and writes files; the other processes learn its results by ``broadcast_from_main``. Without ``initialize`` there is
one process and nothing to exchange. JAX does the work (``jax.pmap``, ``jax.distributed``); no other module calls these two.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from drsn_jax.core.errors import UserError
from drsn_jax.core.meeting import JobError, meet

AXIS_NAME = "devices"
Device = Any  # jax.Device, which type checkers do not take for a type


def choose_devices(count: int | None = None) -> list[Device]:
    """Return the first ``count`` local devices, or all of them without a count; raise ValueError if there are fewer."""
    devices = jax.local_devices()
    if count is None:
        return devices
    if not 1 <= count <= len(devices):
        raise UserError(
            f"{count} devices were asked for and {len(devices)} of kind {devices[0].platform!r} are there; on a CPU set "
            "JAX_NUM_CPU_DEVICES before the start"
        )
    return devices[:count]


def shares(devices: Sequence[Device]) -> tuple[int, list[int]]:
    """Return into how many shards a batch is cut, and the numbers of the shards that belong to this process.

    ``devices`` are devices of this process. In a job of several processes they must be all that it has; ValueError otherwise.
    """
    if jax.process_count() == 1:
        return len(devices), list(range(len(devices)))
    if len(devices) != jax.local_device_count():
        raise UserError(
            f"{len(devices)} of {jax.local_device_count()} devices were chosen: with several processes each uses all it has"
        )
    mine = [i for i, device in enumerate(jax.devices()) if device.process_index == jax.process_index()]
    return jax.device_count(), mine


def pmap_step(
    step: Callable[..., Any], devices: Sequence[Device], *, donate: bool = True, arguments: int = 0
) -> Callable[..., Any]:
    """Map ``step``, ``(state, batch, ...) -> (state, metrics)``, over ``devices``; it was made with ``axis_name=AXIS_NAME``.

    The state goes in and comes out without a device axis: place it once with ``replicate``. The batch has a device axis in front:
    cut it with ``shard``. After the batch ``arguments`` further arguments may follow, the same on all devices. With ``donate``
    the state that is handed in is used up, as in training. With several processes ``devices`` are those of this process, and the
    map is over the devices of all processes.
    """
    return jax.pmap(
        step,
        axis_name=AXIS_NAME,
        in_axes=(None, 0, *(None,) * arguments),
        out_axes=(None, None),
        devices=list(devices) if jax.process_count() == 1 else None,
        donate_argnums=(0,) if donate else (),
    )


def pmap_evaluate(step: Callable[..., Any], devices: Sequence[Device]) -> Callable[[Any, Any], Any]:
    """Map an evaluation ``(variables, batch) -> metrics`` over ``devices``; it was made with ``axis_name=AXIS_NAME``.

    Place the variables with ``replicate`` and cut the batch with ``shard``. With several processes the map is over the devices of
    all processes.
    """
    local = list(devices) if jax.process_count() == 1 else None
    return jax.pmap(step, axis_name=AXIS_NAME, in_axes=(None, 0), out_axes=None, devices=local)


def pmap_parts(step: Callable[..., Any], devices: Sequence[Device], in_axes: Sequence[int | None], **options: Any) -> Any:
    """Map a function over ``devices`` where the devices exchange nothing: members of an ensemble, cells of a grid.

    ``in_axes`` has an entry for each argument: 0 if the argument has an axis of devices in front, None if all devices share it.
    """
    return jax.pmap(step, AXIS_NAME, in_axes=tuple(in_axes), devices=list(devices), **options)


def pmap_predict(step: Callable[[Any, Any], jax.Array], devices: Sequence[Device]) -> Callable[[Any, Any], np.ndarray]:
    """Map ``(variables, windows) -> logits`` over ``devices``, with variables placed by ``replicate``; errors as ``shard``."""
    mapped = jax.pmap(step, axis_name=AXIS_NAME, in_axes=(None, 0), devices=list(devices))

    def predict(variables: Any, windows: Any) -> np.ndarray:
        # brought together on the host: JAX would compile a program for every shape to do it
        logits = np.asarray(mapped(variables, shard({"windows": windows}, len(devices))["windows"]))
        return logits.reshape(-1, logits.shape[-1])

    return predict


def replicate(tree: Any, devices: Sequence[Device]) -> Any:
    """Copy the arrays of ``tree`` to every device, placed as ``pmap_step`` leaves them. Placed in another way, they would make
    the step compile twice."""
    # copied also on the device where the array lies already: a step that donates its state would use up the original
    tree = jax.tree.map(_copied, tree)
    mesh = Mesh(np.asarray(devices), (AXIS_NAME,))
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()), may_alias=False)


def _copied(leaf: Any) -> Any:
    """Return a copy of an array of JAX, and anything else as it is."""
    if not isinstance(leaf, jax.Array):
        return leaf
    plain = isinstance(leaf.dtype, np.dtype) and not leaf.weak_type  # and no random key
    plain = plain and jax.dtypes.canonicalize_dtype(leaf.dtype) == leaf.dtype  # nor made under ``enable_x64``, which is left
    if plain and leaf.is_fully_addressable and all(device.platform == "cpu" for device in leaf.devices()):
        return np.array(leaf)  # JAX itself would compile a program for every shape
    return leaf.copy()


def check_even(batch_size: int, count: int) -> None:
    """Raise ValueError unless ``count`` devices can share a batch evenly."""
    if batch_size % count:
        raise UserError(
            f"a batch of {batch_size} cannot be spread evenly over {count} devices: choose a batch size that is a "
            f"multiple of {count}"
        )


def shard(batch: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Cut a batch into ``(count, batch / count, ...)``: example i of the batch goes to device ``i // (batch / count)``.

    Raises ValueError if ``count`` does not divide the batch, because on a device with one example more each example would weigh
    less in the batch statistics. In evaluation pad the batch with examples of weight 0, as ``prediction.evaluate`` does.
    """

    def split(array: Any) -> Any:
        check_even(len(array), count)
        return array.reshape(count, len(array) // count, *array.shape[1:])

    return {name: split(array) for name, array in batch.items()}


def place_on(devices: Sequence[Device]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Return the ``place`` argument of ``prediction.evaluate`` for several devices. It cuts the batch, which every process holds
    whole, into shards and keeps those of this process."""
    count, mine = shares(devices)
    if count == len(mine):
        return lambda batch: shard(batch, count)
    return lambda batch: {name: array[mine] for name, array in shard(batch, count).items()}


def initialize(
    coordinator: str | None = None,
    processes: int | None = None,
    process_id: int | None = None,
    *,
    heartbeat_seconds: int = 100,
    join_seconds: float = 120.0,
) -> None:
    """Join the job; call it before anything else touches a device.

    Args:
      coordinator: ``HOST:PORT`` of process 0, which listens there; with None JAX detects this and the next two by itself (under
        SLURM, Open MPI, Kubernetes, Cloud TPU).
      processes: the number of processes in the job.
      process_id: the number of this process, from 0.
      heartbeat_seconds: the time after which the other processes end if one of them gives no sign of life.
      join_seconds: how long the processes wait for each other here.

    Raises:
      ValueError: for arguments that do not fit together.
      JobError: if the job is not detected, the port is taken, JAX has touched a device already, or the processes that a
        coordinator is named for do not find each other in time (see ``meeting``). Where JAX detects the job and the others do
        not come, JAX itself ends this process.
    """
    if coordinator is not None:
        host, _, port = coordinator.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise UserError(f"the coordinator is HOST:PORT of process 0, got {coordinator!r}")
        if processes is None or process_id is None or not 0 <= process_id < processes:
            raise UserError(
                "a coordinator goes with the number of processes and the number of this one, from 0: "
                f"got {processes} and {process_id}"
            )
        meet(host, int(port), processes, process_id, join_seconds)
    elif processes is not None or process_id is not None:
        raise UserError("the number of processes and of this one go with a coordinator, HOST:PORT of process 0")
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process_id,
            heartbeat_timeout_seconds=heartbeat_seconds,
            initialization_timeout=max(1, math.ceil(join_seconds)),
        )
    except ValueError as error:
        raise JobError(f"no job was detected ({error}): name its coordinator, processes and process") from error
    except RuntimeError as error:
        raise JobError(str(error)) from error


def is_main_process() -> bool:
    """Return whether this process is process 0, which alone writes files."""
    return jax.process_index() == 0


def broadcast_from_main(make: Callable[[], bytes]) -> bytes:
    """Call ``make`` on process 0 alone and return its result on every process.

    If ``make`` raises ValueError or OSError, that is raised on process 0, and a UserError on the other processes. All processes
    must call this function at the same point of their programs.
    """
    if jax.process_count() == 1:
        return make()
    failure, sent = None, b""
    if is_main_process():
        try:
            sent = b"+" + make()
        except (ValueError, OSError) as error:
            failure, sent = error, b"-" + str(error).encode()
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(sent))))
    data = np.frombuffer(sent, np.uint8) if is_main_process() else np.zeros(length, np.uint8)
    received = np.asarray(multihost_utils.broadcast_one_to_all(data), np.uint8).tobytes()
    if failure is not None:
        raise failure
    if received[:1] == b"-":
        raise UserError(f"process 0 stopped: {received[1:].decode()}")
    return received[1:]


def gather_from_all(content: bytes) -> list[bytes]:
    """Return on every process the ``content`` that each process handed in, in the order of the processes. All processes must call
    this function at the same point of their programs."""
    if jax.process_count() == 1:
        return [content]
    lengths = np.asarray(multihost_utils.process_allgather(np.int32(len(content))))
    data = np.zeros(int(lengths.max()), np.uint8)
    data[: len(content)] = np.frombuffer(content, np.uint8)
    rows = np.asarray(multihost_utils.process_allgather(data))
    return [row[:length].tobytes() for row, length in zip(rows, lengths, strict=True)]
