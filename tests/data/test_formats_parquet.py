"""Parquet files: columns that are no signal, checksums, promises."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from signal_files import LENGTH, PAIR, refused, whole

from drsn_jax.data.formats import parquet
from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.formats.open_signal import open_signal
from drsn_jax.data.recordings import read_file, read_folder


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


def write_waveforms(file, *lengths, **columns):
    file.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"a": [PAIR[:length, 0].tolist() for length in lengths], **columns}), file)
    return file


def test_waveforms_of_several_lengths_are_recordings(tmp_path):
    write_waveforms(tmp_path / "worn" / "a.parquet", 300, 200, 100, fs=[1000.0] * 3)
    write_waveforms(tmp_path / "healthy" / "b.parquet", 250, fs=[1000.0])
    found = read_folder(tmp_path, channel="a")
    assert [(r.label, r.channel, r.signal.shape, r.sampling_rate) for r in found] == [
        ("healthy", "a", (250, 1), 1000),
        *(("worn", f"a{{{k}}}", (length, 1), 1000) for k, length in ((1, 300), (2, 200), (3, 100))),
    ]
    np.testing.assert_array_equal(found[2].signal, PAIR[:200, :1])
    np.testing.assert_array_equal(read_file(tmp_path / "worn" / "a.parquet", "a{3}")[0], PAIR[:100, :1])
    refused(tmp_path / "worn" / "a.parquet", "a{1}", "a{3}")


def test_a_column_of_waveforms_is_read_once_for_all_of_them(tmp_path, monkeypatch):
    write_waveforms(tmp_path / "worn" / "a.parquet", 300, 200, 100)
    write_waveforms(tmp_path / "healthy" / "b.parquet", 250, 150)
    read, load = [], parquet._load
    monkeypatch.setattr(parquet, "_load", lambda file, *asked: read.append(file.name) or load(file, *asked))
    assert len(read_folder(tmp_path, channel="a", sampling_rate=1000)) == 5
    assert sorted(read) == ["a.parquet", "b.parquet"]
    read_file(tmp_path / "worn" / "a.parquet", "a{2}", 1000)  # nothing is kept after that
    assert len(read) == 3


def test_waveforms_of_several_classes_are_refused(tmp_path):
    write_waveforms(tmp_path / "worn" / "a.parquet", 300, 200, label=["healthy", "worn"])
    with pytest.raises(RecordingError, match="several recordings: its label says healthy, worn"):
        read_folder(tmp_path, sampling_rate=1000, channel="a")


def test_the_attributes_of_pandas_tell_the_rate(tmp_path):
    table = pa.table({"a": PAIR[:, 0]}).replace_schema_metadata({"PANDAS_ATTRS": '{"fs": 25.6, "fs_unit": "kHz"}'})
    pq.write_table(table, tmp_path / "a.parquet")
    assert open_signal(tmp_path / "a.parquet").sampling_rate == 25600
