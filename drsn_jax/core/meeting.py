"""The roll call of a job of several processes: all of them meet at process 0 before JAX joins them.

Where a process does not come, JAX waits for minutes and then ends all processes with an abort of its own. Here the processes find
that out by themselves, within a time that is chosen, and each says in a sentence what is wrong: nobody listens, a process is
missing, was started twice, or was given another number of processes. Process 0 listens on the port of the coordinator, which JAX
uses afterwards. Every process, 0 too, connects to it, names itself in a line, and is answered ``wait`` at once, later ``go``, or
``no`` and the reason.
"""

import contextlib
import os
import re
import selectors
import socket
import time
from collections.abc import Iterator

from drsn_jax.core.errors import UserError

_GREETING = re.compile(rb"drsn-jax process (\d{1,9}) of (\d{1,9})\n")
_LONGEST = 4096  # bytes of a line
_PAUSE_SECONDS = 0.1  # from one attempt to connect to the next
_GRACE_SECONDS = 1.0  # so much longer than its own time a process that was heard waits for process 0 to say who is missing


class JobError(UserError):
    """The processes of a job did not find each other."""


def meet(host: str, port: int, processes: int, process_id: int, seconds: float) -> None:
    """Return when all processes of a job have called this function, each with its own number ``process_id``.

    ``host`` and ``port`` are those of process 0. Raises JobError where they do not meet within ``seconds``.
    """
    end = time.monotonic() + seconds
    if process_id:
        _join(host, port, processes, process_id, end, seconds)
        return
    with _listening(port) as server, contextlib.closing(_connected(host, port, end, seconds)) as own:
        own.sendall(_greeting(processes, 0))
        _call_the_roll(server, host, port, processes, end, seconds)


def _greeting(processes: int, process_id: int) -> bytes:
    return f"drsn-jax process {process_id} of {processes}\n".encode()


@contextlib.contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    """Listen on a port of all addresses of this machine."""
    both = socket.has_dualstack_ipv6()
    try:
        server = socket.create_server(
            ("", port), family=socket.AF_INET6 if both else socket.AF_INET, dualstack_ipv6=both, backlog=1024
        )
    except OSError as error:
        raise JobError(f"process 0 cannot listen on port {port} ({os.strerror(error.errno or 0)}): choose another") from error
    with server:
        yield server


def _connected(host: str, port: int, end: float, seconds: float) -> socket.socket:
    """Return a connection to process 0, which may not be there yet; raise JobError at once for a host that nobody knows."""
    address = f"{host}:{port}"
    while True:
        try:
            return socket.create_connection((host.strip("[]"), port), max(0.01, end - time.monotonic()))
        except (socket.gaierror, UnicodeError) as error:
            if getattr(error, "errno", None) != socket.EAI_AGAIN or time.monotonic() >= end:
                reason = getattr(error, "strerror", None) or "no name"
                raise JobError(f"the host of the coordinator {address} is unknown ({reason}): correct the name") from error
        except OSError as error:
            if time.monotonic() >= end:
                raise JobError(
                    f"process 0 cannot be reached at {address} within {seconds:g} s ({error.strerror or error}): start it on "
                    "that host with the same coordinator, or wait for it longer (--join-seconds)"
                ) from error
        time.sleep(min(_PAUSE_SECONDS, max(0.0, end - time.monotonic())))


def _join(host: str, port: int, processes: int, process_id: int, end: float, seconds: float) -> None:
    """Take part in the roll call as another process than 0."""
    heard, address = False, f"{host}:{port}"
    while True:
        with _connected(host, port, end, seconds) as connection:
            try:
                connection.sendall(_greeting(processes, process_id))
                # who leaves before process 0 has counted would be among the missing
                for line in _lines(connection, end + _GRACE_SECONDS):
                    if line == "go":
                        return
                    if line.startswith("no "):
                        raise JobError(line.removeprefix("no "))
                    if line != "wait":
                        raise JobError(f"{address} is no process 0 of this program (it says {line[:40]!r}): choose another port")
                    heard = True
            except OSError:  # process 0 has ended, and may be started again
                pass
        if time.monotonic() >= end:
            if heard:
                told = f"not all of {processes} processes came to {address} within {seconds:g} s: process 0 says which"
            else:
                told = f"{address} does not answer within {seconds:g} s as process 0 of this program does: correct the port"
            raise JobError(told)
        time.sleep(_PAUSE_SECONDS)


def _lines(connection: socket.socket, end: float) -> Iterator[str]:
    """Yield the lines that come over a connection, until it is closed or the time is over."""
    held = b""
    while (left := end - time.monotonic()) > 0 and len(held) < _LONGEST:
        connection.settimeout(left)
        received = connection.recv(_LONGEST)
        if not received:
            return
        *lines, held = (held + received).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
    if held:
        yield held.decode(errors="replace")


def _call_the_roll(server: socket.socket, host: str, port: int, processes: int, end: float, seconds: float) -> None:
    """Wait as process 0 until every process has named itself, and tell all of them how it ended."""
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        selector.register(server, selectors.EVENT_READ)
        came: dict[int, socket.socket] = {}
        held: dict[socket.socket, bytes] = {}
        try:
            while len(came) < processes:
                left = end - time.monotonic()
                if left <= 0:
                    raise JobError(_missing(host, port, processes, came, seconds))
                for key, _ in selector.select(left):
                    if key.fileobj is server:
                        connection = stack.enter_context(server.accept()[0])
                        connection.settimeout(1.0)
                        held[connection] = b""
                        selector.register(connection, selectors.EVENT_READ)
                        continue
                    connection = key.fileobj
                    assert isinstance(connection, socket.socket)
                    if not _hear(connection, held, came, processes):
                        selector.unregister(connection)
                        connection.close()
        except JobError as error:
            _tell(came, f"no {error}\n")
            raise
        _tell(came, "go\n")
        # the side that closes first keeps the port busy for a while: that must not be process 0
        for number, connection in came.items():
            if number:
                with contextlib.suppress(OSError):
                    connection.recv(1)


def _hear(connection: socket.socket, held: dict[socket.socket, bytes], came: dict[int, socket.socket], processes: int) -> bool:
    """Read what a connection says; return False if it is to be closed, because its process has ended or it is a stranger.

    Raises JobError for a process that does not belong to this job.
    """
    try:
        received = connection.recv(_LONGEST)
    except OSError:
        received = b""
    held[connection] += received
    if received and b"\n" not in held[connection] and len(held[connection]) < _LONGEST:
        return True
    greeting = _GREETING.fullmatch(held[connection]) if received else None
    if greeting is None:
        for number in [number for number, other in came.items() if other is connection]:
            del came[number]  # it has ended, and may be started again
        return False
    number, count = map(int, greeting.groups())
    if came.setdefault(number, connection) is not connection:
        refused = f"process {number} was started twice: give each process a number of its own"
        _tell({number: connection}, f"no {refused}\n")
        raise JobError(refused)
    if count != processes:
        raise JobError(
            f"process {number} was given {count} processes and process 0 {processes}: give all the same number of processes"
        )
    _tell({number: connection}, "wait\n")
    return True


def _tell(came: dict[int, socket.socket], line: str) -> None:
    """Send a line to all processes that came."""
    for connection in came.values():
        with contextlib.suppress(OSError):
            connection.sendall(line.encode())


def _missing(host: str, port: int, processes: int, came: dict[int, socket.socket], seconds: float) -> str:
    if 0 not in came:
        return f"process 0 does not reach itself at {host}:{port}: give as coordinator a name of the host that it runs on"
    missing = [str(number) for number in range(processes) if number not in came]
    listed = ", ".join(missing[:8]) + (", …" if len(missing) > 8 else "")
    return (
        f"{len(came)} of {processes} processes came to {host}:{port} within {seconds:g} s, missing: {listed}; start them too, or "
        "wait for them longer (--join-seconds)"
    )
