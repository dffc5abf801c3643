"""Noise whose kind is drawn for every window, for one network that is to meet them all."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.core import Tracer
from jax.typing import ArrayLike

from drsn_jax.core.arrays import as_window, in_one_program
from drsn_jax.core.errors import UserError
from drsn_jax.functional.noise import AtLevel, add_noise, checked_snr, noise_maker, repeatable
from drsn_jax.functional.random_filter import check_spread, random_filter

MIXTURE = "mixture"  # its kind in tables


@jax.tree_util.register_pytree_node_class
@dataclasses.dataclass(frozen=True)
class NoiseMixture(AtLevel):
    """Noise of a kind and an SNR that are drawn anew for every window, or none.

    All ``kinds`` and the absence of noise are equally likely, and so are all SNRs of the range. Calling it adds the noise to a
    window, so it can be handed to a training step like ``Noise``::

        >>> import jax
        >>> street = NoiseMixture(("gaussian", "pink"), (-10, 10))
        >>> street(jax.random.key(0), jax.numpy.ones((2048, 1))).shape  # a key and a window (length, channels)
        (2048, 1)

    It is a pytree like ``Noise``: the kinds are static, the range is data.

    Fields:
      kinds: some of ``NOISE_KINDS``.
      snr_db: the lowest and the highest SNR in dB.
      filter_db: the spread in dB of a random filter that each window passes before noise is added (``random_filter``), which
        must be a signal ``(length, channels)`` then; 0 for none. It is static.

    Raises ValueError for unknown kinds, for none at all, for what is no range as ``Noise`` has it, and for a negative spread.
    """

    kinds: Sequence[str]
    snr_db: Any
    filter_db: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.kinds, str):
            raise UserError(f"a mixture has several kinds of noise, such as ('gaussian', 'pink'), got {self.kinds!r}")
        object.__setattr__(self, "kinds", tuple(self.kinds))
        if not self.kinds:
            raise UserError("a mixture of noises needs at least one kind")
        for kind in self.kinds:
            noise_maker(kind)
        if isinstance(self.filter_db, Tracer):
            raise UserError("the spread of a filter decides what is compiled: give filter_db as a number, not as a traced value")
        check_spread(self.filter_db)
        object.__setattr__(self, "filter_db", float(self.filter_db))
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(self.snr_db)):
            return  # inside a compiled function there are no numbers to check
        snr_db = checked_snr(self.snr_db)
        if not isinstance(snr_db, tuple):
            raise UserError(f"a mixture of noises has a range of SNRs (low, high), got {self.snr_db}: for one SNR take Noise")
        object.__setattr__(self, "snr_db", snr_db)

    @property
    def kind(self) -> str:
        """Its name in tables."""
        return MIXTURE

    def __call__(self, key: jax.Array, window: ArrayLike) -> jax.Array:
        """Add noise to one window ``(*positions, channels)``; several windows: ``jax.vmap`` over keys and windows."""
        return self._mixed(key, as_window(window))

    @in_one_program()
    def _mixed(self, key: jax.Array, window: jax.Array) -> jax.Array:
        if self.filter_db:
            window = random_filter(jax.random.fold_in(repeatable(key), 1), window, self.filter_db)
        kind_key, level_key, noise_key = jax.random.split(repeatable(key), 3)
        level = jax.random.uniform(level_key, minval=self.snr_db[0], maxval=self.snr_db[1])
        number = jax.random.randint(kind_key, (), 0, len(self.kinds) + 1)
        return jax.lax.switch(number, [*map(_adds, self.kinds), _adds_nothing], noise_key, window, level)

    def tree_flatten(self) -> tuple[tuple[Any], tuple[tuple[str, ...], float]]:
        """Return the range, which is data, and the kinds and the filter, which are static, as JAX asks for them."""
        return (self.snr_db,), (tuple(self.kinds), self.filter_db)

    @classmethod
    def tree_unflatten(cls, static: tuple[tuple[str, ...], float], children: tuple[Any]) -> "NoiseMixture":
        """Rebuild a mixture without checks, because JAX may put placeholders in the place of the numbers."""
        mixture = object.__new__(cls)
        for name, value in zip(("kinds", "filter_db"), static, strict=True):
            object.__setattr__(mixture, name, value)
        object.__setattr__(mixture, "snr_db", children[0])
        return mixture


@functools.cache  # one function for each kind: a new one would be compiled anew in every call
def _adds(kind: str) -> Callable[[jax.Array, jax.Array, jax.Array], jax.Array]:
    return lambda key, window, level: add_noise(key, window, level, kind)


def _adds_nothing(key: jax.Array, window: jax.Array, level: jax.Array) -> jax.Array:
    del key, level
    return window
