"""The same step on several devices: ``pmap`` over shards of the batch, the state one and the same on all of them.

With several processes (``hosts.start``) the map spans the devices of all of them. Each process holds its own copies of the
state, on its own devices, and feeds them their shards; collectives inside the step keep the copies equal.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from drsn_jax.training import Batch

AXIS_NAME = "devices"
Device = Any  # jax.Device, which type checkers do not take for a type


def choose_devices(count: int | None = None) -> list[Device]:
    """The first ``count`` local devices, or all; ValueError where there are fewer."""
    devices = jax.local_devices()
    if count is None:
        return devices
    if not 1 <= count <= len(devices):
        raise ValueError(
            f"{count} devices were asked for and {len(devices)} of kind {devices[0].platform!r} are there; on a CPU set "
            "JAX_NUM_CPU_DEVICES before the start"
        )
    return devices[:count]


def shares(devices: Sequence[Device]) -> tuple[int, list[int]]:
    """Into how many shards a batch is cut, and which of them are those of this process.

    ``devices`` are those of this process; ValueError where it has more of them and is not alone.
    """
    if jax.process_count() == 1:
        return len(devices), list(range(len(devices)))
    if len(devices) != jax.local_device_count():
        raise ValueError(
            f"{len(devices)} of {jax.local_device_count()} devices were chosen: with several processes each uses all it has"
        )
    mine = [i for i, device in enumerate(jax.devices()) if device.process_index == jax.process_index()]
    return jax.device_count(), mine


def pmap_step(
    step: Callable[..., Any], devices: Sequence[Device], *, donate: bool = True, arguments: int = 0
) -> Callable[..., Any]:
    """``step``, made with ``axis_name=AXIS_NAME``, over ``devices``; ``arguments`` more may follow the batch, the same on all.

    The state goes in and comes out without a device axis: place it once with ``replicate``. The batch has one: ``shard``.
    With ``donate`` the state given is used up (training); evaluation keeps it. With several processes ``devices`` are those
    of this one, and the map is over those of all.
    """
    return jax.pmap(
        step,
        axis_name=AXIS_NAME,
        in_axes=(None, 0, *(None,) * arguments),
        out_axes=(None, None),
        devices=list(devices) if jax.process_count() == 1 else None,
        donate_argnums=(0,) if donate else (),
    )


def pmap_predict(step: Callable[[Any, Any], jax.Array], devices: Sequence[Device]) -> Callable[[Any, Any], jax.Array]:
    """``(state, windows) -> logits`` over ``devices``, the state placed by ``replicate``; ValueError as ``shard``."""
    mapped = jax.pmap(step, axis_name=AXIS_NAME, in_axes=(None, 0), devices=list(devices))

    def predict(state: Any, windows: Any) -> jax.Array:
        logits = mapped(state, shard({"windows": windows}, len(devices))["windows"])
        return logits.reshape(-1, logits.shape[-1])

    return predict


def replicate(tree: Any, devices: Sequence[Device]) -> Any:
    """Copies of the arrays of ``tree`` on every device, placed as ``pmap_step`` leaves them: placed otherwise, it compiles
    twice."""
    # copies also where the array is already, or the donating step would use up the original
    tree = jax.tree.map(lambda leaf: leaf.copy() if isinstance(leaf, jax.Array) else leaf, tree)
    mesh = Mesh(np.asarray(devices), (AXIS_NAME,))
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()), may_alias=False)


def shard(batch: Batch, count: int) -> dict[str, Any]:
    """A batch as ``(count, batch / count, ...)``, example i of the batch on device ``i // (batch / count)``.

    Raises ValueError where ``count`` does not divide the batch: an example more on one device would weigh differently in
    the batch statistics. In evaluation pad with weight 0, as ``evaluation.evaluate`` does.
    """

    def split(array: Any) -> Any:
        if len(array) % count:
            raise ValueError(
                f"a batch of {len(array)} cannot be spread evenly over {count} devices: choose a batch size that is a "
                f"multiple of {count}"
            )
        return array.reshape(count, len(array) // count, *array.shape[1:])

    return {name: split(array) for name, array in batch.items()}


def place_on(devices: Sequence[Device]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """What ``evaluate`` does with a batch before a ``pmap_step`` over ``devices``: of the whole batch, which every process
    gives, each keeps its own shards."""
    count, mine = shares(devices)
    if count == len(mine):
        return lambda batch: shard(batch, count)
    return lambda batch: {name: array[mine] for name, array in shard(batch, count).items()}
