"""The training windows as batches of one shape, in an order that seed and epoch decide, spread over devices.

A small training set lies on the device, where its batches are picked. A large one stays in host memory or in a file that is
memory-mapped, and a thread makes its batches ahead. The step sees no difference.
"""

import math
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import ArrayLike

from drsn_jax.core.arrays import as_labels, as_windows, native
from drsn_jax.core.distributed import AXIS_NAME, Device, replicate, shares
from drsn_jax.core.errors import UserError
from drsn_jax.core.storage import PREFETCH, prefetch


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """Return the number of batches that hold every example once; the last batch is filled up."""
    return -(-examples // batch_size)


def epoch_order(examples: int, batch_size: int, *, seed: int, epoch: int) -> np.ndarray:
    """Return the numbers of the examples in each batch of an epoch, ``(steps, batch_size)``.

    They are a permutation that ``seed`` and ``epoch`` decide; its beginning fills up the last batch.
    """
    order = np.random.default_rng((seed, epoch)).permutation(examples)
    return np.resize(order, (steps_per_epoch(examples, batch_size), batch_size))


class Batches:
    """A training set as batches.

    Args:
      windows: ``(n, *positions, channels)``, an array or a memory map (``numpy.load(file, mmap_mode="r")``).
      labels: ``(n,)`` integers from 0; those of a table belong to the windows by their position, whatever its index.
      batch_size: examples of one step, on all devices of all processes together.
      seed: decides the order of the examples.
      devices: devices of this process, for a step that ``distributed.pmap_step`` made: batches then have an axis of devices in
        front, and each process reads only its own share of the examples. None for a step under ``jit``.
      on_device: whether all windows are put on the device. By default they are on an accelerator if they take less than a quarter
        of its memory; a CPU shares the host's memory anyway.

    Raises:
      ValueError: without examples, if there are not as many labels as windows, for windows that are not real numbers or whose
        axes are swapped, for labels that are not integers from 0, for a batch size below 1 or a negative seed, and if the number
        of devices is 0 or does not divide the batch size.
    """

    def __init__(
        self,
        windows: np.ndarray,
        labels: ArrayLike,
        batch_size: int,
        *,
        seed: int = 0,
        devices: Sequence[Device] | None = None,
        on_device: bool | None = None,
    ) -> None:
        windows, given = as_windows(windows), np.asarray(labels)
        if len(windows) == 0 or len(windows) != len(given):
            raise UserError(f"training needs as many windows as labels, and some: got {len(windows)} and {len(given)}")
        if not isinstance(batch_size, int | np.integer) or batch_size < 1:
            raise UserError(f"a batch has at least one example, got a batch size of {batch_size}")
        if seed < 0:
            raise UserError(f"the seed of an order is not negative, got {seed}")
        if windows.dtype.kind not in "iufb" and windows.dtype != jnp.bfloat16:
            raise UserError(f"windows are real numbers, got the type {windows.dtype}")
        self.windows, self.labels = windows, as_labels(given, len(windows))
        self.batch_size, self.seed = batch_size, seed
        self.examples, self.steps = len(windows), steps_per_epoch(len(windows), batch_size)
        if devices is not None and not devices:
            raise UserError("an empty list of devices was given: give at least one, or None for a step without a map")
        self._devices = list(devices) if devices is not None else None
        self._count, self._mine = (1, [0]) if self._devices is None else shares(self._devices)
        if batch_size % self._count:
            raise UserError(f"{self._count} devices do not divide the batch size {batch_size}: choose a multiple")
        home = (self._devices or jax.local_devices())[0]
        self._ahead = PREFETCH if home.platform != "cpu" or isinstance(windows, np.memmap) else 0
        self._pick = None
        if on_device if on_device is not None else _fits(home, windows.nbytes):
            self._pick, self._ahead = _picker(self.windows, self.labels, self._devices), 0

    @property
    def members(self) -> int | None:
        """How many trainings a step makes at once; None for a single one."""
        return None

    @property
    def windows_per_step(self) -> int:
        """How many windows a step takes, for all trainings together."""
        return self.batch_size

    def facts(self) -> dict[str, Any]:
        """Return what tells this training from others whose states have the same shapes, as JSON can hold it.

        Of the windows only the shape is part of it, because simulated ones differ in their last bits from machine to machine.
        """
        return {
            "examples": self.examples,
            "window": list(self.windows.shape[1:]),
            "labels": zlib.crc32(np.asarray(self.labels, np.int64).tobytes()),
            "batch_size": self.batch_size,
            "seed": self.seed,
        }

    def epoch(self, number: int, *, first_step: int = 0, steps_per_call: int = 1) -> Iterator[dict[str, Any]]:
        """Return an iterator over the batches of epoch ``number``, from step ``first_step`` on.

        Windows are ``(batch, …)``, and with ``devices`` ``(devices, batch / devices, …)``. With ``steps_per_call`` above 1 each
        item holds that many batches, ``(steps, batch, …)`` or ``(devices, steps, batch / devices, …)``; the last item of an epoch
        may hold fewer.
        """
        order = epoch_order(self.examples, self.batch_size, seed=self.seed, epoch=number)
        mine = order.reshape(len(order), self._count, -1)[first_step:, self._mine]
        calls = (mine[i : i + steps_per_call] for i in range(0, len(mine), steps_per_call))
        return prefetch((self._batch(self._layout(call, steps_per_call)) for call in calls), self._ahead)

    def describe_bad(self, number: int, step: int) -> str:
        """Return a sentence naming the windows of a step's batch that hold NaN or infinity; it is empty if there are none among
        the windows that this process reads."""
        order = epoch_order(self.examples, self.batch_size, seed=self.seed, epoch=number)[step]
        mine = np.unique(order.reshape(self._count, -1)[self._mine])
        bad = [int(i) for i in mine if not np.all(np.isfinite(self.windows[i]))]
        if not bad:
            return ""
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        numbers = f"{'window' if len(bad) == 1 else 'windows'} {', '.join(map(str, bad[:5]))}{more}"
        return f"{numbers} of the training set, in its batch, {'holds' if len(bad) == 1 else 'hold'} NaN or infinity"

    def _layout(self, examples: np.ndarray, steps_per_call: int) -> np.ndarray:
        """Order examples ``(steps, devices, share)`` as the step expects them, see ``epoch``."""
        if steps_per_call == 1:
            examples = examples[0]
            return examples[0] if self._devices is None else examples
        examples = examples.swapaxes(0, 1)
        return examples[0] if self._devices is None else examples

    def _batch(self, examples: np.ndarray) -> dict[str, Any]:
        if self._pick is not None:
            return self._pick(examples)
        batch = {
            "windows": native(self.windows[examples]),
            "labels": native(self.labels[examples]),
            "weights": np.ones(examples.shape, np.float32),
        }
        # on an accelerator the copy starts now instead of with the step; pmap places its shards itself
        return jax.device_put(batch) if self._ahead and self._devices is None else batch


def _fits(device: Any, size: int) -> bool:
    limit = (device.memory_stats() or {}).get("bytes_limit", math.inf) if device.platform != "cpu" else 0
    return size < limit / 4


def _picker(windows: np.ndarray, labels: np.ndarray, devices: Sequence[Device] | None) -> Any:
    """Put all windows on every device and return ``examples -> batch``, which picks a batch there."""

    def pick(data: Any, examples: jax.Array) -> dict[str, jax.Array]:
        return {
            "windows": data[0][examples],
            "labels": data[1][examples],
            "weights": jnp.ones(examples.shape, jnp.float32),
        }

    data = (native(np.ascontiguousarray(windows)), native(np.ascontiguousarray(labels)))
    if devices is None:
        placed, compiled = jax.device_put(data), jax.jit(pick)
    else:
        spread = NamedSharding(Mesh(np.asarray(devices), (AXIS_NAME,)), PartitionSpec(AXIS_NAME))
        placed, compiled = replicate(data, devices), jax.jit(pick, out_shardings=spread)
    return lambda examples: compiled(placed, examples)
