"""Several processes, on one host or many, that train one network: how they start, agree and end.

JAX does the work (``jax.distributed``); without a call of ``start`` there is one process and everything here is trivial.
Process 0 alone reads checkpoints and writes files; what it found out reaches the others by ``from_first``.
"""

import socket
from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils


class JobError(RuntimeError):
    """The processes of a job did not find each other."""


def start(
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
            raise ValueError(f"the coordinator is HOST:PORT of process 0, got {coordinator!r}")
        if processes is None or process_id is None or not 0 <= process_id < processes:
            raise ValueError(
                "a coordinator goes with the number of processes and the number of this one, from 0: "
                f"got {processes} and {process_id}"
            )
        if process_id == 0:
            _require_free(int(port))
    elif processes is not None or process_id is not None:
        raise ValueError("the number of processes and of this one go with a coordinator, HOST:PORT of process 0")
    try:
        jax.distributed.initialize(coordinator, processes, process_id, heartbeat_timeout_seconds=heartbeat_seconds)
    except ValueError as error:
        raise JobError(f"no job was detected ({error}): name its coordinator, processes and process") from error
    except RuntimeError as error:
        raise JobError(str(error)) from error


def is_first() -> bool:
    """Whether this process writes the files."""
    return jax.process_index() == 0


def from_first(make: Callable[[], bytes]) -> bytes:
    """What ``make`` returns on process 0, on every process; it is called there alone.

    A ValueError or OSError of ``make`` is raised on process 0 and reaches the others as a ValueError. All processes must call
    this at the same point of their programs.
    """
    if jax.process_count() == 1:
        return make()
    failure, sent = None, b""
    if is_first():
        try:
            sent = b"+" + make()
        except (ValueError, OSError) as error:
            failure, sent = error, b"-" + str(error).encode()
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(sent))))
    data = np.frombuffer(sent, np.uint8) if is_first() else np.zeros(length, np.uint8)
    received = np.asarray(multihost_utils.broadcast_one_to_all(data), np.uint8).tobytes()
    if failure is not None:
        raise failure
    if received[:1] == b"-":
        raise ValueError(f"process 0 stopped: {received[1:].decode()}")
    return received[1:]


def from_all(content: bytes) -> list[bytes]:
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
