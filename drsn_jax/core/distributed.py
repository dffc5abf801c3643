"""The same step on several devices: ``pmap`` over shards of the batch, the state one and the same on all of them.

With several processes (``initialize``) the map spans the devices of all of them. Each process holds its own copies of the state,
on its own devices, and feeds them their shards; collectives inside the step keep the copies equal. Process 0 alone reads
checkpoints and writes files; what it found out reaches the others by ``broadcast_from_main``. Without ``initialize`` there is one
process and all of that is trivial. JAX does the work (``jax.pmap``, ``jax.distributed``); this is the only module that calls it.
"""

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from drsn_jax.core.errors import UserError

AXIS_NAME = "devices"
Device = Any  # jax.Device, which type checkers do not take for a type


def choose_devices(count: int | None = None) -> list[Device]:
    """The first ``count`` local devices, or all; ValueError where there are fewer."""
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
    """Into how many shards a batch is cut, and which of them are those of this process.

    ``devices`` are those of this process; ValueError where it has more of them and is not alone.
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
    """``step``, made with ``axis_name=AXIS_NAME``, over ``devices``; ``arguments`` more may follow the batch, the same on all.

    The state goes in and comes out without a device axis: place it once with ``replicate``. The batch has one: ``shard``.
    With ``donate`` the state given is used up (training); evaluation keeps it. With several processes ``devices`` are those
    of this one, and the map is over those of all.
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
    """Map an evaluation ``(variables, batch) -> metrics``, made with ``axis_name=AXIS_NAME``, over ``devices``, or over those of
    all processes. The variables are placed by ``replicate``, the batch is cut by ``shard``."""
    chosen = list(devices) if jax.process_count() == 1 else None
    return jax.pmap(step, axis_name=AXIS_NAME, in_axes=(None, 0), out_axes=None, devices=chosen)


def pmap_parts(step: Callable[..., Any], devices: Sequence[Device], in_axes: Sequence[int | None], **options: Any) -> Any:
    """Map a function whose parts need nothing of each other over ``devices``: the members of an ensemble, the cells of a grid.
    ``in_axes`` is 0 for an argument with an axis of devices in front, None for one that all share."""
    return jax.pmap(step, AXIS_NAME, in_axes=tuple(in_axes), devices=list(devices), **options)


def pmap_predict(step: Callable[[Any, Any], jax.Array], devices: Sequence[Device]) -> Callable[[Any, Any], jax.Array]:
    """Map ``(variables, windows) -> logits`` over ``devices``, the variables placed by ``replicate``; ValueError as ``shard``."""
    mapped = jax.pmap(step, axis_name=AXIS_NAME, in_axes=(None, 0), devices=list(devices))

    def predict(variables: Any, windows: Any) -> jax.Array:
        logits = mapped(variables, shard({"windows": windows}, len(devices))["windows"])
        return logits.reshape(-1, logits.shape[-1])

    return predict


def replicate(tree: Any, devices: Sequence[Device]) -> Any:
    """Copies of the arrays of ``tree`` on every device, placed as ``pmap_step`` leaves them: placed otherwise, it compiles
    twice."""
    # copies also where the array is already, or the donating step would use up the original
    tree = jax.tree.map(lambda leaf: leaf.copy() if isinstance(leaf, jax.Array) else leaf, tree)
    mesh = Mesh(np.asarray(devices), (AXIS_NAME,))
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()), may_alias=False)


def shard(batch: Mapping[str, Any], count: int) -> dict[str, Any]:
    """A batch as ``(count, batch / count, ...)``, example i of the batch on device ``i // (batch / count)``.

    Raises ValueError where ``count`` does not divide the batch: an example more on one device would weigh differently in
    the batch statistics. In evaluation pad with weight 0, as ``prediction.evaluate`` does.
    """

    def split(array: Any) -> Any:
        if len(array) % count:
            raise UserError(
                f"a batch of {len(array)} cannot be spread evenly over {count} devices: choose a batch size that is a "
                f"multiple of {count}"
            )
        return array.reshape(count, len(array) // count, *array.shape[1:])

    return {name: split(array) for name, array in batch.items()}


def place_on(devices: Sequence[Device]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """What ``evaluate`` does with a batch before a ``pmap_step`` over ``devices``: of the whole batch, which every process
    gives, each keeps its own shards."""
    count, mine = shares(devices)
    if count == len(mine):
        return lambda batch: shard(batch, count)
    return lambda batch: {name: array[mine] for name, array in shard(batch, count).items()}


class JobError(UserError):
    """The processes of a job did not find each other."""


def initialize(
    coordinator: str | None = None,
    processes: int | None = None,
    process_id: int | None = None,
    *,
    heartbeat_seconds: int = 100,
) -> None:
    """Join the job; call it before anything else touches a device.

    Args:
      coordinator: ``HOST:PORT`` of process 0, which listens there; None leaves all three to what JAX detects (SLURM, Open MPI,
        Kubernetes, Cloud TPU).
      processes: how many there are.
      process_id: which one this is, from 0.
      heartbeat_seconds: after so long without a sign of life of one process the others end.

    Raises:
      ValueError: for arguments that do not fit together.
      JobError: where the job is not detected, the port is taken, or JAX has a device already. Where the others do not come within
        five minutes, JAX itself ends the process.
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
        if process_id == 0:
            _require_free(int(port))
    elif processes is not None or process_id is not None:
        raise UserError("the number of processes and of this one go with a coordinator, HOST:PORT of process 0")
    try:
        jax.distributed.initialize(coordinator, processes, process_id, heartbeat_timeout_seconds=heartbeat_seconds)
    except ValueError as error:
        raise JobError(f"no job was detected ({error}): name its coordinator, processes and process") from error
    except RuntimeError as error:
        raise JobError(str(error)) from error


def is_main_process() -> bool:
    """Whether this process writes the files."""
    return jax.process_index() == 0


def broadcast_from_main(make: Callable[[], bytes]) -> bytes:
    """What ``make`` returns on process 0, on every process; it is called there alone.

    A ValueError or OSError of ``make`` is raised on process 0 and reaches the others as a UserError. All processes must call
    this at the same point of their programs.
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
    """What each process gives, in their order, on every process; all must call it at the same point of their programs."""
    if jax.process_count() == 1:
        return [content]
    lengths = np.asarray(multihost_utils.process_allgather(np.int32(len(content))))
    data = np.zeros(int(lengths.max()), np.uint8)
    data[: len(content)] = np.frombuffer(content, np.uint8)
    rows = np.asarray(multihost_utils.process_allgather(data))
    return [row[:length].tobytes() for row, length in zip(rows, lengths, strict=True)]


def _require_free(port: int) -> None:
    """JobError if a port is taken: JAX would crash."""
    family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise JobError(f"process 0 cannot listen on port {port} ({error.strerror}): choose another") from error
