"""Universal files of data sets 58: names, the step with six digits, what is no function of time, and files that were cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from signal_files import PAIR, data_set, refused, whole, write_universal

from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.formats.open_signal import open_signal

X, Y = PAIR[:, 0].astype(np.float64), PAIR[:, 1].astype(np.float64)


@given(
    st.sampled_from([8192, 12000, 12800, 25600, 44100, 48000, 51200, 65536, 97656, 102400]),
    st.lists(st.integers(4, 30), min_size=1, max_size=3),
    st.booleans(),
    st.sampled_from(["double", "single", "uneven"]),
)
def test_files_of_the_library_itself_are_read_right(tmp_path_factory, rate, counts, binary, layout):
    file = tmp_path_factory.getbasetemp() / "a.uff"
    signals = [X[:count] for count in counts]
    if layout == "single":
        sets = [data_set(values, rate, ord_data_type=2, single=True, node=k) for k, values in enumerate(signals)]
    else:
        sets = [data_set(v, rate, binary=binary, abscissa_spacing=int(layout == "double"), node=k) for k, v in enumerate(signals)]
    write_universal(file, sets)
    for number, values in enumerate(signals, 1):
        signal = open_signal(file, str(number))
        assert (signal.length, signal.sampling_rate, signal.channel) == (len(values), rate, f"{number - 1}Z")
        np.testing.assert_allclose(signal.read(0, signal.length)[:, 0], values, atol=1e-5 if layout == "single" else 1e-7)
    if len(counts) > 1:
        refused(file, f"{len(counts)} signals (", "0Z", "1Z")


def test_names_by_description_by_node_and_by_number(tmp_path):
    file = tmp_path / "a.unv"
    write_universal(file, [data_set(X, 12800, id1="motor"), data_set(Y, 12800, id1="gear + fan")])
    np.testing.assert_array_equal(whole(file, "gear + fan"), Y.astype(np.float32)[:, None])
    np.testing.assert_allclose(whole(file, "2"), PAIR[:, 1:], atol=1e-7)
    write_universal(file, [data_set(X, 12800, id1="motor"), data_set(Y, 12800, id1="fan")])
    np.testing.assert_allclose(whole(file, "2 + motor"), PAIR[:, ::-1], atol=1e-7)
    write_universal(file, [data_set(X, 12800, id1="Time", rsp_dir=-2), data_set(Y, 12800, id1="Time", rsp_dir=4)])
    assert open_signal(file, "1-Y").channel == "1-Y"
    assert open_signal(file, "1RX").rate_from == "the step of its abscissa"
    write_universal(file, [data_set(X, 12800), data_set(Y, 12800)])
    assert open_signal(file, "2").channel == "2"
    refused(file, "no signal '3', choose one of 1, 2", channel="3")


def test_functions_of_frequency_are_no_signals(tmp_path):
    file = tmp_path / "a.uff"
    response = data_set(X + 1j * Y, 1, func_type=4, abscissa_spec_data_type=18, id1="H")
    power = data_set(X, 1, func_type=2, abscissa_spec_data_type=18, id1="P")
    write_universal(file, [response, power, data_set(Y, 25600, id1="y")])
    np.testing.assert_allclose(whole(file)[:, 0], Y, atol=1e-7)
    refused(file, "H is of type frequency response function", channel="H")
    refused(file, "P is of type auto spectrum", channel="2")
    write_universal(file, [response])
    refused(file, "holds no numeric signal")


def test_a_response_over_frequency_is_no_signal(tmp_path):
    write_universal(tmp_path / "a.uff", [data_set(X, 1, abscissa_spec_data_type=18, id1="a")])
    refused(tmp_path / "a.uff", "function of frequency", channel="a")


def test_units_of_the_step_and_steps_that_say_nothing(tmp_path):
    file = tmp_path / "a.uff"
    for unit, rate in (("ms", 12_800_000), ("NONE", 12800), ("s", 12800), ("mm", None)):
        write_universal(file, [data_set(X, 12800, abscissa_axis_units_lab=unit)])
        assert open_signal(file).sampling_rate == rate
    write_universal(file, [data_set(X, 12800)])
    file.write_bytes(file.read_bytes().replace(b"  7.81250e-05", b"  0.00000e+00"))
    assert open_signal(file).sampling_rate is None


def test_uneven_samples_are_refused_and_rounded_times_are_not(tmp_path):
    file = tmp_path / "a.uff"
    times = np.arange(1000) / 1000
    write_universal(file, [data_set(X, 1000, x=np.delete(np.append(times, 1.0), 500), abscissa_spacing=0)])
    refused(file, "is not evenly sampled")
    # six digits do not tell the steps any more, and are no sign of uneven samples
    write_universal(file, [data_set(X, 1000, x=100 + np.arange(1000) / 51200, abscissa_spacing=0)])
    assert open_signal(file).sampling_rate is None
    write_universal(file, [data_set(X, 1000, x=1 + np.arange(1000) / 12800, abscissa_spacing=0)])
    assert open_signal(file).sampling_rate == pytest.approx(12800, rel=1e-3)


@pytest.mark.parametrize("binary", [0, 1])
def test_every_cut_is_found_but_one_between_data_sets(tmp_path, binary):
    file = tmp_path / "a.uff"
    write_universal(file, [data_set(X[:40], 12800, binary=binary)])
    first = file.stat().st_size
    write_universal(file, [data_set(X[:40], 12800, binary=binary), data_set(Y[:40], 12800, rsp_dir=2, binary=binary)])
    content = file.read_bytes()
    for cut in sorted({*range(1, len(content) - 1, 13), first - 2, first + 1, first + 7, first + 8}):
        file.write_bytes(content[:cut])
        for channel in ("", "1"):
            if first - 1 <= cut < first + 5:  # only blanks are lost, or are there beside the first data set
                continue
            with pytest.raises(RecordingError):
                open_signal(file, channel)
    file.write_bytes(content[20:])
    refused(file)
    # a row that is lost in the middle
    rows = content.split(b"\n")
    if not binary:
        file.write_bytes(b"\n".join(rows[:15] + rows[16:]))
        refused(file, "promises 40 samples and holds 36", channel="1")


def test_text_with_data_sets_is_known_by_its_content(tmp_path):
    for name in ("a.txt", "a.asc", "a.csv", "a.58", "a"):
        write_universal(tmp_path / name, [data_set(X, 51200)])
        assert open_signal(tmp_path / name).sampling_rate == 51200
