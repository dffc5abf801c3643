"""TDMS files of LabVIEW, read in parts by npTDMS.

A channel is named ``group/name``. Its rate is the property ``wf_increment`` of its waveform, or one such as ``Sampling Rate`` of
the channel, its group or the file.

npTDMS reads a file that was cut short without an error, so the segments are counted here. Source: NI, TDMS File Format Internal
Structure.
"""

import re
import struct
import threading
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from drsn_jax.data.formats.axes import jump, time_unit
from drsn_jax.data.formats.channels import Variable, choose, needs_looks
from drsn_jax.data.formats.common import RecordingError, RecordingWarning, Signal, as_float32, damage, is_numeric, library, silent
from drsn_jax.data.formats.looks import look
from drsn_jax.data.formats.rates import SECONDS, Rate, agreed, mentioned, with_units
from drsn_jax.data.formats.steps import rate_of_step, rate_of_times

LEAD = 28  # bytes at the beginning of a segment
OPEN_END = 2**64 - 1  # the size of a segment whose writer did not come to its end
BIG_ENDIAN = 1 << 6
PREFIX = 4096  # samples that tell a signal from a time axis at the first look
TIME = re.compile(r"(?<![a-z])(x?time|zeit|temps|t|seconds?|sec)(?![a-z])", re.IGNORECASE)


def read_tdms(file: Path, channel: str) -> Signal:
    """Open the channels ``group/name`` that ``channel`` means.

    A file whose program ended before it closed the last segment is read as far as its samples go, with a RecordingWarning. Raises
    RecordingError for a file that is cut short, and for channels of different rates.
    """
    nptdms = library("nptdms")
    stream = _Reopened(file)
    with damage(file, "TDMS"), silent("nptdms"), stream:
        stored, finished = _raw_bytes(file)
        # the stream, because npTDMS believes an index beside a path even where it is of another file
        opened = nptdms.TdmsFile.open(stream)
        found = {f"{group.name}/{item.name}": item for group in opened.groups() for item in group.channels()}
        if finished:
            _check_lengths(opened, found.values(), stored)
        names = choose([_variable(name, item, channel) for name, item in found.items()], channel, str(file))
        for name in names:
            if _of_frequency(found[name]):
                raise RecordingError(f"{file}: {name} is a spectrum: choose the recording itself, over time")
        rate, source = agreed([_rate(opened, found, name, str(file)) for name in names], str(file))
        chosen = [found[name] for name in names]
    if not finished:
        warnings.warn(
            f"{file} was not closed by the program that wrote it: it is read as far as its samples go",
            RecordingWarning,
            stacklevel=3,
        )

    def wide(start: int, stop: int) -> np.ndarray:
        with stream, silent("nptdms"):
            parts = [item.read_data(start, stop - start) for item in chosen]
        return parts[0][:, None] if len(parts) == 1 else np.stack(parts, 1)

    def read(start: int, stop: int) -> np.ndarray:
        return as_float32(wide(start, stop))

    exact = all(np.can_cast(item.dtype, np.float32) for item in chosen)
    taken = " + ".join(names)
    return Signal(len(chosen[0]), len(names), rate, read, channel=taken, rate_from=source, wide=None if exact else wide)


class _Reopened:
    """A stream on a file that is open only within ``with``, where one thread at a time is.

    So npTDMS reads the descriptions of the segments once, and no file stays open.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._size = file.stat().st_size
        self._lock = threading.Lock()
        self._stream: BinaryIO | None = None

    def __enter__(self) -> None:
        self._lock.acquire()
        try:
            self._stream = open(self._file, "rb")
            if self._stream.seek(0, 2) < self._size:  # npTDMS would read zeros
                self._stream.close()
                raise RecordingError(f"{self._file} has become shorter since it was opened: read it again")
            self._stream.seek(0)
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, *error: object) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream = None
        self._lock.release()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _raw_bytes(file: Path) -> tuple[int, bool]:
    """Return how many bytes of samples the segments hold, and whether the last was closed.

    Raises ValueError where a segment, or the index beside the file, promises more than the file holds.
    """
    size, place, total, finished = file.stat().st_size, 0, 0, True
    with open(file, "rb") as opened:
        while place < size:
            content, samples = _lead(opened, place, b"TDSm")
            if content == OPEN_END:
                content, finished = size - place - LEAD, False
            if place + LEAD + content > size:
                raise ValueError(f"its header promises {place + LEAD + content} bytes and it holds {size}")
            if samples > content:
                if finished:
                    raise ValueError("a segment is shorter than its description")
                samples = content
            total += content - samples
            place += LEAD + content
    index = file.with_name(file.name + "_index")
    if finished and index.is_file():
        promised = _size_by_index(index)
        if promised > size:
            raise RecordingError(
                f"{file} is cut short: {index.name} beside it promises {promised} bytes and it holds {size}, get it again"
            )
    return total, finished


def _lead(opened: BinaryIO, place: int, mark: bytes) -> tuple[int, int]:
    """Return of the segment at ``place`` the bytes that follow its lead, and those of them in front of the samples."""
    opened.seek(place)
    lead = opened.read(LEAD)
    if len(lead) < LEAD or not lead.startswith(mark):
        raise ValueError(f"there is no segment at byte {place}")
    big = int.from_bytes(lead[4:8], "little") & BIG_ENDIAN
    return struct.unpack_from(">QQ" if big else "<QQ", lead, 12)


def _size_by_index(index: Path) -> int:
    """Return the size in bytes that a ``.tdms_index`` file promises for the file beside it; 0 where it does not say it."""
    size, place, promised = index.stat().st_size, 0, 0
    with open(index, "rb") as opened:
        try:
            while place < size:
                content, samples = _lead(opened, place, b"TDSh")
                promised += LEAD + content
                place += LEAD + samples
        except (ValueError, OverflowError):
            return 0
    return promised if promised < OPEN_END else 0


def _check_lengths(opened: Any, items: Any, stored: int) -> None:
    """Raise ValueError where the channels do not hold the bytes of samples that lie in the segments of a file.

    The size of strings and of raw DAQmx samples is not known. For these npTDMS says whether the last segment is whole.
    """
    items = [item for item in items if item.data_type is not None]
    sizes = [item.data_type.size for item in items]
    if all(size is not None for size in sizes) and not any(item.scaler_data_types for item in items):
        expected = sum(len(item) * size for item, size in zip(items, sizes, strict=True))
        if expected != stored:
            raise ValueError(f"its channels hold {expected} bytes of samples and {stored} are stored")
    elif opened.file_status.channel_statuses is not None:
        raise ValueError("its last segment is cut short")


def _variable(name: str, item: Any, channel: str) -> Variable:
    """Describe a channel, with its look where the user named none, or a pattern."""
    numeric = item.data_type is not None and is_numeric(item.dtype)
    kind = "text" if item.dtype == object else str(item.dtype)
    seems = ""
    if numeric and needs_looks(channel) and len(item) > 1:
        if _of_frequency(item):
            seems = "a spectrum"
        elif look(item.read_data(0, PREFIX)):
            seems = look(item.read_data())
    return Variable(name, kind, numeric, (len(item),), seems)


def _of_frequency(item: Any) -> bool:
    """Return whether the horizontal axis of a waveform is frequency."""
    axis = f"{item.properties.get('wf_xunit_string', '')} {item.properties.get('wf_xname', '')}".lower()
    return "hz" in axis.split() or "freq" in axis


def _rate(opened: Any, found: dict[str, Any], name: str, where: str) -> Rate | None:
    """Return the sampling rate of a channel: of its waveform and of properties that name one, else of times in its group."""
    item = found[name]
    rates = []
    increment = item.properties.get("wf_increment")
    # LabVIEW writes a step of 1 where nobody said one
    if isinstance(increment, int | float) and 0 < increment < np.inf and increment != 1 and not _of_frequency(item):
        unit = SECONDS.get(str(item.properties.get("wf_xunit_string", "")).strip().lower())
        if unit is None:  # an angle or a distance
            return None
        rates.append(Rate(rate_of_step(float(increment) * unit), f"the property wf_increment of {name}"))
    places = ((item, name), (opened[item.group_name], item.group_name), (opened, "the file"))
    for holder, title in places:
        rates += [
            mentioned(key, value, f"the property {key} of {title}")
            for key, value in with_units(holder.properties).items()
            if key != "wf_increment"
        ]
    hertz, source = agreed(rates, f"{where}: {name}")
    if hertz is not None:
        return Rate(hertz, source)
    for other, times in found.items():
        beside = times.group_name == item.group_name and times is not item and len(times) == len(item)
        unit = _unit_of_times(times)
        if beside and len(item) > 2 and unit is not None:
            values = times.read_data()
            name_of_time = times.name if time_unit(times.name) is not None else "time"
            row = None if values.dtype.kind == "M" else jump(name_of_time, values, np.arange(len(values)))
            if row is not None:
                raise RecordingError(f"{where}: its {other} jumps before sample {row}: cut the recording there")
            hertz = rate_of_times((values - values[0]) / np.timedelta64(1, "s") if values.dtype.kind == "M" else values * unit)
            if hertz is not None:
                return Rate(hertz, f"the times in {other}")
    return None


def _unit_of_times(item: Any) -> float | None:
    """Return the seconds of one unit of a channel of times, by its name and its unit; None for another channel."""
    if item.dtype.kind == "M":
        return 1.0
    unit = time_unit(item.name)
    if unit is None and not TIME.search(item.name):
        return None
    return unit or SECONDS.get(str(item.properties.get("unit_string", "")).strip().lower())
