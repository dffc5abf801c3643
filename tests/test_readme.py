"""README's example runs as it stands there."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_example_runs(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    loss, alpha = capsys.readouterr().out.split("\n", 1)
    assert 1 < float(loss) < 5
    assert "Array(" in alpha


def test_the_commands_name_what_is_there():
    text = (ROOT / "README.md").read_text()
    for name in re.findall(r"experiments/[\w/]+\.(?:py|md|csv)", text):
        assert (ROOT / name).is_file(), name
