#!/usr/bin/env bash
# Flax (Linen) calls the initializer of every parameter again whenever a module is applied.
#
# Expected: an initializer runs in ``init`` and never after, because ``apply`` is given the parameters.
# Seen with flax 0.12.8 and jax 0.10.2: ``Scope.param`` traces ``init_fn(key, shape)`` under ``jax.eval_shape`` in each ``apply``
# that is traced, only to compare the shape of the result with that of the parameter. So an initializer that counts, logs, or
# is slow in Python does so again with every trace, one that returns numbers read from a file reads it again, and tracing a
# network costs its initialisation once more. An initializer in ``jax.jit`` with a static shape is traced once.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet jax==0.10.2 jaxlib==0.10.2 flax==0.12.8
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PY'
import flax.linen as nn
import jax
import jax.numpy as jnp

calls = []


def counting(key, shape, dtype=jnp.float32):
    calls.append(shape)
    return nn.initializers.he_normal()(key, shape, dtype)


x = jnp.ones((1, 4))


def count(initializer):
    """How often the initializer runs in init, and in each of two traces of apply."""
    layer, counts = nn.Dense(3, kernel_init=initializer), []
    calls.clear()
    variables = layer.init(jax.random.key(0), x)
    counts.append(len(calls))
    for batch in (1, 2):
        calls.clear()
        jax.jit(layer.apply)(variables, jnp.ones((batch, 4)))
        counts.append(len(calls))
    return counts


plain, jitted = count(counting), count(jax.jit(counting, static_argnums=(1, 2)))
print("runs of a plain initializer in init and two traces of apply:", plain)
print("runs of the same one in jax.jit:", jitted)
assert plain == [1, 1, 1], plain
assert jitted == [1, 0, 0], jitted
PY
