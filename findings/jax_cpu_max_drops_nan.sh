#!/usr/bin/env bash
# On a CPU, jnp.max and jnp.min lose NaN once the array has 4,096 numbers.
#
# Expected: NaN, as NumPy's, as the documentation of jax.numpy says, and as for 4,095 numbers.
# Seen with jax 0.10.2 (and the same with 0.12.0.1): the compiled jnp.max of 4,096 NaN is -inf and jnp.min is inf; the maximum of
# rows of 2,048 numbers skips a NaN in any of them; relu followed by a sum gives 0 for a row that holds a NaN. jnp.sum and jnp.mean
# alone keep it, and jax_debug_nans sees nothing. So a network with ReLU answers a broken window like any other as soon as the
# batch is large, and a test on a small array does not show it. The flag below, which takes reductions away from the library
# YNNPACK, brings NaN back.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet jax==0.10.2 jaxlib==0.10.2
cat >"$folder/show.py" <<'PY'
import jax
import jax.numpy as jnp
import numpy as np

largest, smallest = jax.jit(jnp.max), jax.jit(jnp.min)
found = {}
for size in (4095, 4096):
    nothing = np.full(size, np.nan, np.float32)
    found[size] = float(largest(nothing)), float(smallest(nothing))
rows = np.zeros((2, 2048), np.float32)
rows[1, 5] = np.nan
print(found[4095], found[4096], jax.jit(lambda x: x.max(1))(rows)[1], jax.jit(lambda x: jax.nn.relu(x).sum(1))(rows)[1])
PY
show() { env -u XLA_FLAGS JAX_PLATFORMS=cpu ${1:+XLA_FLAGS="$1"} "$folder/venv/bin/python" "$folder/show.py"; }
plain=$(show)
without=$(show --xla_cpu_experimental_ynn_fusion_type=)
echo "as installed:     $plain"
echo "without YNNPACK:  $without"
[ "$plain" = "(nan, nan) (-inf, inf) 0.0 0.0" ]
[ "$without" = "(nan, nan) (nan, nan) nan nan" ]
