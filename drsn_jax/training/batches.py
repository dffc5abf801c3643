"""The training windows as batches of one shape, in an order that seed and epoch decide, spread over devices.

A small training set lies on the device, where its batches are picked. A large one stays in host memory, in a file that is
memory-mapped, or wherever a source reads it from, and a thread makes its batches ahead. The step sees no difference.
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

from drsn_jax.core.arrays import as_windows, native
from drsn_jax.core.distributed import AXIS_NAME, Device, replicate, shares
from drsn_jax.core.errors import UserError
from drsn_jax.core.storage import PREFETCH, prefetch
from drsn_jax.training.sources import Arrays, RandomAccess, Source, in_memory


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
      windows: ``(n, *positions, channels)``, an array or a memory map (``numpy.load(file, mmap_mode="r")``); or a source, which
        has a length and an item for each number from 0, such as an array of HDF5 or Zarr or a data source of Grain. The windows
        of a source are read one by one when their batch is made, in the thread that makes batches ahead, so that there are never
        more in memory than some batches.
      labels: ``(n,)`` integers from 0; those of a table belong to the windows by their position, whatever its index. None for a
        source whose items are pairs ``(window, label)`` or mappings with ``window`` and ``label``.
      batch_size: examples of one step, on all devices of all processes together.
      seed: decides the order of the examples.
      devices: devices of this process, for a step that ``distributed.pmap_step`` made: batches then have an axis of devices in
        front, and each process reads only its own share of the examples. None for a step under ``jit``.
      on_device: whether all windows are put on the device. By default they are on an accelerator if they take less than a quarter
        of its memory; a CPU shares the host's memory anyway. A source never is.

    Raises:
      ValueError: without examples, if there are not as many labels as windows, for windows that are not real numbers or whose
        axes are swapped, for labels that are not integers from 0, for a batch size below 1 or a negative seed, and if the number
        of devices is 0 or does not divide the batch size. For a source also while its batches are made, where a window differs
        from others in its shape or a label is no integer from 0.
    """

    def __init__(
        self,
        windows: np.ndarray | RandomAccess,
        labels: ArrayLike | None = None,
        batch_size: int = 128,
        *,
        seed: int = 0,
        devices: Sequence[Device] | None = None,
        on_device: bool | None = None,
    ) -> None:
        if isinstance(windows, np.ndarray | jax.Array) and labels is None:
            raise UserError(f"windows in an array need labels, an array ({len(windows)},)")
        if labels is not None and in_memory(windows):
            self._data = Arrays(as_windows(windows), labels)
        else:
            self._data = Source(windows, labels)
            as_windows(jax.ShapeDtypeStruct((self._data.examples, *self._data.shape), self._data.dtype))
        self.labels = self._data.labels
        if not isinstance(batch_size, int | np.integer) or batch_size < 1:
            raise UserError(f"a batch has at least one example, got a batch size of {batch_size}")
        if seed < 0:
            raise UserError(f"the seed of an order is not negative, got {seed}")
        self.batch_size, self.seed = batch_size, seed
        self.examples, self.steps = self._data.examples, steps_per_epoch(self._data.examples, batch_size)
        if devices is not None and not devices:
            raise UserError("an empty list of devices was given: give at least one, or None for a step without a map")
        self._devices = list(devices) if devices is not None else None
        self._count, self._mine = (1, [0]) if self._devices is None else shares(self._devices)
        if batch_size % self._count:
            raise UserError(f"{self._count} devices do not divide the batch size {batch_size}: choose a multiple")
        home = (self._devices or jax.local_devices())[0]
        slow = isinstance(self._data, Source) or isinstance(windows, np.memmap)
        self._ahead, self._pick = PREFETCH if home.platform != "cpu" or slow else 0, None
        if isinstance(self._data, Source):
            if on_device:
                raise UserError("a source is read batch by batch, and on_device wants all windows at once: give them in an array")
        elif on_device if on_device is not None else _fits(home, self._data.windows.nbytes):
            self._pick, self._ahead = _picker(self._data.windows, self._data.labels, self._devices), 0

    @property
    def members(self) -> int | None:
        """How many trainings a step makes at once; None for a single one."""
        return None

    @property
    def windows_per_step(self) -> int:
        """How many windows a step takes, for all trainings together."""
        return self.batch_size

    @property
    def highest_label(self) -> int:
        """The highest label; of a source whose items have labels, the highest that was read so far, -1 before the first."""
        return self._data.highest

    def facts(self) -> dict[str, Any]:
        """Return what tells this training from others whose states have the same shapes, as JSON can hold it.

        Of the windows only the shape is part of it, because simulated ones differ in their last bits from machine to machine.
        Labels that are in the items of a source are not, because they would all have to be read.
        """
        return {
            "examples": self.examples,
            "window": list(self._data.shape),
            "labels": None if self.labels is None else zlib.crc32(np.asarray(self.labels, np.int64).tobytes()),
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
        bad = [i for i in mine.tolist() if not np.all(np.isfinite(self._data.window(i)))]
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
        windows, labels = self._data.read(examples)
        batch = {
            "windows": native(windows),
            "labels": native(labels),
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
