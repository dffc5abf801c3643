"""The names, shapes and dtypes of a network's variables, found without computing anything."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

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

    The initialisation is traced to find them, which takes as long as tracing a training step: the result is cached.
    """
    return _traced(network.clone(**RESET), tuple(window), jax.config.values["jax_enable_x64"])


@functools.lru_cache(maxsize=64)
def _traced(network: Any, window: tuple[int, ...], x64: bool) -> Any:
    windows = jax.ShapeDtypeStruct((1, *window), jnp.float32)
    return jax.eval_shape(lambda key, x: network.init(key, x, train=False), jax.random.key(0), windows)
