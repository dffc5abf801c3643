"""The memory that is left, in the machine or in a container."""

from drsn_jax.core import memory


def test_some_memory_is_free_but_not_more_than_there_is():
    assert 2**20 < memory.available() < 2**50


def test_a_container_leaves_what_its_limit_leaves(tmp_path, monkeypatch):
    """Files that it keeps in memory count as free."""
    files = (str(tmp_path / "memory.max"), str(tmp_path / "memory.current"))
    monkeypatch.setattr(memory, "CGROUPS", (files,))
    whole = memory.available()
    for name, text in (("max", "10000\n"), ("current", "4000\n"), ("stat", "anon 500\ninactive_file 3000\nfile 3500\n")):
        (tmp_path / f"memory.{name}").write_text(text)
    assert memory.available() == 9000
    (tmp_path / "memory.max").write_text("max\n")
    assert abs(memory.available() - whole) < 2**31


def test_where_nothing_is_told_some_memory_is_assumed(monkeypatch):
    monkeypatch.setattr(memory, "CGROUPS", ())
    monkeypatch.setattr(memory, "_of_machine", lambda: None)
    assert memory.available() == memory.UNKNOWN
