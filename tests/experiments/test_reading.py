"""The benchmark of reading: every way of it reads the same signal."""

import numpy as np
import pytest
import reading


@pytest.mark.parametrize("kind", reading.BARE)
def test_the_library_and_the_package_read_the_same_signal(tmp_path, kind):
    file = tmp_path / f"a.{kind}"
    reading.write(file, 2)
    values = {}
    for way, code in {"bare": reading.BARE[kind], "ours": reading.OURS, "parts": reading.PARTS}.items():
        names = {"file": str(file), "np": np}
        exec(code, names)
        values[way] = names["read"]()
    assert values["ours"].shape == values["parts"].shape == (2 * reading.RATE,)
    assert values["ours"].dtype == np.float32
    np.testing.assert_array_equal(values["ours"], values["bare"])


@pytest.mark.process
def test_a_dry_run_prints_a_row_and_keeps_it(capsys, tmp_path):
    reading.main(reading.Options(kinds=("npy",), dry_run=True, out=tmp_path / "run"))
    heading, row, where = capsys.readouterr().out.splitlines()
    assert where == f"everything is in {tmp_path / 'run'}"
    names, kept = (line.split(",") for line in (tmp_path / "run" / "reading.csv").read_text().splitlines())
    assert tuple(names) == reading.COLUMNS
    assert kept[0] == "npy"
    assert all(float(value) >= 0 for value in kept[1:])
    assert heading.split() == ["format", "library", "ours", "ratio", "library", "ours", "in", "parts"]
    assert row.startswith("npy ")
    assert row.endswith("MiB")
