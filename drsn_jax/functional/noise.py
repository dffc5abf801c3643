"""Noise at an exact signal-to-noise ratio, as a pure function that maps over keys, windows and levels.

A window is ``(*positions, channels)``. Its power is the mean square over all axes; remove its mean first if the mean is not part
of the signal. ``SNR = 10·log10(mean signal power / mean noise power)`` in dB holds exactly for every window, not on average.
"""

import dataclasses
import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from drsn_jax.core.arrays import as_float, as_window, in_one_program, wide_dtype
from drsn_jax.core.errors import UserError

NO_NOISE = "none"  # the kind of noise that adds nothing and whose SNR is infinite
OFFSET = 10.0  # so many times what varies in a window its mean is taken for an offset that was forgotten
HIT = 0.05  # the share of entries that salt-and-pepper noise hits
STRUCK, STRONGER = 0.01, 30.0  # the share of entries that impulsive noise strikes, and how much stronger it is there
LIMIT_DB = 100.0  # beyond this SNR, or below its negative, float32 holds only the signal or only the noise


class AtLevel:
    """What a disturbance with the fields ``kind`` and ``snr_db`` says of itself."""

    kind: str
    snr_db: Any

    @property
    def is_none(self) -> bool:
        """Whether nothing is added."""
        return self.kind == NO_NOISE

    @property
    def is_range(self) -> bool:
        """Whether the SNR is drawn for each window."""
        return isinstance(self.snr_db, tuple)

    @property
    def level(self) -> str:
        """The SNR as tables write it, with all its digits: ``-5``, ``inf`` or ``-5..5``."""
        return "..".join(repr(float(value)).removesuffix(".0") for value in jax.tree.leaves(self.snr_db))

    def __str__(self) -> str:
        return "no noise" if self.is_none else f"{self.kind} {self.level} dB"


@jax.tree_util.register_pytree_node_class
@dataclasses.dataclass(frozen=True)
class Noise(AtLevel):
    """Noise of one kind, at one SNR or at an SNR that is drawn anew for every window.

    Calling it adds the noise to a window, so it can be handed to a training step as it is. Its text is its name in messages::

        >>> import jax
        >>> pink = Noise("pink", -5.0)
        >>> pink(jax.random.key(0), jax.numpy.ones((2048, 1))).shape  # a key and a window (length, channels)
        (2048, 1)
        >>> print(pink, Noise("gaussian", (-5, 5)), Noise(), sep=", ")
        pink -5 dB, gaussian -5..5 dB, no noise

    It is a pytree: the SNR is data and the kind is static. A compiled function that takes it as an argument is compiled once for
    all SNRs of a kind, and once more for all ranges of that kind. The absence of noise is one value, however it is written:
    ``Noise()``, ``Noise("none")`` and ``Noise("pink", math.inf)`` are equal.

    Fields:
      kind: one of ``NOISE_KINDS``, or ``"none"``.
      snr_db: the signal-to-noise ratio in dB, from -100 to 100, or ``inf`` for no noise; a pair ``(low, high)`` is a range, from
        which the SNR of each window is drawn uniformly.

    Raises ValueError for an unknown kind, an SNR outside these limits, and a range whose ``low`` is not below ``high``.
    """

    kind: str = NO_NOISE
    snr_db: Any = math.inf

    def __post_init__(self) -> None:
        kind, snr_db = self.kind, self.snr_db
        if kind != NO_NOISE:
            noise_maker(kind)
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(snr_db)):
            return  # inside a compiled function there are no numbers to check
        snr_db = checked_snr(snr_db)
        kind = NO_NOISE if snr_db == math.inf else kind
        if kind == NO_NOISE and snr_db != math.inf:
            raise UserError(f"the kind {NO_NOISE!r} has no SNR, got {snr_db} dB: name one of {', '.join(NOISE_KINDS)}")
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "snr_db", snr_db)

    def __call__(self, key: jax.Array, window: ArrayLike) -> jax.Array:
        """Add the noise to one window ``(*positions, channels)``; several windows: ``jax.vmap`` over keys and windows."""
        if self.is_none:
            return as_window(window)
        if self.is_range:
            return add_mixed_noise(key, window, *self.snr_db, kind=self.kind)
        return add_noise(key, window, self.snr_db, self.kind)

    def tree_flatten(self) -> tuple[tuple[Any], str]:
        """Return the SNR, which is data, and the kind, which is static, as JAX asks for them."""
        return (self.snr_db,), self.kind

    @classmethod
    def tree_unflatten(cls, kind: str, children: tuple[Any]) -> "Noise":
        """Rebuild a noise without checks, because JAX may put placeholders in the place of the numbers."""
        noise = object.__new__(cls)
        object.__setattr__(noise, "kind", kind)
        object.__setattr__(noise, "snr_db", children[0])
        return noise


def checked_snr(snr_db: Any) -> Any:
    """Return an SNR in dB as a float, or a range of SNRs as a pair of floats.

    Raises ValueError unless it is a number from -100 to 100 dB, ``inf`` for no noise, or a pair ``(low, high)``.
    """
    if isinstance(snr_db, tuple | list):
        if len(snr_db) != 2 or not all(map(_is_level, snr_db)) or not snr_db[0] < snr_db[1]:
            raise UserError(f"a range of SNRs is (low, high) with -100 <= low < high <= 100 dB, got {snr_db}")
        return float(snr_db[0]), float(snr_db[1])
    check_level(snr_db)
    return float(snr_db) + 0.0  # -0.0 and 0.0 are one SNR


def check_level(snr_db: Any) -> None:
    """Raise ValueError unless ``snr_db`` is one SNR: a number from -100 to 100 dB, or ``inf`` for no noise."""
    if not _is_level(snr_db) and not (jnp.ndim(snr_db) == 0 and snr_db == math.inf):
        raise UserError(f"an SNR is from -100 to 100 dB, or inf for no noise, got {snr_db}")


def _is_level(snr_db: Any) -> bool:
    return jnp.ndim(snr_db) == 0 and bool(abs(snr_db) <= LIMIT_DB)


def add_noise(key: jax.Array, window: ArrayLike, snr_db: ArrayLike, kind: str = "gaussian") -> jax.Array:
    """Add noise of a kind to one window, scaled to exactly the SNR that is asked for::

        noisy = window + noise · sqrt(mean(window²) / mean(noise²)) · 10^(-snr_db / 20)

    Args:
      key: a JAX random key. The numbers are always drawn by threefry, so that they do not depend on ``vmap`` (those of "rbg" do).
      window: ``(*positions, channels)``; integers become floats. Several windows: ``jax.vmap`` over keys and windows (a batch
        that is given as one window gets one SNR over all of it). Its mean counts as signal: ``remove_mean`` first. There is a
        warning for a window whose offset is much larger than what varies, unless it is traced.
      snr_db: signal-to-noise ratio in dB, a scalar, which may be traced; ``inf`` adds nothing.
      kind: ``"gaussian"``, ``"laplacian"`` (both white), ``"pink"`` (power ∝ 1/f over the position axes, nothing at the
        frequency zero, channels independent), ``"salt_and_pepper"`` (one amplitude, of random sign, on a random 5 % of the
        entries and on at least one) or ``"impulsive"`` (Gaussian, and thirty times as strong on a random 1 % of the entries,
        which then have nine tenths of its power).

    Returns:
      An array of the window's shape and dtype. The SNR is exact in float32, before the result is rounded to a narrower dtype:
      the rounding of bfloat16 moves an SNR of 60 dB by up to 5 dB. A silent window comes back unchanged.

    Raises:
      ValueError: for an unknown kind, a window without positions or samples, an ``snr_db`` that is not a scalar, and for pink
        noise on a window with a single position. Outside of compiled functions also for a float16 result beyond its limit 65,504.
      TypeError: for a complex window.
    """
    window = as_window(window)
    if jnp.iscomplexobj(window):
        raise TypeError(f"noise is defined for real windows, got {window.dtype}")
    if jnp.ndim(snr_db) != 0:
        raise ValueError(f"snr_db is one number, got the shape {jnp.shape(snr_db)}: map add_noise over several levels")
    if not isinstance(window, Tracer):
        _warn_of_offset(window)
    noisy = _noisy(key, window, snr_db, kind)
    # float16 ends at 65,504; inside a compiled function infinity is left, and the network answers NaN to it
    if window.dtype == jnp.float16 and not isinstance(noisy, Tracer) and jnp.isinf(noisy).any():
        raise UserError("float16 cannot hold the noisy window, it ends at 65,504: standardise first, or give float32")
    return noisy


@in_one_program("kind")
def _noisy(key: jax.Array, window: jax.Array, snr_db: ArrayLike, kind: str) -> jax.Array:
    # half precision cannot hold the sums that make the SNR exact
    dtype = wide_dtype(window.dtype)
    noise = noise_maker(kind)(repeatable(key), window.shape, dtype)
    signal = window.astype(dtype)
    scale = noise_scale(signal, noise, snr_db)
    return (signal + scale * noise).astype(window.dtype)


def noise_scale(signal: jax.Array, noise: jax.Array, snr_db: ArrayLike) -> jax.Array:
    """Return the factor that brings a noise to an SNR in dB; signal and noise are arrays of one shape and of float32 or wider."""
    return _root_mean_square(signal) / _root_mean_square(noise) * 10 ** (-jnp.asarray(snr_db, signal.dtype) / 20)


def _warn_of_offset(window: jax.Array) -> None:
    """Warn where the means of the channels have ``OFFSET``² times the power of what varies: the noise would cover it all."""
    values = np.asarray(window, np.float64)
    means = values.mean(tuple(range(values.ndim - 1)))
    varying = np.mean(np.square(values - means))
    if varying > 0 and np.mean(np.square(means)) > OFFSET**2 * varying:
        warnings.warn(
            "the window's offset counts as signal, so the noise is far stronger than what varies: remove_mean first", stacklevel=3
        )


def repeatable(key: jax.Array) -> jax.Array:
    """Return a threefry key, made of the given key if that is of another kind.

    Keys of the kind "rbg" draw other numbers under ``vmap`` than one by one, so that noise would depend on the size of a batch.
    """
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        key = jax.random.wrap_key_data(key)
    data = jax.random.key_data(key)
    if data.shape[-1] == 2:
        return key
    first = jax.random.wrap_key_data(data[:2], impl="threefry2x32")
    return functools.reduce(jax.random.fold_in, data[2:], first)


def example_keys(key: jax.Array, count: int, first: ArrayLike = 0) -> jax.Array:
    """Return the keys ``fold_in(key, i)`` of ``count`` examples, i from ``first`` on (which may be traced)."""
    return _example_keys(key, count, first)


@in_one_program("count")
def _example_keys(key: jax.Array, count: int, first: ArrayLike) -> jax.Array:
    return jax.vmap(jax.random.fold_in, (None, 0))(key, first + jnp.arange(count))


def add_noise_once(
    key: jax.Array, windows: ArrayLike, snr_db: ArrayLike, kind: str = "gaussian", *, first: ArrayLike = 0
) -> jax.Array:
    """Add noise that stays the same in every call with the same key.

    Window i of ``(n, *positions, channels)`` gets ``add_noise`` with the key ``fold_in(key, first + i)``. ``snr_db`` is one
    number, or an array with one number for each window. Errors as ``add_noise``.
    """
    windows, snr_db = jnp.asarray(windows), jnp.asarray(snr_db)
    keys = example_keys(key, len(windows), first)
    return jax.vmap(functools.partial(add_noise, kind=kind), (0, 0, 0 if snr_db.ndim else None))(keys, windows, snr_db)


def add_mixed_noise(
    key: jax.Array, window: ArrayLike, low_db: ArrayLike, high_db: ArrayLike, kind: str = "gaussian"
) -> jax.Array:
    """Add noise to one window at an SNR that is drawn uniformly from ``low_db`` to ``high_db``.

    It is for training a network that must cope with any SNR of that range. Shapes and errors as ``add_noise``.
    """
    level, noise_key = _drawn_level(key, low_db, high_db)
    return add_noise(noise_key, window, level, kind)


@in_one_program()
def _drawn_level(key: jax.Array, low_db: ArrayLike, high_db: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Return an SNR and the key of the noise."""
    level_key, noise_key = jax.random.split(repeatable(key))
    return jax.random.uniform(level_key, minval=low_db, maxval=high_db), noise_key


def measure_snr_db(signal: ArrayLike, noise: ArrayLike) -> jax.Array:
    """Return the SNR in dB of a signal and a noise, with mean powers over all axes.

    It is ``inf`` if the noise is zero, ``-inf`` if the signal is zero, and NaN if both are.
    """
    return _snr_db(as_float(signal), as_float(noise))


@in_one_program()
def _snr_db(signal: jax.Array, noise: jax.Array) -> jax.Array:
    return 20 * (jnp.log10(_root_mean_square(signal)) - jnp.log10(_root_mean_square(noise)))


def noise_maker(kind: str) -> Callable[..., jax.Array]:
    """Return the generator ``(key, shape, dtype) -> noise`` of a kind, whose noise has no particular scale.

    Raises ValueError for an unknown kind.
    """
    if kind not in _MAKERS:
        raise UserError(f"unknown kind of noise {kind!r}: choose one of {', '.join(_MAKERS)}")
    return _MAKERS[kind]


def _root_mean_square(x: jax.Array) -> jax.Array:
    # x is divided by its peak first, so that the squares neither overflow nor vanish
    peak = jnp.max(jnp.abs(x))
    peak = jnp.where(peak == 0, 1, peak)
    return peak * jnp.sqrt(jnp.mean(jnp.square(x / peak)))


def _pink(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype) -> jax.Array:
    """Filter white noise by ``1/sqrt(f)``, f the radial frequency over the position axes (Kasdin, Proc. IEEE 83(5), 1995)."""
    positions = shape[:-1]
    if math.prod(positions) == 1:
        raise ValueError(f"pink noise needs more than one position, got a window of the shape {shape}")
    axes = tuple(range(len(positions)))
    grid = [jnp.fft.fftfreq(n, dtype=dtype) for n in positions[:-1]] + [jnp.fft.rfftfreq(positions[-1], dtype=dtype)]
    squares = [jnp.square(f) for f in jnp.meshgrid(*grid, indexing="ij")]
    frequency = jnp.sqrt(functools.reduce(jnp.add, squares))[..., None]
    gain = jnp.where(frequency == 0, 0, 1 / jnp.sqrt(jnp.where(frequency == 0, 1, frequency)))
    spectrum = jnp.fft.rfftn(jax.random.normal(key, shape, dtype), axes=axes)
    return jnp.fft.irfftn(spectrum * gain.astype(spectrum.dtype), s=positions, axes=axes).astype(dtype)


def _salt_and_pepper(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype) -> jax.Array:
    """Draw 1 or -1 on a random 5 % of the entries, and on the entry of the smallest number where that hits none."""
    place_key, sign_key = jax.random.split(key)
    drawn = jax.random.uniform(place_key, shape)
    hit = drawn <= jnp.maximum(HIT, jnp.min(drawn))
    return jnp.where(hit, jax.random.rademacher(sign_key, shape, dtype), 0)


def _impulsive(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype) -> jax.Array:
    """Draw Bernoulli-Gaussian noise (Ghosh, IEEE Trans. Commun. 44(2), 1996)."""
    place_key, noise_key = jax.random.split(key)
    struck = jax.random.uniform(place_key, shape) < STRUCK
    return jnp.where(struck, jnp.asarray(STRONGER, dtype), 1) * jax.random.normal(noise_key, shape, dtype)


_MAKERS: dict[str, Callable[..., jax.Array]] = {
    "gaussian": jax.random.normal,
    "laplacian": jax.random.laplace,
    "pink": _pink,
    "salt_and_pepper": _salt_and_pepper,
    "impulsive": _impulsive,
}
NOISE_KINDS: tuple[str, ...] = tuple(_MAKERS)
PAPER_KINDS: tuple[str, ...] = ("gaussian", "laplacian", "pink")  # those of Zhao et al. 2020, the default of grids
