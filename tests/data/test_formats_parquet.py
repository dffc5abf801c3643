"""Parquet files: columns that are no signal, checksums, promises."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from signal_files import LENGTH, PAIR, refused, whole

from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.recordings import read_file


def test_parquet_columns_that_are_no_signal(tmp_path):
    file = tmp_path / "a.parquet"
    table = {
        "x": PAIR[:3, 0],
        "word": ["a", "b", "c"],
        "yes": [True, False, True],
        "list": [[1.0], [2.0], [3.0]],
        "day": np.array(["2024-01-01"] * 3, "datetime64[D]"),
        "acc.x": PAIR[:3, 1],
        "gap": pa.array([1, None, 3]),
    }
    pq.write_table(pa.table(table), file)
    refused(
        file, "4 signals (x [3], list [list<element: double>], acc.x [3], gap [3])", "list cannot be read: it holds a waveform"
    )
    np.testing.assert_array_equal(whole(file, "acc.x+x"), PAIR[:3, ::-1])
    for name, kind in (("word", "string"), ("yes", "bool"), ("list", "list<"), ("day", "date32")):
        refused(file, f"{name} is of type {kind}", channel=name)
    with pytest.raises(RecordingError, match="sample 1 is nan"):
        read_file(file, "gap", 100)
    pq.write_table(pa.Table.from_arrays([pa.array([1.0, 2.0])] * 2, ["x", "x"]), file)
    refused(file, "2 signals (x [2], x [2])")
    refused(file, "'x' fits 2 signals", channel="x")
    pq.write_table(pa.table({"x": pa.array([], pa.float64())}), file)
    refused(file, "x is empty", channel="x")


def test_parquet_with_checksums(tmp_path):
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": PAIR[:, 0]}), file, write_page_checksum=True, use_dictionary=False, compression="none")
    assert whole(file).shape == (LENGTH, 1)
    content = bytearray(file.read_bytes())
    content[content.index(PAIR[500, 0].tobytes())] ^= 1
    file.write_bytes(content)
    refused(file, "checksum")


def test_parquet_that_unpacks_to_more_than_memory_holds(tmp_path, monkeypatch):
    monkeypatch.setattr("drsn_jax.core.memory.available", lambda: 400_000_000)
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": np.zeros(20_000_000, np.float32)}), file)
    assert file.stat().st_size < 100_000
    refused(file, "a.parquet: x has 0.16 GB, which is read whole and takes 0.43 GB of memory then, and 0.40 GB are free")


def test_parquet_of_a_square_wave(tmp_path):
    """Run lengths and dictionaries make it smaller by any factor."""
    file, wave = tmp_path / "a.parquet", np.repeat(np.tile([-1.375, 1.5, 0.25], 60), 50_000)
    pq.write_table(pa.table({"x": wave}), file)
    assert 8 * len(wave) > 1100 * file.stat().st_size
    np.testing.assert_array_equal(whole(file)[:, 0], wave)
