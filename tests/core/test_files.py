"""Files are whole or as they were; nothing is left beside them."""

import errno
import os
import stat
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drsn_jax.core.files import locked_folder, read_regular, write_atomically

in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def fail(*arguments, **options):
    raise OSError("no space left on device")


@settings(in_one_folder, max_examples=10)  # each waits for the disk
@given(st.binary(max_size=300) | st.text(max_size=100).filter(lambda text: "\ud800" not in text))
def test_a_file_holds_what_was_written(tmp_path, content):
    file = tmp_path / "file"
    write_atomically(file, content)
    expected = content if isinstance(content, bytes) else content.encode("utf-8")
    assert file.read_bytes() == expected
    assert os.listdir(tmp_path) == ["file"]
    assert file.read_bytes() == expected


def test_text_is_written_as_it_is(tmp_path):
    write_atomically(str(tmp_path / "file"), "τ\r\n\n")
    assert (tmp_path / "file").read_bytes() == b"\xcf\x84\r\n\n"


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600), (0, 0o666)])
def test_the_mode_respects_the_umask(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "file", "")
        assert (tmp_path / "file").stat().st_mode & 0o777 == mode
        assert os.umask(mask) == mask, "the umask was changed"
    finally:
        os.umask(before)


@pytest.mark.parametrize("function", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("exists", [True, False])
def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch, function, exists):
    file = tmp_path / "file"
    if exists:
        file.write_text("old")
    monkeypatch.setattr(os, function, fail)
    with pytest.raises(OSError, match="no space left"):
        write_atomically(file, "new content")
    assert os.listdir(tmp_path) == (["file"] if exists else [])
    if exists:
        assert file.read_text() == "old"


def test_an_interruption_leaves_what_was_there(tmp_path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    (tmp_path / "file").write_text("old")
    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", "new")
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_everything_is_on_disk_before_the_name_is_given(tmp_path, monkeypatch):
    calls, sync, replace = [], os.fsync, os.replace

    def fsync(handle):
        calls.append(("sync", os.fstat(handle).st_size))
        sync(handle)

    def rename(source, target):
        calls.append(("rename", os.stat(source).st_size))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", rename)
    write_atomically(tmp_path / "file", b"12345")
    assert calls[:2] == [("sync", 5), ("rename", 5)]
    assert calls[2][0] == "sync"


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing" / "file", "")


@pytest.mark.parametrize("refused", [errno.EPERM, errno.EINVAL, errno.ENOTSUP])
@pytest.mark.parametrize("function", ["chmod", "fsync"])
def test_a_share_that_refuses_modes_or_synchronised_folders_holds_the_file(tmp_path, monkeypatch, function, refused):
    """As SMB, FUSE and exFAT do. A disk that fails is told."""
    whole = getattr(os, function)

    def refuse(target, *arguments):
        if function == "chmod" or stat.S_ISDIR(os.fstat(target).st_mode):
            raise OSError(refused, os.strerror(refused))
        whole(target, *arguments)

    monkeypatch.setattr(os, function, refuse)
    write_atomically(tmp_path / "file", "content")
    assert (tmp_path / "file").read_text() == "content"
    assert os.listdir(tmp_path) == ["file"]
    refused = errno.EIO
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        write_atomically(tmp_path / "file", "other")


def test_only_regular_files_are_read_up_to_a_limit(tmp_path):
    """A device has no end, and whoever opens a pipe waits for a writer."""
    (tmp_path / "file").write_bytes(b"12345")
    assert read_regular(tmp_path / "file", 5) == b"12345"
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_regular(tmp_path / "link", 5) == b"12345"
    with pytest.raises(OSError, match="it has 5 bytes, more than the 4 that"):
        read_regular(tmp_path / "file", 4)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    for name in ("pipe", "zeros"):
        with pytest.raises(OSError, match="it is no regular file"):
            read_regular(tmp_path / name, 10)
    with pytest.raises(OSError, match="its size changes while it is read"):
        read_regular("/proc/self/cmdline", 10)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "none", 10)


def test_a_locked_folder_is_entered_by_one_at_a_time(tmp_path):
    order = []

    def second():
        with locked_folder(tmp_path):
            order.append("second")

    with locked_folder(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert not os.listdir(tmp_path)
