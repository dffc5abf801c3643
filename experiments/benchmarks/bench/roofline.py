"""What the hardware allows: how fast this machine multiplies matrices and copies, and the time below which no step can get.

The count goes through a network layer by layer. Operations: two for each multiplication of a convolution or FC layer, three times
as many in training (forward, and the gradients of input and kernel). Bytes: every array of features (the output of a convolution
and the sum at the end of a unit) is written once and read once; in training it is read again by the backward pass, and its
gradient is written once and read once. Norms, ReLUs and thresholds are taken to cost nothing, as if fused into that; weights are
too few to matter. A step that keeps to this order can do no better than the larger of operations / matrix rate and bytes / copy
rate. A program that takes a window through several layers at once, inside a cache, may move less.
"""

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from bench.cases import Case

FLOAT = 4  # bytes


class Work(NamedTuple):
    """Of one step: floating-point operations, bytes read and written, and the bytes of the largest array of features."""

    operations: int
    bytes: int
    largest: int


class Machine(NamedTuple):
    """Operations a second of matrix products in float32; bytes a second, read and written, of copies between arrays of 256 MB and
    between arrays of 1 MB, which a cache can hold."""

    operations: float
    memory: float
    cache: float


def count(case: Case) -> Work:
    """The work of one step."""
    fields, (*positions, channels) = case.fields, case.window
    kernel, shrinkage = fields["kernel"], fields["shrinkage"]
    multiplications, features = 0, []

    def convolution(inputs: int, outputs: int, strides: int) -> None:
        nonlocal multiplications, positions
        multiplications += math.prod(map(_products, positions, kernel, (strides,) * len(kernel))) * inputs * outputs
        positions = [math.ceil(length / strides) for length in positions]
        features.append(math.prod(positions) * outputs)

    convolution(channels, fields["widths"][0], fields["stem"])
    channels = fields["widths"][0]
    for width, units in zip(fields["widths"], fields["units"], strict=True):
        for number in range(units):
            convolution(channels, width, 2 if number == 0 else 1)
            convolution(width, width, 1)
            if shrinkage is not None:
                multiplications += width * width + width * (1 if shrinkage == "channel_shared" else width)
            features.append(features[-1])  # the sum
            channels = width
    multiplications += channels * fields["classes"]
    passes, touches = (3, 5) if case.task == "train" else (1, 2)
    # the windows themselves are only read, in training twice
    read = math.prod(case.window) * (2 if case.task == "train" else 1)
    return Work(
        2 * passes * multiplications * case.batch,
        FLOAT * case.batch * (touches * sum(features) + read),
        FLOAT * case.batch * max(features),
    )


def _products(length: int, kernel: int, strides: int) -> int:
    """Along one axis the products of all outputs, without those with the zeros beyond its ends."""
    starts = range(-((kernel - 1) // 2), length - (kernel - 1) // 2, strides)
    return sum(min(start + kernel, length) - max(start, 0) for start in starts)


def seconds(work: Work, machine: Machine) -> float:
    """The least time for it; copies are taken to be as fast as in a cache only where the largest array fits into one."""
    copies = machine.cache if work.largest <= 2**20 else machine.memory
    return max(work.operations / machine.operations, work.bytes / copies)


def measure(threads: int, repeats: int = 9, *, large: int = 256 * 2**20, small: int = 2**20, side: int = 2048) -> Machine:
    """The rates of this machine with so many threads, each the best of ``repeats``."""
    import jax
    import jax.numpy as jnp

    matrix = jnp.asarray(np.random.default_rng(0).normal(size=(side, side)), jnp.float32)
    product = jax.jit(jnp.matmul)
    product(matrix, matrix).block_until_ready()
    multiply = _least(lambda: product(matrix, matrix).block_until_ready(), repeats)
    with ThreadPoolExecutor(threads) as pool:
        rates = [_copy_rate(pool, threads, size, repeats) for size in (large, small)]
    return Machine(2 * side**3 / multiply, *rates)


def _copy_rate(pool: ThreadPoolExecutor, threads: int, size: int, repeats: int) -> float:
    """Every thread copies its own part of an array of ``size`` bytes, many times if it is small."""
    times = max(1, 2**27 // size)
    length = size // threads // FLOAT
    parts = [(np.ones(length, np.float32), np.zeros(length, np.float32)) for _ in range(threads)]

    def copy(part: tuple[np.ndarray, np.ndarray]) -> None:
        for _ in range(times):
            np.copyto(part[1], part[0])

    return 2 * times * sum(source.nbytes for source, _ in parts) / _least(lambda: list(pool.map(copy, parts)), repeats)


def _least(work: Callable[[], object], repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return min(taken)
