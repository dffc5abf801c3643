#!/usr/bin/env bash
# On a CPU jax.lax.optimization_barrier does not keep two operations from becoming one loop.
#
# Expected: what lies before the barrier is computed and stored, and what lies behind it reads that, because the barrier is made to
# stop the compiler from moving operations over it. Seen with jax 0.10.2: XLA takes the barrier out before it fuses. It stops the
# simplifications that come earlier (the negative of a negative stays), but sines before it and a product behind it are one loop, and
# no array of sines is stored. To have it stored, it must be an output, or the operand of something that is never fused.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet jax==0.10.2 jaxlib==0.10.2 numpy==2.3.5
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PY'
import re

import jax
import jax.numpy as jnp

barrier = jax.lax.optimization_barrier


def compiled(function):
    return jax.jit(function).lower(jax.ShapeDtypeStruct((1000, 8), jnp.float32)).compile().as_text()


def computations_with(word, text):
    """Names of the computations of a compiled program that hold an operation."""
    return {part.split()[0] for part in re.split(r"\n(?=%|ENTRY)", text) if re.search(rf"= \S+ {word}\(", part)}


text = compiled(lambda x: 2 * barrier(jnp.sin(x)))
together = computations_with("sine", text) & computations_with("multiply", text)
print("computations with both the sine and the product:", sorted(together))
assert len(together) == 1
assert next(iter(together)).startswith("%fused")
negations = {name: len(re.findall(r" negate\(", compiled(f))) for name, f in (
    ("without", lambda x: -(-x)),
    ("with", lambda x: -barrier(-x)),
)}
print("negations left without a barrier between them and with one:", *negations.values())
assert negations == {"without": 0, "with": 2}
PY
