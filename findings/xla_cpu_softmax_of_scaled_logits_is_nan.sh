#!/usr/bin/env bash
# Compiled for a CPU, jax.nn.softmax(logits / temperature) is NaN for large finite logits.
#
# Expected: probabilities, as without jit, because a softmax subtracts the largest logit first and is called stable for that.
# Seen with jax 0.10.2: the division becomes a product, it is computed once for the largest and once more, together with the
# subtraction and one rounding (a fused multiply-add), for the difference. That is then not at most 0 but up to 2⁻²⁴ of the logit: of
# 3.6e13 about 1e6, whose exponential is infinite, and infinity / infinity is NaN. Logits above about 1e9 are enough, which a network
# without normalised inputs gives for a sensor in raw counts. Neither jax.lax.optimization_barrier around the quotient nor float32
# matmul precision helps. Scale the weights of the last layer, or subtract the largest logit before the division.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet jax==0.10.2 jaxlib==0.10.2
cat >"$folder/show.py" <<'PY'
import jax
import numpy as np

logits = np.array([[3.5601668e13, -1.0394198e13, -6.0644435e12]], np.float32)
ways = {
    "scaled": lambda z: jax.nn.softmax(z / np.float32(1.7)),
    "subtracted": lambda z: jax.nn.softmax((z - z.max(-1, keepdims=True)) / np.float32(1.7)),
}
print(*(f"{name} {way(logits)[0, 0]} {jax.jit(way)(logits)[0, 0]}" for name, way in ways.items()))
PY
shown=$(JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/show.py")
echo "largest probability, without and with jit: $shown"
[ "$shown" = "scaled 1.0 nan subtracted 1.0 1.0" ]
