"""Universal files (``.uff``, ``.unv``) with data sets of the type 58, "function at nodal DOF", in text or binary; read by pyuff.

A signal is a real function of time. It is named by its first line of description where all differ, else by its node and direction
(``12Z``), else by its number among the data sets of type 58; the number is taken anyway.

Source: I-deas Universal File Format, data set 58.
"""

import mmap
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from drsn_jax.data.formats.channels import Variable, choose
from drsn_jax.data.formats.common import RecordingError, Signal, columns, damage, in_memory, library
from drsn_jax.data.formats.rates import Rate, agreed
from drsn_jax.data.formats.steps import rate_of_step, rate_of_times, written_step

MARK = re.compile(rb" {4}-1(?=[\r\n]| {74}|\Z)")  # around every data set
DIGITS = 6  # of the step of time, and of the times of unevenly spaced samples
FUNCTIONS = {2: "auto spectrum", 3: "cross spectrum", 4: "frequency response function", 6: "coherence", 12: "spectrum"}
FREQUENCY = 18  # the type of an abscissa
DIRECTIONS = ("", "X", "Y", "Z", "RX", "RY", "RZ")
SECONDS = {"": 1.0, "NONE": 1.0, "S": 1.0, "SEC": 1.0, "SECONDS": 1.0, "MS": 1e-3, "US": 1e-6}


def read_universal(file: Path, channel: str) -> Signal:
    """Read the functions of time that ``channel`` means. Raises RecordingError for a file that is cut or unevenly sampled."""
    pyuff = library("pyuff")
    with damage(file, "universal"):
        _check_marks(file)
        opened = pyuff.UFF(str(file))
        numbers = [number for number, kind in enumerate(opened.get_set_types()) if kind == 58]
        heads = [opened.read_sets(number, header_only=True) for number in numbers]
        names = _names(heads)
        variables = [_variable(name, head) for name, head in zip(names, heads, strict=True)]
        chosen = choose(variables, _by_number(channel, names), str(file))
        arrays, rates = [], []
        for name in chosen:
            place = names.index(name)
            content = opened.read_sets(numbers[place])
            if len(content["data"]) != heads[place]["num_pts"]:
                raise ValueError(f"{name} promises {heads[place]['num_pts']} samples and holds {len(content['data'])}")
            arrays.append(content["data"])
            rates.append(_rate(content, f"{file}: {name}"))
    rate, source = agreed(rates, str(file))
    signal = in_memory(columns(arrays), rate)
    return replace(signal, channel=" + ".join(chosen), rate_from=source)


def _check_marks(file: Path) -> None:
    """Raise ValueError where a data set has no end. pyuff would leave it out."""
    with open(file, "rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        places = [found.start() for found in MARK.finditer(content)]
        if not places or content[: places[0]].strip():
            raise ValueError("it does not begin with the mark of a data set")
        if len(places) % 2 or content[places[-1] + 6 :].strip():
            raise ValueError("its last data set has no end")


def _names(heads: list[dict[str, Any]]) -> list[str]:
    """Return a name for each data set: those of the first kind that differ."""
    described = [head["id1"].strip() for head in heads]
    nodes = [f"{head['rsp_node']}{'-' * (head['rsp_dir'] < 0)}{DIRECTIONS[abs(head['rsp_dir']) % 7]}" for head in heads]
    for names in (described, nodes):
        if len(set(names)) == len(names) and not {"", "NONE"} & set(names):
            return names
    return [str(number) for number in range(1, len(heads) + 1)]


def _by_number(channel: str, names: list[str]) -> str:
    """Return the channel with the names of the data sets that it means by their numbers."""
    if channel in names:
        return channel
    parts = [part.strip() for part in channel.split("+")]
    numbered = [str(number) for number in range(1, len(names) + 1)]
    return "+".join(names[numbered.index(part)] if part in numbered and part not in names else part for part in parts)


def _variable(name: str, head: dict[str, Any]) -> Variable:
    """Describe a data set: whether it is a real function of time, or what else."""
    kind = FUNCTIONS.get(head["func_type"], "") if head["func_type"] != 1 else ""
    if head["abscissa_spec_data_type"] == FREQUENCY:
        kind = kind or "function of frequency"
    if head["ord_data_type"] not in (2, 4):
        kind = kind or "complex"
    if not kind and head["func_type"] != 1 and (head["func_type"] != 0 or head["abscissa_spec_data_type"] not in (0, 1, 17)):
        kind = f"function number {head['func_type']}"
    return Variable(name, kind or "time response", not kind, (head["num_pts"],))


def _rate(content: dict[str, Any], where: str) -> Rate | None:
    """Return the rate of a data set by its step, or by its times, both of which have six digits.

    Raises RecordingError for times that are not evenly spaced.
    """
    unit = SECONDS.get(content["abscissa_axis_units_lab"].strip().upper())
    if content["abscissa_spacing"] == 1:
        step = content["abscissa_inc"]
        if unit is None or not 0 < step < np.inf:
            return None
        return Rate(rate_of_step(step * unit, written_step(step, DIGITS) * unit), "the step of its abscissa")
    times = content["x"]
    rate = rate_of_times(times * (unit or 1.0))
    if rate is None and len(times) > 2:
        steps = np.diff(times)
        usual, rounded = np.median(steps), 10.0 ** (1 - DIGITS) * np.abs(times).max()
        if not np.abs(steps - usual).max() <= usual / 2 + rounded:
            raise RecordingError(f"{where} is not evenly sampled: resample it")
    return None if rate is None or unit is None else Rate(rate, "the times of its samples")
