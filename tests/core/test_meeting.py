"""The roll call of a job: who is missing, doubled or wrong is said by every process, in its time and in one sentence."""

import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from drsn_jax.core.meeting import JobError, meet

SHORT, LONG = 0.4, 20.0
HERE = "127.0.0.1"


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind((HERE, 0))
        return free.getsockname()[1]


def ends(port, *members, host=HERE, seconds=LONG, pause=0.0) -> list[str]:
    """How each member, ``(process_id, processes)``, ends: ``"met"``, or what it is told; they start one by one."""

    def begin(place):
        number, processes = members[place]
        time.sleep(pause * place)
        try:
            meet(host, port, processes, number, seconds)
        except JobError as error:
            return str(error)
        return "met"

    with ThreadPoolExecutor(len(members)) as pool:
        return list(pool.map(begin, range(len(members))))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_all_meet_in_any_order_and_the_port_is_free_again(port, count):
    members = [(number, count) for number in range(count)]
    assert ends(port, *members, pause=0.02) == ["met"] * count
    assert ends(port, *reversed(members), pause=0.02) == ["met"] * count
    with socket.create_server((HERE, port)):
        pass


def took(began, least=0.0):
    assert least <= time.monotonic() - began < SHORT + 5


def test_nobody_listens(port):
    began = time.monotonic()
    (told,) = ends(port, (1, 2), seconds=SHORT)
    took(began, SHORT)
    assert told.startswith(f"process 0 cannot be reached at {HERE}:{port} within 0.4 s (Connection refused): start it")
    assert "join_seconds" in told


def test_nobody_comes(port):
    began = time.monotonic()
    (told,) = ends(port, (0, 4), seconds=SHORT)
    took(began, SHORT)
    assert told.startswith(f"1 of 4 processes came to {HERE}:{port} within 0.4 s, missing: 1, 2, 3; start them too")


@pytest.mark.parametrize("members", [((0, 3), (2, 3)), ((2, 3), (0, 3))])
def test_one_of_three_does_not_come(port, members):
    """Who came is told who is missing, and is not missing itself, also where its time is over before that of process 0."""
    told = ends(port, *members, seconds=5 * SHORT, pause=0.3)
    assert told[0] == told[1]
    assert told[0].startswith(f"2 of 3 processes came to {HERE}:{port} within 2 s, missing: 1; ")


def test_an_unknown_host_is_told_at_once(port):
    began = time.monotonic()
    for told in ends(port, (0, 2), (1, 2), host="nowhere.invalid"):
        assert told.startswith(f"the host of the coordinator nowhere.invalid:{port} is unknown (")
    took(began)


@pytest.mark.parametrize("host", ["", "a..b", "x" * 70])
def test_a_name_that_no_host_can_have(port, host):
    if host:
        assert "is unknown" in ends(port, (1, 2), host=host)[0]


def test_different_numbers_of_processes_are_told_to_all_at_once(port):
    began = time.monotonic()
    for told in ends(port, (0, 2), (1, 3)):
        assert told == "process 1 was given 3 processes and process 0 2: give all the same number of processes"
    took(began)


def test_a_number_that_is_given_twice_is_told_to_all_at_once(port):
    began = time.monotonic()
    for told in ends(port, (0, 3), (1, 3), (1, 3), pause=0.1):
        assert told == "process 1 was started twice: give each process a number of its own"
    took(began)


def test_a_second_process_0_finds_the_port_taken(port):
    taken, told = ends(port, (0, 2), (0, 2), seconds=SHORT, pause=0.1)
    assert told == f"process 0 cannot listen on port {port} (Address already in use): choose another"
    assert taken.startswith("1 of 2 processes came")


@contextlib.contextmanager
def stranger(port, says=None):
    """Something else that listens on the port."""
    ended = threading.Event()

    def answer():
        server.settimeout(0.05)
        held = []
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                held.append(server.accept()[0])
                if says:
                    held[-1].sendall(says)
        for connection in held:
            connection.close()

    with socket.create_server((HERE, port)) as server:
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def test_a_silent_server_is_no_process_0(port):
    with stranger(port):
        began = time.monotonic()
        (told,) = ends(port, (1, 2), seconds=SHORT)
        took(began, SHORT)
    assert told.startswith(f"{HERE}:{port} does not answer within 0.4 s as process 0 of this program does")


def test_a_server_of_another_kind_is_told_at_once(port):
    with stranger(port, b"220 mail.example ESMTP\r\n"):
        (told,) = ends(port, (1, 2))
    assert told.startswith(f"{HERE}:{port} is no process 0 of this program (it says '220 mail.example ESMTP")


def test_strangers_and_processes_that_end_do_not_count(port):
    """Something that scans ports, one that says too much, and a process 1 that is killed and started again."""

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ends, port, (0, 2))
        ended = b"drsn-jax process 1 of 2"  # killed before the end of its line
        for said in (b"", b"GET / HTTP/1.1\r\n\r\n", b"x" * 5000, ended):
            with connected(port) as connection:
                connection.sendall(said)
        assert ends(port, (1, 2)) == ["met"]
        assert first.result() == ["met"]
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ends, port, (0, 3))
        with connected(port) as connection:
            connection.sendall(b"drsn-jax process 1 of 3\n")
            assert connection.recv(10) == b"wait\n"
        assert ends(port, (1, 3), (2, 3)) == ["met", "met"]
        assert first.result() == ["met"]


def connected(port):
    """A connection to a process 0 that may not listen yet."""
    while True:
        try:
            return socket.create_connection((HERE, port), LONG)
        except ConnectionRefusedError:
            time.sleep(0.01)


def test_a_process_0_that_is_started_again_is_found(port):
    def fails():
        with socket.create_server((HERE, port)) as server:
            server.accept()[0].close()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(fails)
        time.sleep(0.1)
        assert ends(port, (1, 2), (0, 2), pause=0.4) == ["met", "met"]
        done.result()


def test_a_coordinator_of_another_host_is_told_by_process_0(port, monkeypatch):
    """Process 0 connects to the name that the others use, and counts only itself there."""
    with socket.socket() as free:
        free.bind((HERE, 0))
        elsewhere = free.getsockname()[1]
    original = socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda address, timeout: original((address[0], elsewhere), timeout))
    with stranger(elsewhere):
        (told,) = ends(port, (0, 2), seconds=SHORT)
    assert told.startswith(f"process 0 does not reach itself at {HERE}:{port}: give as coordinator a name of the host")
