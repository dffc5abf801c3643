"""What a user would take instead of a network, beside it in a comparison on vibration: spectra, wavelets, random kernels.

Each makes features of the windows, and a classifier of a well-kept package learns from them. All are fitted to one draw of the
noise in the training windows.
"""

import functools
import importlib
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from drsn_jax.core.storage import in_parts
from drsn_jax.functional.band_energies import log_band_energies
from drsn_jax.studies.baseline import FittedMethod, few_at_a_time, regression, spectrum_features
from drsn_jax.studies.trial_data import standardised
from drsn_jax.studies.trials import Result

AT_ONCE = 256  # windows whose features are made at a time
HIGHEST, STEP = 16.0, 0.1  # the orders of the envelope spectrum
# name of the method → the packages that it needs beside those of the extra ``experiments``, as they are imported
PEERS: dict[str, tuple[str, ...]] = {
    "spectrum_strict": (),
    "envelope_logistic": (),
    "both_spectra_logistic": (),
    "wavelet_boosting": ("pywt",),
    "minirocket": ("aeon",),
    # aeon does not install torch itself, and these two ask for it when they are made or fitted (aeon 1.6)
    "multirocket_hydra": ("aeon", "torch"),
    "quant": ("aeon", "torch"),
}
AS_PIP_NAMES = {"pywt": "PyWavelets"}


def missing(names: Sequence[str]) -> dict[str, str]:
    """Return the peers among ``names`` that lack a package, with the packages that they lack, as pip names them."""
    modules = {module for name in names for module in PEERS[name]}
    lacking = {module for module in modules if importlib.util.find_spec(module) is None}
    found = {name: [AS_PIP_NAMES.get(module, module) for module in PEERS[name] if module in lacking] for name in names}
    return {name: " ".join(packages) for name, packages in found.items() if packages}


def peers(names: Sequence[str], classes: int, orders_per_bin: float, standardise: str) -> dict[str, Any]:
    """Return the methods with these names, for ``Comparison.baselines``.

    ``orders_per_bin`` is how many orders of the shaft a whole turn of the window's spectrum is: ``1 / (length · speed)`` for a
    shaft with ``speed`` revolutions per sample. It is one number for all recordings: no method is told the speed of a window.
    """
    scaled: Callable[[np.ndarray], np.ndarray] = lambda windows: standardised(windows, standardise)  # noqa: E731
    spectrum = lambda windows: spectrum_features(scaled(windows))  # noqa: E731
    rhythm = lambda windows: envelope_features(scaled(windows), orders_per_bin)  # noqa: E731
    made: dict[str, Any] = {
        "spectrum_strict": lambda: FittedMethod(classes, spectrum, strict_regression),
        "envelope_logistic": lambda: FittedMethod(classes, rhythm, strict_regression),
        "both_spectra_logistic": lambda: FittedMethod(
            classes, lambda windows: np.concatenate([spectrum(windows), rhythm(windows)], 1), strict_regression
        ),
        "wavelet_boosting": lambda: FittedMethod(classes, lambda windows: wavelet_features(scaled(windows)), boosting),
        "minirocket": lambda: SeriesMethod(classes, scaled, "minirocket"),
        "multirocket_hydra": lambda: SeriesMethod(classes, scaled, "multirocket_hydra"),
        "quant": lambda: SeriesMethod(classes, scaled, "quant"),
    }
    return {name: made[name]() for name in names}


def strict_regression() -> Any:
    """Make a logistic regression with C = 0.01, a hundred times as strongly regularised as by default: with hundreds of features
    of few recordings the default learns the recordings."""
    return regression().set_params(C=0.01)


def boosting() -> Any:
    """Make gradient boosting of scikit-learn, with its defaults."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(random_state=0)


def envelope_features(windows: np.ndarray, orders_per_bin: float) -> np.ndarray:
    """Return the envelope spectrum at orders from 0.5 to 16 in steps of 0.1, ``(n, 156 · channels)``.

    It is the logarithm of the power with which the log energies of 33 bands rise and fall, averaged over the bands: frames of 64
    samples, one every 8. Orders that the window is too short to tell apart, or that lie above half the rate of the frames, are
    those of the nearest line.
    """
    turns = np.arange(0.5, HIGHEST + STEP / 2, STEP) / orders_per_bin
    return few_at_a_time(lambda part: np.asarray(_envelope(part, turns)), windows, AT_ONCE)


@functools.partial(jax.jit, static_argnames="hop")
def _envelope(windows: jax.Array, turns: jax.Array, hop: int = 8) -> jax.Array:
    length = windows.shape[1]
    energies = jax.vmap(lambda window: log_band_energies(window, bands=33, hop=hop))(windows)  # (n, frames, channels, bands)
    centred = energies - jnp.mean(energies, 1, keepdims=True)
    # filled up with zeros to the length of the window, so that bin k is k turns in it, and twice as far for a finer grid
    points = 2 * (length // hop)
    spectrum = jnp.mean(jnp.square(jnp.abs(jnp.fft.rfft(centred, n=points, axis=1))), -1)  # (n, bins, channels)
    place = jnp.clip(turns * points * hop / length, 0, spectrum.shape[1] - 1).astype(spectrum.dtype)
    bins = jnp.arange(spectrum.shape[1], dtype=spectrum.dtype)
    at = jax.vmap(jax.vmap(lambda values: jnp.interp(place, bins, values), 1, 1))(jnp.log(spectrum + 1e-6))
    return at.reshape(len(windows), -1)


def wavelet_features(windows: np.ndarray) -> np.ndarray:
    """Return statistics of windows, ``(n, features)``, after wavelet denoising, and of their envelope; needs PyWavelets.

    Each channel is denoised by soft thresholds on its wavelet coefficients (``db8``, five levels; universal threshold, the noise
    from the median absolute deviation of the finest level). Of the signal and of its envelope: root mean square, crest factor,
    kurtosis, skewness; and the log energies of the levels.

    Source: Donoho, IEEE Trans. Inf. Theory 41(3), 1995.
    """
    import pywt
    from scipy.signal import hilbert
    from scipy.stats import kurtosis, skew

    def statistics(x: np.ndarray) -> list[np.ndarray]:
        rms = np.sqrt(np.mean(np.square(x), 1)) + 1e-12
        return [np.log(rms), np.abs(x).max(1) / rms, np.nan_to_num(kurtosis(x, 1)), np.nan_to_num(skew(x, 1))]

    def features(part: np.ndarray) -> np.ndarray:
        x = np.moveaxis(part, 2, 1).reshape(-1, part.shape[1])
        levels = min(5, pywt.dwt_max_level(x.shape[1], "db8"))
        coefficients = pywt.wavedec(x, "db8", level=levels, axis=1)
        noise = np.median(np.abs(coefficients[-1]), 1, keepdims=True) / 0.6745
        threshold = noise * np.sqrt(2 * np.log(x.shape[1]))
        # by hand: PyWavelets makes NaN of a coefficient 0 under the threshold 0
        shrunk = [coefficients[0], *(np.sign(c) * np.maximum(np.abs(c) - threshold, 0) for c in coefficients[1:])]
        clean = pywt.waverec(shrunk, "db8", axis=1)[:, : x.shape[1]]
        energies = [np.log(np.mean(np.square(c), 1) + 1e-12) for c in shrunk]
        of_rows = np.stack([*statistics(clean), *statistics(np.abs(np.asarray(hilbert(clean, axis=1)))), *energies], 1)
        return of_rows.reshape(len(part), -1).astype(np.float32)

    return in_parts(features, windows)


class SeriesMethod:
    """A classifier of time series from aeon, with its defaults and a seed of its own, as a method of a comparison.

    Args:
      classes: the number of classes.
      prepare: scales windows ``(n, length, channels)``.
      name: which one.
    """

    collective = False  # only process 0 of a job takes part in a trial

    def __init__(self, classes: int, prepare: Callable[[np.ndarray], np.ndarray], name: str) -> None:
        self._prepare, self._name = prepare, name
        # what is tested and counted is the same as for features and a classifier
        self._shell = FittedMethod(classes, lambda windows: np.moveaxis(self._prepare(windows), 2, 1), lambda: None)

    def run(self, data: Any, *, seed: int, on_epoch: Any = None, checkpoints: Any = None) -> Result:
        """Fit and test. The arguments are those of ``Trainer.run``; there are no epochs and no checkpoints."""
        del on_epoch, checkpoints
        model = _series_classifier(self._name, seed)
        return self._shell.fit(model, data)

    def retest(self, result: Result, data: Any) -> Result:
        """Test the model of a result on the test windows of ``data``."""
        return self._shell.retest(result, data)


# name → the module of aeon and the class there
_SERIES = {
    "minirocket": ("aeon.classification.convolution_based", "MiniRocketClassifier"),
    "multirocket_hydra": ("aeon.classification.convolution_based", "MultiRocketHydraClassifier"),
    "quant": ("aeon.classification.interval_based", "QUANTClassifier"),
}


def _series_classifier(name: str, seed: int) -> Any:
    # imported when it is asked for: aeon compiles some of its functions when they are first imported
    module, kind = _SERIES[name]
    cores = {} if name == "quant" else {"n_jobs": -1}
    return getattr(importlib.import_module(module), kind)(random_state=seed, **cores)
