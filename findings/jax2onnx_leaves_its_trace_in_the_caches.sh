#!/usr/bin/env bash
# After jax2onnx has converted a function, a jitted function that it calls fails in the same process.
#
# Expected: a conversion looks at a function and changes nothing of it. Seen with jax2onnx 0.17.1 and jax 0.10.2: while it traces,
# jnp.mean and others stand for operations of its own; JAX keeps the trace of a function under jax.jit that is called inside, and the
# next compiled function that calls it is given that trace: NotImplementedError, no translation rule for 'jax.numpy.mean'. A model
# that was exported and is then asked fails so. jax.clear_caches() behind the conversion mends it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet jax==0.10.2 jaxlib==0.10.2 flax==0.12.8 jax2onnx==0.17.1 onnx==1.23.2
cat >"$folder/show.py" <<'PY'
import jax
import jax.numpy as jnp
import numpy as np
from jax2onnx import to_onnx

centred = jax.jit(lambda x: x - jnp.mean(x))
x = np.arange(4, dtype=np.float32)
to_onnx(lambda x: centred(x), [x.shape])
try:
    jax.jit(lambda x: 2 * centred(x))(x)
    first = "works"
except NotImplementedError:
    first = "NotImplementedError"
jax.clear_caches()
print(first, *jax.jit(lambda x: 2 * centred(x))(x))
PY
shown=$(JAX_PLATFORMS=cpu "$folder/venv/bin/python" -W ignore "$folder/show.py" 2>/dev/null)
echo "after the conversion, and after jax.clear_caches(): $shown"
[ "$shown" = "NotImplementedError -3.0 -1.0 1.0 3.0" ]
