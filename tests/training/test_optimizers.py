"""AdamW with one cycle: its learning rate, what decays, the least number of steps."""

from typing import Any

import jax
import numpy as np
import pytest

from drsn_jax.training.optimizers import one_cycle_optimizer, one_cycle_schedule


def test_one_cycle_rises_and_falls():
    schedule = one_cycle_schedule(100, 0.01)
    rates = np.asarray(jax.jit(jax.vmap(schedule))(np.arange(101)))
    assert rates[0] == pytest.approx(0.01 / 25)
    assert rates.argmax() == 30
    assert rates.max() == pytest.approx(0.01)
    assert np.all(np.diff(rates[:31]) > 0)
    assert np.all(np.diff(rates[30:]) < 0)
    assert rates[100] < 1e-6


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_short_trainings_have_finite_rates(steps):
    schedule = one_cycle_schedule(steps)
    assert np.all(np.isfinite(jax.jit(jax.vmap(schedule))(np.arange(steps + 1))))


def test_only_kernels_decay():
    params = {"kernel": np.ones(3, np.float32), "bias": np.ones(3, np.float32)}
    optimizer = one_cycle_optimizer(10, 0.1, weight_decay=0.5)
    without_gradient = jax.tree.map(np.zeros_like, params)
    updates: dict[str, Any] = jax.jit(optimizer.update)(without_gradient, jax.jit(optimizer.init)(params), params)[0]
    assert np.allclose(updates["kernel"], -0.1 / 25 * 0.5)
    assert np.all(updates["bias"] == 0)


def test_a_schedule_needs_steps():
    with pytest.raises(ValueError, match="at least one step"):
        one_cycle_schedule(0)
