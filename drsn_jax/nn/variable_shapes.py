"""The names, shapes and dtypes of a network's variables, found without computing anything."""

import functools
import json
from typing import Any

import jax
import jax.numpy as jnp

from drsn_jax.core import kept_files
from drsn_jax.core.arrays import named_leaves

# fields that change no variable are reset, so that networks which differ only in them share one entry of the cache
RESET: dict[str, Any] = {
    "parent": None,
    "name": None,
    "implementation": "modules",
    "platform": None,
    "standardise": False,
    "scale": 1.0,
    "axis_name": None,
}


def variable_shapes(network: Any, window: tuple[int, ...]) -> Any:
    """Return ``{"params", "batch_stats"}`` of a network as a tree of ``jax.ShapeDtypeStruct``.

    Args:
      network: a ``Network``.
      window: the shape of one window, ``(*positions, channels)``.

    The initialisation is traced to find them, which takes as long as tracing a training step: the result is cached, and kept for
    the next process where files are kept (``kept_files``).
    """
    return _traced(network.clone(**RESET), tuple(window), jax.config.values["jax_enable_x64"])


@functools.lru_cache(maxsize=64)
def _traced(network: Any, window: tuple[int, ...], x64: bool) -> Any:
    def listed() -> str:
        windows = jax.ShapeDtypeStruct((1, *window), jnp.float32)
        shapes = jax.eval_shape(lambda key, x: network.init(key, x, train=False), jax.random.key(0), windows)
        return json.dumps({name: (leaf.shape, leaf.dtype.name) for name, leaf in named_leaves(shapes)})

    tree: dict[str, Any] = {}
    for name, (shape, dtype) in json.loads(kept_files.remembered(listed, "variable shapes", network, window)).items():
        *parts, last = name.split("/")
        inner = functools.reduce(lambda inside, part: inside.setdefault(part, {}), parts, tree)
        inner[last] = jax.ShapeDtypeStruct(shape, dtype)
    return tree
