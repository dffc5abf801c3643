"""The initial parameters and statistics of a network from one draw of random numbers, equal to those of ``Network.init``.

The modules draw the kernel of every layer on its own. A program of a hundred draws takes seconds to compile, and most of a second
to trace and to load even where it is kept on disk. Here one short program draws all numbers, and they are divided on the host.
"""

import hashlib
import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import configurations

from drsn_jax.core.arrays import named_leaves
from drsn_jax.nn.layers import BatchNorm
from drsn_jax.nn.network_checks import by_channel, check_fields
from drsn_jax.nn.variable_shapes import variable_shapes

CONSTANTS = {"bias": 0.0, "mean": 0.0, "scale": 1.0, "var": 1.0}  # all leaves but the kernels
DEVIATION = 0.87962566103423978  # of a standard normal distribution that is cut off at ±2, as in jax.nn.initializers


class Initialisation(NamedTuple):
    """What is drawn for a network, and what it is for.

    Fields:
      shapes: the variables, a tree of ``jax.ShapeDtypeStruct``.
      numbers: for each kernel, the number that Flax folds into the key of the network.
      size: of the largest kernel.
    """

    shapes: Any
    numbers: np.ndarray
    size: int

    def variables(self, drawn: np.ndarray) -> dict[str, Any]:
        """Return ``{"params", "batch_stats"}`` on the host, of the numbers that ``draw`` returned, ``(kernels, size)``."""
        rows, leaves = iter(drawn), []
        for name, leaf in named_leaves(self.shapes):
            if name.endswith("/kernel"):
                # He et al. 2015, by the inputs of the layer; in the order and the precision of jax.nn.initializers
                scale = np.sqrt(np.float32(2 / math.prod(leaf.shape[:-1]))) / np.float32(DEVIATION)
                leaves.append(next(rows)[: leaf.size].reshape(leaf.shape) * scale)
            else:
                leaves.append(np.full(leaf.shape, CONSTANTS[name.rsplit("/", 1)[1]], np.float32))
        return jax.tree.unflatten(jax.tree.structure(self.shapes), leaves)


def draw(key: jax.Array, numbers: jax.Array | np.ndarray, size: int) -> jax.Array:
    """Draw ``(len(numbers), size)`` from a standard normal distribution cut off at ±2, each row by a key of its own.

    ``numbers`` are folded into ``key`` for the keys of the rows. To be compiled. A kernel takes the numbers at the beginning of
    its row, which do not depend on the length of the row.
    """
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)
    return jax.vmap(lambda key: jax.random.truncated_normal(key, -2, 2, (size,), jnp.float32))(keys)


def initialisation(network: Any, key: jax.Array, window: tuple[int, ...]) -> Initialisation | None:
    """Return what to draw for a network and windows of a shape; None where only its modules can tell.

    That is so for networks that are not a plain ``Network`` and for modules of the user's own; and for random keys of another
    kind than JAX's usual one, whose numbers depend on how many are drawn together.
    """
    usual = jax.config.values["jax_threefry_partitionable"] and str(jax.random.key_impl(key)) == "threefry2x32"
    if not (usual and getattr(network, "blocks", False) and network.conv is nn.Conv and network.norm is BatchNorm):
        return None
    # the shapes are known by other fields, so a call with bad values of these would end well
    check_fields(network)
    if network.front_end is None:
        windows: Any = np.zeros((1, *window), np.float32)
        for field in ("offset", "scale"):
            by_channel(network, field, windows)
    shapes = variable_shapes(network, window)
    kernels = {name: leaf for name, leaf in named_leaves(shapes) if name.endswith("/kernel")}
    return Initialisation(
        shapes, np.array([_number(name) for name in kernels], np.uint32), max(leaf.size for leaf in kernels.values())
    )


def _number(name: str) -> int:
    """Return the number that Flax folds into the key of a network for the kernel ``params/module/.../kernel``.

    It is a hash of the names of the modules and of which draw of its module it is: a kernel is the first.
    """
    separator = b"\0" if configurations.config.flax_fix_rng_separator else b""
    parts = [*(part.encode() for part in name.split("/")[1:-1]), b"\1"]
    return int.from_bytes(hashlib.sha1(b"".join(separator + part for part in parts)).digest()[:4], "big")
