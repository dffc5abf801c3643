"""The state of a training: all arrays that decide how it goes on, how it begins, and the purposes of its random keys."""

import dataclasses
import enum
import functools
from typing import TYPE_CHECKING, Any

import flax.serialization
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from drsn_jax.core.arrays import as_windows
from drsn_jax.core.errors import UserError
from drsn_jax.nn.initial_variables import Initialisation, draw, initialisation
from drsn_jax.nn.networks import Network

if TYPE_CHECKING:  # imported where a training begins: a program that only asks a model has no use for it
    import optax

# for programs that run once and need not be fast: the many random draws of an initialisation compile three times as quickly
QUICK_COMPILATION = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


class KeyPurpose(enum.IntEnum):
    """The purposes of random numbers: each has the key ``fold_in(root, purpose)``, where ``root`` is the key of a seed."""

    TRAINING = 0
    TEST_NOISE = 1
    TRAIN_NOISE = 2
    VALIDATION_NOISE = 3
    LEVELS = 4


@flax.struct.dataclass
class TrainState:
    """All arrays that decide how training goes on.

    ``flax.serialization`` can write it and read it back; a typed random key is then written as its ``jax.random.key_data``.

    Fields:
      params, batch_stats: the variables of the network.
      opt_state: the state of the optimiser.
      step: the number of steps made.
      key: the random key from which the noise of all steps is derived.
    """

    params: Any
    batch_stats: Any
    opt_state: Any
    step: jax.Array
    key: jax.Array

    @property
    def variables(self) -> dict[str, Any]:
        """The variables of the network, as ``network.apply`` takes them."""
        return {"params": self.params, "batch_stats": self.batch_stats}


def _is_typed(key: Any) -> bool:
    return jnp.issubdtype(key.dtype, jax.dtypes.prng_key)


def _to_state_dict(state: TrainState) -> dict[str, Any]:
    """Return the fields as ``flax.serialization`` writes them."""
    fields = {name: flax.serialization.to_state_dict(getattr(state, name)) for name in FIELDS if name != "key"}
    return fields | {"key": jax.random.key_data(state.key) if _is_typed(state.key) else state.key}


def _from_state_dict(like: TrainState, fields: dict[str, Any]) -> TrainState:
    """Return the state that ``_to_state_dict`` wrote; its key is of the kind that the key of ``like`` has."""
    if set(fields) != set(FIELDS):
        raise UserError(f"a training state has the fields {', '.join(FIELDS)}, got {', '.join(sorted(fields))}")
    read: dict[str, Any] = {
        name: flax.serialization.from_state_dict(getattr(like, name), fields[name], name=name) for name in FIELDS if name != "key"
    }
    read["key"] = fields["key"]
    if _is_typed(like.key):
        read["key"] = jax.random.wrap_key_data(jnp.asarray(fields["key"]), impl=jax.random.key_impl(like.key))
    return TrainState(**read)


FIELDS = tuple(field.name for field in dataclasses.fields(TrainState))
flax.serialization.register_serialization_state(TrainState, _to_state_dict, _from_state_dict, override=True)


def create_state(network: Network, optimizer: "optax.GradientTransformation", key: jax.Array, windows: ArrayLike) -> TrainState:
    """Create the state at the beginning of a training, with parameters and noise that ``key`` decides.

    Of ``windows`` ``(batch, *positions, channels)`` only the shape matters; one window is enough.
    """
    shape = (1, *as_windows(windows).shape[1:])
    # inside a transformation such as jit or vmap the caller decides how it is compiled
    if isinstance(key, Tracer):
        state = _without_optimizer(network, shape, key)
        opt_state = optimizer.init(state.params)
    else:
        # not in one program, because a training of another length has another optimiser, and most of the work lies in the network
        plan = initialisation(network, key, shape[1:])
        state = _cached(_compiled_network, network, shape)(key) if plan is None else _drawn(plan, key)
        opt_state = _cached(_compiled_optimizer, optimizer.init)(state.params)
    return dataclasses.replace(state, opt_state=opt_state)


def _drawn(plan: Initialisation, key: jax.Array) -> TrainState:
    """Return a state without that of an optimiser, whose random numbers are drawn as planned."""
    drawn, noise_key = _draw(key, plan.numbers, plan.size)
    variables: Any = jax.device_put(plan.variables(np.asarray(drawn)))
    return TrainState(variables["params"], variables["batch_stats"], None, jnp.asarray(np.zeros((), np.int32)), noise_key)


@functools.partial(jax.jit, static_argnums=2, compiler_options=QUICK_COMPILATION)
def _draw(key: jax.Array, numbers: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    """Return the random numbers of an initialisation, and the key of the noise."""
    init_key, noise_key = jax.random.split(key)
    return draw(init_key, numbers, size), noise_key


def _cached(compiled: Any, *arguments: Any) -> Any:
    """Return what ``compiled``, a function with a cache, makes of its arguments, also where they cannot be hashed."""
    try:
        return compiled(*arguments)
    except TypeError:  # a field of the user's own cannot be hashed
        return compiled.__wrapped__(*arguments)


@functools.lru_cache(maxsize=32)
def _compiled_network(network: Any, shape: tuple[int, ...]) -> Any:
    """Return ``_without_optimizer`` as a compiled function of the key. Kept, because tracing takes longer than running it."""
    return jax.jit(functools.partial(_without_optimizer, network, shape), compiler_options=QUICK_COMPILATION)


@functools.lru_cache(maxsize=32)
def _compiled_optimizer(init: Any) -> Any:
    """Return the initialisation of an optimiser as a compiled function of the parameters, whose outputs are its own arrays."""
    return jax.jit(init, compiler_options=QUICK_COMPILATION)


def _without_optimizer(network: Network, shape: tuple[int, ...], key: jax.Array) -> TrainState:
    init_key, noise_key = jax.random.split(key)
    variables = network.init(init_key, jnp.zeros(shape, jnp.float32), train=False)
    return TrainState(variables["params"], variables.get("batch_stats", {}), None, jnp.zeros((), jnp.int32), noise_key)
