"""A network, data and a fold that a test can train in a moment, and a count of compilations.

The network, its optimiser and its steps are shared by many files, so that the cache on disk holds what they compile: another
number of steps in the schedule would already be another program.
"""

import contextlib
import functools
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.io

from drsn_jax.cli import console
from drsn_jax.data.windows import Fold, Side
from drsn_jax.functional.noise import Noise
from drsn_jax.nn.networks import Network, drsn_cw
from drsn_jax.training.optimizers import paper_optimizer
from drsn_jax.training.state import TrainState
from drsn_jax.training.steps import make_eval_step, make_train_step

CLASSES, LENGTH = 3, 64
# one unit: tracing and compiling take as long as there are units; what lies between units has the tests of the networks
network = drsn_cw(classes=CLASSES, widths=(4,), units=(1,), implementation="modules")
STEPS = 36  # of the schedule
optimizer = paper_optimizer(STEPS, 0.1)
train_step = make_train_step(network, optimizer, noise=Noise("gaussian", 0.0))
step = jax.jit(train_step, donate_argnums=0)
eval_step = jax.jit(make_eval_step(network))


@functools.cache
def _shapes(network: Any, shape: tuple[int, ...]) -> Any:
    return jax.eval_shape(functools.partial(network.init, train=False), jax.random.key(0), jnp.zeros(shape, jnp.float32))


def variables(network: Network = network, shape: tuple[int, ...] = (1, LENGTH, 1), seed: int = 0) -> Any:
    """Return variables of a network for windows of ``shape`` as a training begins with them, as arrays on the host: kernels
    drawn as He et al. do, ones and zeros elsewhere.

    NumPy draws them, because the draws of ``network.init`` take longer to compile than what most tests do with them.
    """
    rng = np.random.default_rng(seed)

    def begun(path: Any, leaf: Any) -> np.ndarray:
        match path[-1].key:
            case "kernel":
                value = rng.normal(size=leaf.shape) * np.sqrt(2 / np.prod(leaf.shape[:-1]))
            case "shares":  # of the bands in a rhythm
                value = 0.1 * rng.normal(size=leaf.shape)
            case "scale" | "var":
                value = np.ones(leaf.shape)
            case _:
                value = np.zeros(leaf.shape)
        return value.astype(leaf.dtype)

    return jax.tree.map_with_path(begun, _shapes(network, shape))  # pyright: ignore[reportArgumentType]


def begun(optimizer: Any = optimizer, seed: int = 0) -> TrainState:
    """Return the state of a training of the network before its first step. Nothing is compiled, for processes that are started
    often; the optimiser is one that begins with zeros, as the paper's does."""
    first = variables(seed=seed)
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), jax.eval_shape(optimizer.init, first["params"]))
    return jax.device_put(TrainState(first["params"], first["batch_stats"], zeros, np.int32(0), jax.random.key(seed)))  # pyright: ignore[reportArgumentType]


def tones(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Windows ``(count, 64, 1)`` and labels: each class is a tone of its own frequency, at a random phase, in weak noise."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % CLASSES).astype(np.int32)
    cycles, phases = np.array([3, 9, 20])[labels], rng.uniform(0, 2 * np.pi, count)
    waves = np.sin(2 * np.pi * np.outer(cycles, np.arange(LENGTH)) / LENGTH + phases[:, None])
    windows = (waves + 0.1 * rng.normal(size=waves.shape)).astype(np.float32)[..., None]
    return windows - windows.mean(1, keepdims=True), labels


def batch(count: int, seed: int = 0, weights: str = "equal") -> dict[str, np.ndarray]:
    """A batch of ``tones``; ``weights`` is ``"equal"`` (ones) or ``"unequal"`` (random, one of them 0)."""
    windows, labels = tones(count, seed)
    chosen = np.ones(count, np.float32)
    if weights == "unequal":
        chosen = np.random.default_rng(seed).uniform(0.1, 3, count).astype(np.float32)
        chosen[count // 2] = 0
    return {"windows": windows, "labels": labels, "weights": chosen}


def load_script(file: Path) -> Any:
    """An experiment script as a module."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return module


def run_script(script: Any, *arguments: Any) -> Any:
    """Run an experiment script in this process; return what it leaves with (None after success)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [script.__file__, *map(str, arguments), "--plain-runtime"])
        try:
            console.run(script.main)
        except SystemExit as exit:
            return exit.code
        return None


def side(count: int, seed: int = 0) -> Side:
    """One side of ``tones``; its windows come from three recordings in turn."""
    return Side(*tones(count, seed), np.arange(count, dtype=np.int32) % 3)


def fold(train: int = 24, test: int = 12, name: str = "0") -> Fold:
    """Two sides of ``tones``."""
    return Fold(name, side(train, 1), side(test, 2))


def write_recordings(folder: Path) -> Path:
    """Write two recordings, of noise and of noise with a tone, which are read faster than simulated ones are made; return their
    table."""
    lines = ["path,label,sampling_rate,condition,channel"]
    for number, label in enumerate(("good", "worn")):
        noise = np.random.default_rng(number).normal(size=(8192, 1))
        scipy.io.savemat(folder / f"{number}.mat", {"vibration": noise + number * np.sin(np.arange(8192))[:, None]})
        lines.append(f"{number}.mat,{label},12000,1 hp,vibration")
    (folder / "recordings.csv").write_text("\n".join(lines))
    return folder / "recordings.csv"


@contextlib.contextmanager
def compilations() -> Iterator[list[str]]:
    """The names of the functions that are compiled inside (found in the cache on disk or not)."""
    names: list[str] = []

    def listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(str(kwargs.get("fun_name")))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def leaves(tree: Any) -> list[np.ndarray]:
    """The arrays of a tree on the host, random keys as their numbers."""
    return [
        np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)
        for leaf in jax.tree.leaves(tree)
    ]


def assert_equal(first: Any, second: Any) -> None:
    """Two trees hold the same bytes."""
    assert jax.tree.structure(first) == jax.tree.structure(second)
    for one, other in zip(leaves(first), leaves(second), strict=True):
        assert one.tobytes() == other.tobytes()


def assert_close(actual: Any, expected: Any, tolerance: float) -> None:
    """Two trees agree to ``tolerance``, absolute for numbers below 1 and relative above."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for one, other in zip(leaves(actual), leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
