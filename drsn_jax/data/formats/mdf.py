"""Measurement files of ASAM (``.mf4``, MDF of version 4), read by asammdf.

A channel is named by its name, or by the number of its group and its name where several groups have one: ``2/acc``. Its rate is
that of the times of its group, which must be evenly spaced: nothing is resampled.
"""

import contextlib
import struct
import traceback
import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from drsn_jax.data.formats.channels import Variable, choose, needs_looks
from drsn_jax.data.formats.common import (
    RecordingError,
    Signal,
    check_promise,
    check_room,
    columns,
    damage,
    in_memory,
    is_numeric,
    library,
    silent,
)
from drsn_jax.data.formats.looks import look
from drsn_jax.data.formats.rates import Rate, agreed
from drsn_jax.data.formats.steps import rate_of_times

NUMBERS = range(6)  # the codes of types of samples that are numbers
TO_TEXT = range(7, 11)  # the codes of conversions to text
TIME = 1  # the code of a master channel of time, beside angle, distance and index
HEADER = 64  # the place of the first block
CHAINED = (
    b"##DG",
    b"##CG",
    b"##CN",
    b"##FH",
    b"##AT",
    b"##EV",
    b"##CH",
    b"##DL",
)  # kinds of blocks that name the next of their kind
NO_LINKS = (b"##DT", b"##DZ", b"##SD", b"##RD", b"##TX", b"##MD")  # kinds of blocks with data or text alone


def read_mdf(file: Path, channel: str) -> Signal:
    """Read the channels that ``channel`` means.

    Raises RecordingError for a file that its recorder did not close or that is damaged, for samples that are marked as invalid,
    and for channels that are sampled unevenly or at different times.
    """
    asammdf = library("asammdf")
    # asammdf prints pages about a damaged group
    quiet = contextlib.redirect_stdout(None)
    with damage(file, "MDF"), silent("asammdf"), quiet, open(file, "rb") as stream, _opened(asammdf, file, stream) as opened:
        places = _places(opened)
        names = choose([_variable(opened, file, name, *place, channel) for name, place in places.items()], channel, str(file))
        read = [_read(opened, file, name, *places[name]) for name in names]
        rates = [_rate(opened, file, name, places[name][0], times) for name, (_, times) in zip(names, read, strict=True)]
    for name, (_, times) in zip(names, read, strict=True):
        if not np.abs(times - read[0][1]).max() <= (times[-1] - times[0]) / max(len(times) - 1, 1) / 2:
            raise RecordingError(f"{file}: {names[0]} and {name} are not sampled at the same times: choose channels of one group")
    rate, source = agreed(rates, str(file))
    return replace(in_memory(columns([samples for samples, _ in read]), rate), channel=" + ".join(names), rate_from=source)


def _opened(asammdf: Any, file: Path, stream: BinaryIO) -> Any:
    """Open an MDF file. Raises RecordingError for one that was not closed, and what asammdf raises for others."""
    start = stream.read(HEADER)
    # the mark, or flags of what is still to be done
    if start.startswith(b"UnFinMF") or any(start[60:64]):
        raise RecordingError(f"{file} was not closed by its recorder: let the recorder's program finish it")
    if start[8:9] in (b"2", b"3"):
        raise RecordingError(f"{file} is MDF of version {start[8:12].decode('ascii', 'replace')}: save it as version 4 (.mf4)")
    _check_chains(stream, str(file))
    try:
        return asammdf.MDF(stream)
    except Exception as error:
        # asammdf tells on the terminal that what it did not come to open cannot be closed, unless it has a header
        for frame, _ in traceback.walk_tb(error.__traceback__):
            unfinished = frame.f_locals.get("self")
            if type(unfinished).__name__ == "MDF4":
                vars(unfinished).setdefault("header", None)
                vars(unfinished).setdefault("identification", None)
        raise


def _check_chains(stream: BinaryIO, file: str) -> None:
    """Raise an error where a chain of blocks comes back to itself, or packed samples promise more than they can hold.

    asammdf would follow such a chain until the memory is full.

    A block has a kind, its size and the number of its links, and then the links: the places of other blocks, 0 for none. The
    first link of a block in a chain is the next one. Source: ASAM MDF 4.1, blocks and links.
    """
    size = stream.seek(0, 2)
    following: dict[int, int] = {}
    found, waiting = {HEADER}, [HEADER]
    while waiting:
        place = waiting.pop()
        stream.seek(place)
        kind, length, count = struct.unpack("<4s4xQQ", stream.read(24))
        if not kind.startswith(b"##") or place + length > size or 24 + 8 * count > length:
            raise ValueError(f"there is no block at byte {place}")
        if kind == b"##DZ":
            _check_packed(stream, length - 48, file)
        if kind in NO_LINKS:
            continue
        links = struct.unpack(f"<{count}Q", stream.read(8 * count))
        if kind in CHAINED and links and links[0]:
            following[place] = links[0]
        new = {link for link in links if link} - found
        found |= new
        waiting += new
    checked: set[int] = set()
    for place in following:
        chain: set[int] = set()
        while place in following and place not in checked:
            if place in chain:
                raise ValueError(f"the block at byte {place} follows itself")
            chain.add(place)
            place = following[place]
        checked |= chain


def _check_packed(stream: BinaryIO, stored: int, file: str) -> None:
    """Raise an error where a packed block does not hold what it promises: on some of these asammdf ends the whole process.

    The stream is behind the links of the block.
    """
    way, columns_of_bytes, original, packed = struct.unpack("<2xBxIQQ", stream.read(24))
    if way not in (0, 1):
        raise RecordingError(f"{file} is packed in an unusual way: save it anew, packed by deflate or not at all")
    check_promise(file, original, stored)
    content = zlib.decompress(stream.read(packed)) if packed <= stored else b""
    if len(content) != original or (way == 1 and not 0 < columns_of_bytes <= max(original, 1)):
        raise ValueError("a packed block does not hold what it promises")


def _places(opened: Any) -> dict[str, tuple[int, int]]:
    """Return the group and the number of every channel by its name, without the masters of the groups."""
    found = [
        (channel.name, group, number)
        for group, content in enumerate(opened.groups)
        for number, channel in enumerate(content.channels)
        if number != opened.masters_db.get(group)
    ]
    count = Counter(name for name, _, _ in found)
    return {name if count[name] == 1 else f"{group + 1}/{name}": (group, number) for name, group, number in found}


def _get(opened: Any, file: Path, group: int, number: int, **options: bool) -> Any:
    """Return the samples and times of a channel as asammdf does, which believes any size of the records of a group."""
    records = opened.groups[group].channel_group
    for place in {number, opened.masters_db.get(group, number)}:  # the channel, and the times of its group
        channel = opened.groups[group].channels[place]
        if 8 * channel.byte_offset + channel.bit_offset + channel.bit_count > 8 * records.samples_byte_nr:
            raise ValueError(f"{channel.name} lies outside the records of its group")
    promised = (records.samples_byte_nr + records.invalidation_bytes_nr) * max(int(records.cycles_nr), 1)
    check_promise(str(file), promised, file.stat().st_size)
    check_room(str(file), promised)
    return opened.get(group=group, index=number, **options)


def _variable(opened: Any, file: Path, name: str, group: int, number: int, asked: str) -> Variable:
    """Describe a channel, with its look where the user named none, or a pattern."""
    channel, length = opened.groups[group].channels[number], int(opened.groups[group].channel_group.cycles_nr)
    numeric = channel.data_type in NUMBERS and getattr(channel.conversion, "conversion_type", 0) not in TO_TEXT
    seems = ""
    if numeric and needs_looks(asked) and length > 1:
        samples = _get(opened, file, group, number).samples
        seems = look(samples) if is_numeric(samples.dtype) and samples.ndim == 1 else ""
    return Variable(name, "number" if numeric else "text or bytes", numeric, (length,), seems)


def _read(opened: Any, file: Path, name: str, group: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples of a channel and their times."""
    promised = int(opened.groups[group].channel_group.cycles_nr)
    signal = _get(opened, file, group, number)
    if not is_numeric(signal.samples.dtype) or signal.samples.ndim != 1:
        raise RecordingError(f"{file}: {name} holds {signal.samples.dtype} {signal.samples.shape}, expected one number a sample")
    if len(signal.samples) < promised:
        signal = _get(opened, file, group, number, ignore_invalidation_bits=True)
        if len(signal.samples) == promised:
            raise RecordingError(f"{file}: samples of {name} are marked as invalid: cut the recording or leave it out")
        raise ValueError(f"{name} promises {promised} samples and holds {len(signal.samples)}")
    return signal.samples, signal.timestamps


def _rate(opened: Any, file: Path, name: str, group: int, times: np.ndarray) -> Rate | None:
    """Return the rate of the times of a group; None without times. Raises RecordingError for uneven ones."""
    master = opened.masters_db.get(group)
    if master is None or getattr(opened.groups[group].channels[master], "sync_type", TIME) != TIME or len(times) < 3:
        return None
    rate = rate_of_times(times)
    if rate is None:
        raise RecordingError(f"{file}: {name} is not evenly sampled: samples are missing, or it is no vibration")
    return Rate(rate, "the times of its samples")
