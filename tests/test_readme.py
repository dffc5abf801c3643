"""README's examples run as they stand there."""

import re
from pathlib import Path
from typing import Any

import jax

ROOT = Path(__file__).parent.parent


def test_the_examples_run(capsys, tmp_path, monkeypatch):
    """The second twice: killed or not, it ends with the same line."""
    monkeypatch.chdir(tmp_path)
    # with fewer units, which compile in less time
    text = (ROOT / "README.md").read_text().replace("d.drsn_cw(classes=8)", "d.drsn_cw(classes=8, units=(1, 1, 1))")
    example, loop, ablation = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(example, "README.md", "exec"), names)
    loss, alpha = capsys.readouterr().out.split("\n", 1)
    assert 1 < float(loss) < 5
    assert "Array(" in alpha
    exec(compile(loop, "README.md", "exec"), names)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3"]
    # as in a new process; the step used up the first state
    d, network, optimizer, windows = (names[name] for name in ("d", "network", "optimizer", "windows"))
    names["state"] = d.create_state(network, optimizer, jax.random.key(9), windows)
    exec(compile(loop, "README.md", "exec"), names)
    assert capsys.readouterr().out.splitlines() == lines[-1:]
    names["state"] = d.create_state(network, optimizer, jax.random.key(9), windows)
    exec(compile(ablation, "README.md", "exec"), names)
    shape, epoch = capsys.readouterr().out.splitlines()
    assert shape == "(2, 3)"
    assert epoch.startswith("1 [")
    assert names["found"].probabilities.shape == (128, 8)


def test_the_commands_name_what_is_there():
    text = (ROOT / "README.md").read_text()
    for name in re.findall(r"experiments/[\w/]+\.(?:py|md|csv)", text):
        assert (ROOT / name).is_file(), name
