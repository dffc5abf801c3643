#!/usr/bin/env bash
# On a CPU the gradient of a strided convolution with respect to its input takes several times as long as the convolution.
#
# Expected: about the time of the convolution, which needs as many products; for stride 1 that is so. Seen with jax 0.10.2: with stride
# 2, 16 channels and images of 32 × 32, three to four times the processor time of the convolution, as if it multiplied by the zeros that a
# dilated input has between its rows and columns. The same gradient written as four convolutions, of every second row and column
# each, has none of them and takes half of it. The convolution itself is slower in that form, so that it must be chosen for the
# gradient alone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet jax==0.10.2 jaxlib==0.10.2 numpy==2.3.5
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PY'
import time

import jax
import jax.numpy as jnp
import numpy as np

AXES = ("NHWC", "HWIO", "NHWC")
x, kernel = (jnp.asarray(np.random.default_rng(0).normal(size=s), jnp.float32) for s in ((64, 32, 32, 16), (3, 3, 16, 16)))


def convolve(x, kernel, stride, pads=((1, 1), (1, 1))):
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), pads, dimension_numbers=AXES)


def by_phases(x, kernel):
    """Stride 2: what even and odd rows and columns contribute, each a convolution of stride 1."""
    parts = []
    for row in (0, 1):
        for column in (0, 1):
            taps = kernel[1 - row :: 2, 1 - column :: 2][: 1 + row, : 1 + column]
            parts.append(convolve(x[:, row::2, column::2], taps, 1, ((row, 0), (column, 0))))
    return sum(parts)


def gradient(function):
    return jax.jit(lambda x, kernel, y: jax.vjp(lambda x: function(x, kernel), x)[1](y)[0])


def milliseconds(function, *given):
    jax.block_until_ready(function(*given))
    found = []
    for _ in range(15):
        begun = time.process_time()
        jax.block_until_ready(function(*given))
        found.append(time.process_time() - begun)
    return 1e3 * min(found)


times = {}
for stride in (1, 2):
    forward = jax.jit(lambda x, kernel, stride=stride: convolve(x, kernel, stride))
    y = forward(x, kernel)
    times[stride] = milliseconds(forward, x, kernel), milliseconds(gradient(lambda x, k, s=stride: convolve(x, k, s)), x, kernel, y)
y = convolve(x, kernel, 2)
np.testing.assert_allclose(by_phases(x, kernel), y, atol=1e-3)
plain, phases = gradient(lambda x, k: convolve(x, k, 2)), gradient(by_phases)
np.testing.assert_allclose(plain(x, kernel, y), phases(x, kernel, y), atol=1e-2)
phased = milliseconds(phases, x, kernel, y)
for stride, (forward, backward) in times.items():
    print(f"stride {stride}: convolution {forward:.1f} ms of processor time, gradient to the input {backward:.1f}")
print(f"stride 2, the gradient by four phases: {phased:.1f} ms")
assert times[1][1] < 2 * times[1][0]
assert times[2][1] > 2 * times[2][0]
assert times[2][1] > 1.3 * phased
PY
