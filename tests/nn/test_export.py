"""Networks whose batch or length is symbolic, as ``jax.export`` and converters to other formats ask for them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from jax import export

from drsn_jax.nn.networks import drsn_cw

X = np.random.default_rng(0).normal(size=(3, 64, 1)).astype(np.float32)
SMALL = {"classes": 3, "widths": (8,), "units": (1,), "stem": 2}


def exported(network, variables, shape):
    shape = export.symbolic_shape(shape) if isinstance(shape, str) else shape
    return export.export(jax.jit(lambda x: network.apply(variables, x, train=False)))(jax.ShapeDtypeStruct(shape, jnp.float32))


def answers(network, variables, x) -> np.ndarray:
    return np.asarray(jax.jit(functools.partial(network.apply, train=False))(variables, x))


@pytest.mark.parametrize("implementation", [None, "blocked", "modules"])
@pytest.mark.parametrize("shape", ["b, 64, 1", "b, 4*n, 1"])
def test_symbolic_dimensions_of_signals(implementation, shape):
    network = drsn_cw(**SMALL, implementation=implementation)
    variables = tiny.variables(network.clone(implementation="modules"))
    called = export.deserialize(exported(network, variables, shape).serialize()).call
    np.testing.assert_allclose(called(X), answers(network.clone(implementation="modules"), variables, X), atol=1e-5)
    broken = np.concatenate([X] * 32)
    broken[1, 3] = np.nan
    assert np.isnan(called(broken)).all(1).tolist() == [number == 1 for number in range(len(broken))]


def test_symbolic_batch_of_images():
    network = drsn_cw(**SMALL, kernel=(3, 3))
    variables, images = tiny.variables(network, (1, 8, 8, 1)), X.reshape(3, 8, 8, 1)
    called = exported(network, variables, "b, 8, 8, 1").call
    np.testing.assert_allclose(called(images), answers(network, variables, images), atol=1e-5)


def test_a_symbolic_length_that_the_strides_may_not_divide():
    network = drsn_cw(**SMALL)
    with pytest.raises(ValueError, match=r"must be a multiple of 4, the product of all strides: write 4\*n, got n"):
        exported(network, tiny.variables(network), "b, n, 1")


def test_a_window_without_positions():
    network = drsn_cw(**SMALL)
    with pytest.raises(ValueError, match=r"at least one position along each axis, got the positions \(0,\)"):
        exported(network, tiny.variables(network), (2, 0, 1))


def test_blocks_of_a_fixed_shape_have_no_unsigned_numbers():
    # ONNX has no ranges of unsigned numbers
    network = drsn_cw(**SMALL, implementation="blocked")
    variables = tiny.variables(network.clone(implementation="modules"))
    assert "u32" not in str(jax.make_jaxpr(lambda x: network.apply(variables, x, train=False))(X))
