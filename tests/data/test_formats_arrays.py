"""Files of several arrays: what is taken unasked, what is refused, columns by number, and the rate beside a signal."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from signal_files import refused, whole, write_hdf5_of, write_v7_3

from drsn_jax.data.formats.open_signal import open_signal

RNG = np.random.default_rng(0)
N = 600
X, Y, Z = RNG.standard_normal((3, N))
T = np.arange(N) / 12000
WRITERS = {
    "v4": (".mat", lambda f, arrays: scipy.io.savemat(f, arrays, format="4")),
    "v5": (".mat", scipy.io.savemat),
    "v7": (".mat", lambda f, arrays: scipy.io.savemat(f, arrays, do_compression=True)),
    "v7.3": (".mat", lambda f, arrays: write_v7_3(f, **{name: np.atleast_2d(value).T for name, value in arrays.items()})),
    "npz": (".npz", lambda f, arrays: np.savez(f, **arrays)),
    "hdf5": (".h5", lambda f, arrays: write_hdf5_of(f, **arrays)),
}


@pytest.fixture(params=WRITERS)
def write(request, tmp_path):
    """A function that writes arrays by their names into a file of some format."""
    suffix, write = WRITERS[request.param]

    def written(**arrays):
        file = tmp_path / f"a{suffix}"
        write(file, arrays)
        return file

    return written


@pytest.mark.parametrize(
    "beside",
    [
        {},
        {"t": T},
        {"t": T[:, None].astype(np.float32)},
        {"index": np.arange(N)},
        {"zero": np.zeros(N)},
        {"rpm": 1797.0, "load": np.array([[2.0]])},
        {"count": np.cumsum(RNG.integers(0, 3, N))},
    ],
)
def test_the_only_signal_is_taken(write, beside):
    file = write(x=X, **beside)
    np.testing.assert_array_equal(whole(file)[:, 0], X.astype(np.float32))
    assert open_signal(file).channel == "x"


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"data": np.stack([X, Y, Z], 1), "t": T}, ("data.1 [600]", "data.3 [600]", "t [", "a time axis", "for example data.1")),
        ({"x": X, "y": Y}, ("x [", "y [")),
        ({"x": X, "y": np.arange(N) % 4}, ("y [", "labels")),
        ({"x": X, "short": Y[:30]}, ("short [",)),
        (
            {"X": RNG.standard_normal((300, 512)), "y": np.arange(300) % 3},
            ("X has the shape (300, 512)", "labels in y", "windows=True"),
        ),
        ({"X": RNG.standard_normal((300, 512)), "t": np.arange(300) / 8}, ("X has the shape", "windows=True")),
        ({"X": RNG.standard_normal((20, 512))}, ("X has the shape (20, 512)", "transpose", "windows=True")),
        ({"t": T}, ("nothing that looks like a signal", "a time axis")),
        ({"t": T, "n": np.arange(N)}, ("nothing that looks like a signal", "row numbers")),
        ({"y": np.arange(N) % 4}, ("nothing that looks like a signal", "labels")),
        ({"fs": 12000.0}, ("no numeric signal",)),
    ],
)
def test_what_is_in_doubt_is_never_taken(write, arrays, told):
    refused(write(**arrays), *told)


def test_arrays_of_three_axes(tmp_path):
    windows = RNG.standard_normal((20, 3, 128))
    np.save(tmp_path / "a.npy", windows)
    np.savez(tmp_path / "a.npz", X=windows, y=np.arange(20) // 5)
    scipy.io.savemat(tmp_path / "a.mat", {"X": windows})
    write_hdf5_of(tmp_path / "a.h5", X=windows)
    for suffix in (".npy", ".npz", ".mat", ".h5"):
        refused(tmp_path / f"a{suffix}", "(20, 3, 128)", "windows=True")


def test_columns_by_number(write):
    file = write(data=np.stack([X, Y, Z], 1), t=T)
    for channel, columns in (("data.2", [Y]), ("2", [Y]), ("data.3 + data.1", [Z, X]), ("3+1", [Z, X]), ("*.2", [Y])):
        np.testing.assert_array_equal(whole(file, channel), np.stack(columns, 1).astype(np.float32))
    assert open_signal(file, "3+1").channel == "data.3 + data.1"
    refused(file, "name its columns, from data.1 to data.3", channel="data")
    np.testing.assert_array_equal(whole(file, "data.*"), np.stack([X, Y, Z], 1).astype(np.float32))
    refused(file, "no signal 'data.4'", channel="data.4")
    two = write(a=np.stack([X, Y], 1), b=np.stack([Z, Y], 1))
    refused(two, "'2' fits 2 signals (a.2, b.2)", channel="2")
    np.testing.assert_array_equal(whole(two, "b.1")[:, 0], Z.astype(np.float32))


def test_a_time_in_the_first_column(write):
    file = write(data=np.stack([T, X], 1))
    np.testing.assert_array_equal(whole(file)[:, 0], X.astype(np.float32))
    signal = open_signal(file)
    assert (signal.channel, signal.sampling_rate, signal.rate_from) == (
        "data.2",
        12000,
        "the steps of its data.1, read as seconds",
    )


def test_numbers_that_float32_cannot_hold_are_there_as_they_are_stored(write):
    values = np.stack([1e8 + X, 1e8 - Y], 1)
    signal = open_signal(write(data=values, single=Z.astype(np.float32)), "data.2+data.1")
    assert signal.wide is not None
    np.testing.assert_array_equal(signal.wide(10, 90), values[10:90, ::-1])
    assert open_signal(write(x=X.astype(np.float32))).wide is None


def test_npy_of_columns(tmp_path):
    file = tmp_path / "a.npy"
    np.save(file, np.stack([T, X, Y], 1))
    refused(file, "3 signals (1 [600, a time axis], 2 [600], 3 [600])", "for example 2")
    signal = open_signal(file, "3")
    assert (signal.sampling_rate, signal.rate_from) == (12000, "the steps of its column 1, read as seconds")
    np.save(file, X)
    assert (open_signal(file).channel, open_signal(file, "1").channel) == ("", "")
    np.save(file, T)
    refused(file, "nothing that looks like a signal (1 [600 x 1, a time axis])")
    np.save(file, RNG.standard_normal((300, 1024)))
    refused(file, "(300, 1024)", "windows=True")


@pytest.mark.parametrize(
    ("beside", "rate", "source"),
    [
        ({"fs": 48000.0}, 48000, "its fs"),
        ({"Fs": np.array([[25600.0]])}, 25600, "its Fs"),
        ({"sampling_rate": 97656.25}, 97656.25, "its sampling_rate"),
        ({"dt": 1 / 51200}, 51200, "its dt"),
        ({"Ts": 1 / 51200}, 51200, "its Ts"),
        ({"t": T}, 12000, "the steps of its t, read as seconds"),
        ({"time_ms": 1000 * T}, 12000, "the steps of its time_ms"),
        ({"t": T, "fs": 12000.01}, 12000.01, "its fs"),
        ({"angle": T}, None, ""),
        ({"t": T[:-1]}, None, ""),
        ({"rate": 25.0}, None, ""),
        ({"fs": np.full(N, 8000.0)}, 8000, "its fs"),
    ],
)
def test_the_rate_beside_a_signal(write, beside, rate, source):
    signal = open_signal(write(x=X, **beside), "x")
    assert signal.sampling_rate == (rate and pytest.approx(rate, rel=1e-7))
    assert signal.rate_from == source


def test_rates_that_differ_and_times_that_jump(write):
    refused(write(x=X, fs=48000.0, t=T), "48000 Hz by its fs and 12000 Hz by the steps of its t", channel="x")
    refused(write(x=X, fs=48000.0, dt=1e-4), "two sampling rates", channel="x")
    refused(write(x=X, t=T + (np.arange(N) >= 200)), "its t jumps before sample 200", channel="x")


def test_texts_and_dates_beside_a_signal(tmp_path):
    dates = np.datetime64("2024-02-03T04:05:06") + np.arange(N) * np.timedelta64(50, "us")
    np.savez(tmp_path / "a.npz", x=X, when=dates, sampling_rate="20 kHz")
    pq.write_table(pa.table({"x": X, "when": dates}), tmp_path / "a.parquet")
    for suffix in (".npz", ".parquet"):
        assert open_signal(tmp_path / f"a{suffix}").sampling_rate == 20000
    np.savez(tmp_path / "a.npz", x=X, when=dates, fs=48000)
    refused(tmp_path / "a.npz", "48000 Hz by its fs and 20000 Hz by the steps of its when")


def test_parquet_with_notes_index_and_waveforms(tmp_path):
    file = tmp_path / "a.parquet"
    table = pa.table({"__index_level_0__": np.arange(N), "x": X}).replace_schema_metadata({"fs": "25600", "by": "hand"})
    pq.write_table(table, file)
    signal = open_signal(file)
    assert (signal.channel, signal.sampling_rate, signal.rate_from) == ("x", 25600, "the note fs of the file")
    pq.write_table(pa.table({"rpm": 1790 + X, "waveform": pa.array(list(RNG.standard_normal((N, 8))))}), file)
    refused(file, "waveform cannot be read: it holds a waveform in each row")
    refused(file, "a waveform in each row", channel="waveform")
    # who asks for the speeds gets them
    assert whole(file, "rpm").shape == (N, 1)


NAMES = st.lists(st.sampled_from(["x", "acc", "DE", "data", "ch1", "v"]), min_size=1, max_size=3, unique=True)


@given(
    names=NAMES,
    kind=st.sampled_from(sorted(WRITERS)),
    dtype=st.sampled_from(["f4", "f8", "i2", "i4"]),
    columns=st.lists(st.integers(1, 4), min_size=3, max_size=3),
    rate=st.sampled_from([None, "fs", "Fs", "dt", "t"]),
    hertz=st.sampled_from([8000.0, 12000.0, 25600.0, 51200.0, 97656.0]),
    turned=st.booleans(),
    seed=st.integers(0, 99),
)
def test_valid_files_are_read_as_they_were_written(tmp_path_factory, names, kind, dtype, columns, rate, hertz, turned, seed):
    """Every channel by its name is what was written, at the rate that was written; unasked the only one is taken, or none."""
    rng = np.random.default_rng(seed)
    arrays = {name: (1000 * rng.standard_normal((200, count))).astype(dtype) for name, count in zip(names, columns, strict=False)}
    truth = {
        (name if values.shape[1] == 1 else f"{name}.{k + 1}"): values[:, k].astype(np.float32)
        for name, values in arrays.items()
        for k in range(values.shape[1])
    }
    stored = {name: values.T if turned and values.shape[1] == 1 else values for name, values in arrays.items()}
    if rate:
        stored[rate] = {"dt": 1 / hertz, "t": np.arange(200) / hertz}.get(rate, hertz)
    suffix, write = WRITERS[kind]
    file = tmp_path_factory.getbasetemp() / f"valid{suffix}"
    file.unlink(missing_ok=True)
    write(file, stored)
    for channel, values in truth.items():
        np.testing.assert_array_equal(whole(file, channel)[:, 0], values)
        signal = open_signal(file, channel)
        assert signal.channel == channel
        assert signal.sampling_rate == (pytest.approx(hertz, rel=1e-9) if rate else None)
    if len(truth) == 1:
        (values,) = truth.values()
        np.testing.assert_array_equal(whole(file)[:, 0], values)
    else:
        refused(file, *truth)
