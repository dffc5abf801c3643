#!/usr/bin/env bash
# jax2onnx converts flax's max_pool with padding given in numbers as if there were none, and no check notices.
#
# Expected: padding=((1, 1), (1, 1)), as every ResNet has it behind its first convolution, becomes the attribute pads of MaxPool, or
# is refused. Seen with jax2onnx 0.17.1: MaxPool gets auto_pad=VALID. For 8 × 8 positions the file puts out 3 × 3 in place of 4 × 4;
# behind convolutions and a mean over the positions the shape is right, onnx.checker passes, and the probabilities are wrong (by up to
# 0.26 in a small ResNet). "SAME" and "VALID" are converted rightly. Padding by jnp.pad in front of a pooling without padding helps.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet jax==0.10.2 jaxlib==0.10.2 flax==0.12.8 jax2onnx==0.17.1 onnx==1.23.2 onnxruntime==1.32.0
cat >"$folder/show.py" <<'PY'
import flax.linen as nn
import numpy as np
import onnx
import onnxruntime
from jax2onnx import to_onnx

x = np.random.default_rng(0).normal(size=(1, 8, 8, 1)).astype(np.float32)
found = []
for padding in (((1, 1), (1, 1)), "SAME"):
    pool = lambda x: nn.max_pool(x, window_shape=(3, 3), strides=(2, 2), padding=padding)  # noqa: E731
    model = to_onnx(pool, [x.shape])
    onnx.checker.check_model(model, full_check=True)
    name = model.graph.input[0].name
    (y,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {name: x})
    found += [y.shape[1:3], pool(x).shape[1:3]]
print(*found)
PY
shown=$(JAX_PLATFORMS=cpu "$folder/venv/bin/python" -W ignore "$folder/show.py" 2>/dev/null)
echo "ONNX and flax with padding in numbers, ONNX and flax with SAME: $shown"
[ "$shown" = "(3, 3) (4, 4) (4, 4) (4, 4)" ]
