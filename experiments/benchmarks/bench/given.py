"""The weights that all sides start from and the logits that they must find with them, in one file."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bench.cases import CHECKED, LEARNING_RATE, Case
from drsn_jax.core.arrays import named_leaves
from drsn_jax.nn.networks import Network
from drsn_jax.training.optimizers import paper_optimizer
from drsn_jax.training.state import QUICK_COMPILATION, create_state

STEPS = 10**6  # of the schedule: the rate stays


def weights(case: Case) -> dict[str, Any]:
    """Parameters and running statistics, none of them at the 0 or 1 where it starts, so that a mix-up shows."""
    optimizer = paper_optimizer(STEPS, LEARNING_RATE)
    state = create_state(Network(**case.fields), optimizer, jax.random.key(0), jnp.zeros((1, *case.window)))
    rng = np.random.default_rng(0)

    def change(path: Any, leaf: Any) -> np.ndarray:
        array = np.asarray(leaf)
        match path[-1].key:
            case "kernel":
                return array
            case "scale" | "var":
                return (array * rng.uniform(0.7, 1.3, array.shape)).astype(np.float32)
            case _:
                return (array + 0.1 * rng.normal(size=array.shape)).astype(np.float32)

    return jax.tree.map_with_path(change, state.variables)


def write(case: Case, file: Path) -> None:
    """Weights by their paths, and ``logits/running`` and ``logits/batch``: those of ``case.data(CHECKED)`` with running
    statistics and with those of the batch."""
    network, variables, windows = Network(**case.fields, implementation="modules"), weights(case), case.data(CHECKED)[0]
    found = {}
    for name, train in (("running", False), ("batch", True)):

        def logits(variables: Any, windows: Any, train: bool = train) -> Any:
            return network.apply(variables, windows, train=train, mutable=["batch_stats"])[0]

        compiled = jax.jit(logits).lower(variables, windows).compile(QUICK_COMPILATION)
        found[f"logits/{name}"] = np.asarray(compiled(variables, windows))
    np.savez(file, **dict(named_leaves(variables)), **found)
