"""Results of Modelica simulations, ``dsres.mat`` of Dymola and ``_res.mat`` of OpenModelica: files of MATLAB 4 with a table of
names.

Source: the class ``Atrajectory`` of Dymola's User Manual, which OpenModelica writes too.
"""

import functools
from collections.abc import Sequence

import numpy as np

from drsn_jax.data.formats.arrays import Held

NEEDED = {"Aclass", "name", "dataInfo", "data_2"}


def is_result(held: Sequence[Held]) -> bool:
    """Return whether these arrays of a file are the result of a simulation."""
    return {array.name for array in held} >= NEEDED


def variables(held: Sequence[Held]) -> list[Held]:
    """Return the variables of a simulation by their names, ``body.a``. Parameters are single numbers.

    Raises ValueError where the arrays do not fit together.
    """
    arrays = {array.name: array for array in held}
    turned = "binTrans" in "".join(_words(arrays["Aclass"], by_columns=False))
    names = _words(arrays["name"], by_columns=turned)
    info = _numbers(arrays["dataInfo"]).astype(int)
    info = info if turned else info.T
    if len(info) < 2 or info.shape[1] != len(names):
        raise ValueError(f"it names {len(names)} variables and describes {info.shape[1]}")
    tables = {number: _Table(arrays[f"data_{number}"], turned) for number in (1, 2) if f"data_{number}" in arrays}
    found = []
    for name, number, place in zip(names, info[0].tolist(), info[1].tolist(), strict=True):
        table = tables.get(number or 2)  # 0: the time, which is the first variable of each table
        if table is None or not 1 <= abs(place) <= table.width:
            raise ValueError(f"its variable {name} is at {place} of the table {number}")
        constant = number == 1  # at the beginning and at the end
        shape = (1, 1) if constant else (table.length, 1)
        part = functools.partial(table.part, abs(place) - 1, -1.0 if place < 0 else 1.0)
        found.append(Held("numbers", shape, part, numeric=True, name=name, unit=1.0 if number == 0 else None))
    return found


class _Table:
    """The values of some variables, which are read once for all."""

    def __init__(self, array: Held, turned: bool) -> None:
        rows, columns = (*array.shape, 1, 1)[:2]
        self.width, self.length = (rows, columns) if turned else (columns, rows)
        self.values = functools.cache(lambda: _numbers(array) if turned else _numbers(array).T)

    def part(self, row: int, sign: float, start: int, stop: int) -> np.ndarray:
        """Return a part of a variable as ``Held.part`` does."""
        return sign * self.values()[row, start:stop, None]


def _numbers(array: Held) -> np.ndarray:
    """Read a whole matrix."""
    return array.part(0, array.length).reshape(array.shape, order="F")


def _words(array: Held, by_columns: bool) -> list[str]:
    """Return the texts in the rows, or the columns, of a matrix of characters."""
    letters = _numbers(array).astype(int)
    return ["".join(map(chr, row)).strip(" \0") for row in (letters.T if by_columns else letters).tolist()]
