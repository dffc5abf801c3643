"""Our side: the step of ``drsn_jax`` as a script runs it."""

from typing import Any

import jax
import numpy as np
from flax.traverse_util import unflatten_dict

from bench.cases import LEARNING_RATE, Case
from bench.given import STEPS
from drsn_jax.core import runtime
from drsn_jax.core.distributed import choose_devices, pmap_predict, replicate
from drsn_jax.nn.networks import Implementation, Network, for_platform
from drsn_jax.training.optimizers import paper_optimizer
from drsn_jax.training.state import create_state
from drsn_jax.training.steps import make_predict_step, make_train_step


class OurSide:
    """A state with the given weights and a function ``step`` that does the task once; the first call compiles it.

    ``implementation`` is that of ``Network``, None for its own choice. ``devices`` spreads inference over so many cores.
    """

    def __init__(
        self,
        case: Case,
        given: dict[str, np.ndarray],
        implementation: Implementation | None,
        devices: int | None,
        short: bool,
    ) -> None:
        runtime.prepare(devices=devices, dry_run=short)
        network = for_platform(Network(**case.fields, implementation=implementation), jax.default_backend())
        optimizer = paper_optimizer(STEPS, LEARNING_RATE)
        windows, labels = case.data()
        state: Any = create_state(network, optimizer, jax.random.key(0), windows)
        variables = unflatten_dict({path: given[path] for path in given if not path.startswith("logits/")}, sep="/")
        self._state: Any = state.replace(**jax.tree.map(jax.numpy.asarray, variables))
        self._count = case.batch
        self._batch: Any = {"windows": windows, "labels": labels, "weights": np.ones(case.batch, np.float32)}
        if case.task == "train":
            self._call: Any = jax.jit(make_train_step(network, optimizer), donate_argnums=0)
            self._batch = jax.device_put(self._batch)
            self.step = self._train
        else:
            step = make_predict_step(network)
            if case.batch == 1:  # as ``Bundle`` answers one window: weights are constants of the program
                weights, self._state, self._windows = self._state.variables, None, windows
                self._call = jax.jit(lambda _, windows: step(weights, windows))
            elif devices is None:
                self._call, self._state, self._windows = jax.jit(step), self._state.variables, jax.device_put(windows)
            else:
                cores = choose_devices(devices)
                variables = replicate(self._state.variables, cores)
                self._call, self._state, self._windows = pmap_predict(step, cores), variables, windows
            self.step = self._infer

    def _train(self) -> np.ndarray:
        self._state, metrics = self._call(self._state, self._batch)
        return np.asarray(metrics["loss"]) / self._count  # waits for the end of the step

    def _infer(self) -> np.ndarray:
        return np.asarray(self._call(self._state, self._windows))
