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
def test_a_short_run_prints_a_row(capsys):
    reading.main(reading.Options(kinds=("npy",), seconds=1, turns=1))
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["format", "library", "ours", "ratio", "library", "ours", "in", "parts"]
    assert row.startswith("npy ")
    assert row.endswith("MiB")
