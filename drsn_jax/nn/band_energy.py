"""A network that works in strong noise: it is given energies in frequency bands, their average and their rhythm.

Random noise spreads over all bands and times, a fault rings some bands at regular times. In the energies of bands it therefore
stands out before anything is learned, and what remains to be learned is small.
"""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from drsn_jax.core.arrays import wide_dtype
from drsn_jax.functional.band_energies import log_band_energies, modulation_power
from drsn_jax.nn.layers import nan_where_not_finite, normalisation, normalise
from drsn_jax.nn.network_checks import as_waveforms
from drsn_jax.nn.networks import Network

LONGEST = 2**12  # samples of a frame, and bands: a description from a file cannot ask for any amount of memory
LOWEST = 1e-3  # is added to a power before its logarithm; that of unmodulated noise is about 1.6


class Rhythm(nn.Module):
    """Average the power of the rhythm of all bands with learned shares, in several ways, and take the logarithm.

    Fields:
      views: how many ways.
    """

    views: int = 4

    @nn.compact
    def __call__(self, energies: jax.Array) -> jax.Array:
        """Map log energies ``(batch, frames, channels, bands)`` to ``(batch, lines · views)``."""
        batch, _, channels, bands = energies.shape
        # small random numbers: views of equal shares would stay equal, because their gradients are
        start = nn.initializers.normal(0.1)
        shares = nn.softmax(self.param("shares", start, (channels * bands, self.views), jnp.float32), 0).astype(energies.dtype)
        power = jax.vmap(modulation_power)(energies)
        power = power.reshape(batch, power.shape[1], channels * bands)
        averaged = jnp.einsum("nlb,bv->nlv", power, shares, precision="highest")
        return jnp.log(averaged + LOWEST).reshape(batch, power.shape[1] * self.views)


class BandEnergyNetwork(Network):
    """Classify signals by three views of their energy in frequency bands::

        [standardise →] log energies (frames, bands) ─┬─ mean over time ───────────────────────────────┐
                                                      ├─ power of their rhythm, mean over bands → log ─┼─ norm → classifier
                                                      └─ mean of few frames → norm → convolution       │
                                                           → stages of residual units → mean ──────────┘

    The energies are those of ``functional.band_energies.log_band_energies``, which has nothing to learn; bands of several
    channels lie behind one another. The second view is the spectrum of the envelope: over the bands it is averaged with learned
    weights, in ``views`` different ways. Windows are ``(batch, length, channels)``; methods and fields are those of ``Network``,
    and
      bands: number of frequency bands.
      frame: samples of a frame, whose inverse is the width of a band.
      hop: samples from one frame to the next.
      pool: frames that are averaged for the residual units.
      views: in how many ways the rhythm is averaged over the bands.
      over_time: whether there is the third view. Without it ``shrinkage`` must be None, and ``widths``, ``units`` and ``pool`` do
        not matter: what is learned is linear in the two spectra, but for the shares of the bands.

    ``features`` returns all views ``(batch, bands · channels + views · lines + widths[-1])``, with as many lines as
    ``modulation_power`` has, and without the last where ``over_time`` is false. ``kernel`` has one axis, ``front_end`` is None,
    and ``implementation`` has no effect.

    Raises ValueError for fields that do not fit together.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> network = band_energy_tiny(classes=3, standardise=True)
        >>> windows = jnp.zeros((5, 2048, 1))
        >>> shapes = jax.eval_shape(lambda key: network.init_with_output(key, windows, train=False), jax.random.key(0))
        >>> shapes[0].shape
        (5, 3)
    """

    widths: Sequence[int] = (48, 48)
    units: Sequence[int] = (2, 2)
    stem: int = 1
    bands: int = 64
    frame: int = 64
    hop: int = 16
    pool: int = 2
    views: int = 4
    over_time: bool = True

    def setup(self) -> None:
        """Check the fields and create the modules."""
        super().setup()
        if len(self.kernel) != 1 or self.front_end is not None:
            raise ValueError(f"energies in bands have a kernel of one axis and no other front end, got kernel={self.kernel}")
        if min(self.bands, self.frame, self.hop, self.pool, self.views) < 1 or max(self.bands, self.frame) > LONGEST:
            raise ValueError(
                f"bands, frame, hop, pool and views are numbers from 1, the first two up to {LONGEST}, got {self.bands}, "
                f"{self.frame}, {self.hop}, {self.pool} and {self.views}"
            )
        if not self.over_time and self.shrinkage is not None:
            raise ValueError(
                f"without residual units over_time there is nothing to shrink: shrinkage=None, got {self.shrinkage!r}"
            )
        self.rhythm: nn.Module = Rhythm(self.views)
        self.band_norm: nn.Module = normalisation(self._norm(), axis_name=self.axis_name, dtype=self.dtype)
        self.views_norm: nn.Module = normalisation(self._norm(), axis_name=self.axis_name)

    def features(self, x: ArrayLike, train: bool) -> jax.Array:
        """Return all views of the energies, normalised, ``(batch, features)`` in at least float32."""
        windows = as_waveforms(x)
        if not isinstance(windows.shape[1], int):
            raise ValueError(f"a network of band energies needs windows of one length, got the symbolic {windows.shape[1]}")
        energies = jax.vmap(functools.partial(log_band_energies, bands=self.bands, frame=self.frame, hop=self.hop))(
            self._scaled(windows)
        )
        wide = energies.astype(wide_dtype(energies.dtype))
        level = jnp.mean(wide, 1).reshape(wide.shape[0], wide.shape[2] * self.bands)
        views = [level, self.rhythm(wide)]
        if self.over_time:
            views.append(self._over_time(energies, train))
        joined = normalise(self.views_norm, jnp.concatenate([view.astype(wide.dtype) for view in views], -1), train)
        return nan_where_not_finite(joined, windows)

    def _over_time(self, energies: jax.Array, train: bool) -> jax.Array:
        """Return what the residual units see in the energies over time, ``(batch, widths[-1])``."""
        batch, frames, channels, bands = energies.shape
        pool = min(self.pool, frames)
        pooled = frames // pool
        seen = energies[:, : pooled * pool].reshape(batch, pooled, pool, channels * bands)
        # the mean of energies, of which these are the logarithms
        return self._by_modules(normalise(self.band_norm, jax.nn.logsumexp(seen, 2), train), train)


band_energy: functools.partial[BandEnergyNetwork] = functools.partial(BandEnergyNetwork)
band_energy_tiny: functools.partial[BandEnergyNetwork] = functools.partial(
    BandEnergyNetwork, widths=(16, 16), units=(1, 1), bands=32
)
band_energy_linear: functools.partial[BandEnergyNetwork] = functools.partial(BandEnergyNetwork, over_time=False, shrinkage=None)
BAND_ENERGY_NETWORKS: dict[str, functools.partial[BandEnergyNetwork]] = {
    "band_energy": band_energy,
    "band_energy_tiny": band_energy_tiny,
    "band_energy_linear": band_energy_linear,
}
