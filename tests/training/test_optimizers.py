"""AdamW with one cycle: its learning rate, what decays, the least number of steps; schedules as arguments of a program."""

from typing import Any

import jax
import numpy as np
import optax
import pytest
import tiny

from drsn_jax.training.optimizers import one_cycle_optimizer, one_cycle_schedule, paper_schedule, rate_at


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


@pytest.mark.parametrize("steps", [1, 2, 4, 17, 1000])
def test_schedules_are_those_of_optax(steps):
    counts = np.arange(steps + 2, dtype=np.float32)
    drops = {max(1, round(steps * share)): 0.1 for share in (0.4, 0.8)}
    for made, known in (
        (one_cycle_schedule(steps, 0.02), optax.cosine_onecycle_schedule(max(steps, 4), 0.02, pct_start=0.3)),
        (paper_schedule(steps, 0.02), optax.piecewise_constant_schedule(0.02, drops)),
    ):
        np.testing.assert_allclose(
            rate_at(made, counts), [float(np.asarray(known(count))) for count in counts], rtol=1e-5, atol=1e-9
        )


def test_one_program_serves_schedules_of_any_length_and_rate():
    for make in (one_cycle_schedule, paper_schedule):
        rate_at(make(10, 0.1), 3)
        with tiny.compilations() as names:
            assert float(rate_at(make(200, 0.5), 60)) == pytest.approx(0.5)
            assert float(rate_at(make(1, 0.5), 4)) < 0.1
        assert not names


@pytest.mark.parametrize("make", [paper_schedule, one_cycle_schedule])
def test_a_rate_is_a_float32_however_it_was_given(make, x64):
    """As a state of a loop it keeps its dtype, and a parameter that it is multiplied with too."""
    with jax.numpy_dtype_promotion("strict"):
        for given in (0.1, np.float64(0.1), np.float32(0.1), 1):
            for schedule in (make(10, given), jax.device_put(make(10, given))):
                for rate in (schedule(3), rate_at(schedule, 3)):
                    assert (rate.dtype, rate.weak_type) == (np.float32, False)
