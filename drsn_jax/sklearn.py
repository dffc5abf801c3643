"""The networks as a classifier of scikit-learn: ``fit``, ``predict``, pipelines, grid searches and cross-validation.

It needs scikit-learn: ``pip install 'drsn-jax[sklearn]'``.
"""

import math
from typing import Any

import numpy as np

from drsn_jax.core.errors import UserError, optional
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.evaluation.conformal import fit_surprises
from drsn_jax.evaluation.metrics import fit_temperature, softmax
from drsn_jax.evaluation.novelty import fit_novelty
from drsn_jax.functional.noise import Noise
from drsn_jax.nn.networks import Network
from drsn_jax.studies import estimator, estimator_data
from drsn_jax.studies.estimator_bundle import apart, bundle_of
from drsn_jax.studies.model_selection import usual_rms

optional("sklearn", "DRSNClassifier", "sklearn")

from sklearn.base import BaseEstimator, ClassifierMixin, clone  # noqa: E402
from sklearn.utils import check_random_state  # noqa: E402
from sklearn.utils.multiclass import check_classification_targets  # noqa: E402
from sklearn.utils.validation import check_is_fitted, validate_data  # noqa: E402

STANDARDIZE = ("global", "window")
_FITTED = ("variables_", "classes_", "network_", "n_iter_")


class DRSNClassifier(ClassifierMixin, BaseEstimator):
    """A residual shrinkage network as a classifier of signals, for scikit-learn.

    Arrays of signals are ``(n, length)`` for one channel, ``(n, length, channels)``, or with ``channels_first`` ``(n, channels,
    length)``, as aeon and sktime have them. All signals have the same length. Parameters:

      network: ``"auto"`` for the recommended network: ``band_energy`` where signals have at least 512 samples, otherwise a wide
        DRSN-CW. Or the name of one: ``"drsn_cw"``, ``"drsn_cs"``, ``"resnet"``, ``"senet"``, ``"convnet"``, ``"band_energy"``,
        ``"band_energy_tiny"``, ``"band_energy_linear"``; or a ``drsn_jax.Network``, whose number of classes does not matter.
      epochs: passes over the training data; None makes about 600 steps, in 20 to 300 epochs.
      batch_size: signals of one step.
      learning_rate: the highest one of a cycle in which it rises and falls (AdamW).
      standardize: ``"global"`` subtracts the mean of each channel over all training signals and divides by their standard
        deviation, so that level and strength of a signal count. ``"window"`` brings every channel of every signal to mean 0 and
        variance 1, so that they do not.
      channels_first: whether three-dimensional arrays are ``(n, channels, length)``.
      noise_snr_db: adds noise of this signal-to-noise ratio in dB to every training signal, new in every epoch; a pair
        ``(low, high)`` draws the ratio for each signal. None adds none.
      noise: the kind of noise: ``"gaussian"``, ``"laplacian"``, ``"pink"``, ``"impulsive"`` or ``"salt_and_pepper"``.
      class_weight: weights of the classes in the loss, by class; ``"balanced"`` gives each the same share of it; None weighs all
        signals alike.
      early_stopping: whether part of the training data is held out. The training ends after ``n_iter_no_change`` epochs without
        a lower loss on it, the network with the lowest is kept, and its probabilities are calibrated there. Without ``groups`` in
        ``fit`` it is drawn signal by signal: windows of one recording then lie on both sides, so that the training ends too late
        and probabilities are too sure. A search or ``cross_val_score`` hands its ``groups`` on to ``fit`` only with
        scikit-learn's metadata routing; see ``fit``.
      validation_fraction: the share that is held out; of the groups where ``fit`` is given ``groups``.
      n_iter_no_change: see ``early_stopping``.
      random_state: an integer, a ``RandomState`` or None, for initial weights, order, noise and what is held out.
      verbose: whether a line is printed after every epoch.

    What is set after ``fit`` counts from the next ``fit`` on, but for ``channels_first``, which says how arrays are read.

    Attributes after ``fit``:
      classes_: the classes, ``(n_classes,)``, in the order of the columns of ``predict_proba``.
      network_: the trained ``drsn_jax.Network``; ``variables_`` its weights.
      offset_, scale_: what is subtracted from each channel and what divides it, ``(channels,)``.
      temperature_: divides the logits; fitted by ``early_stopping``, else 1, or that of a bundle.
      n_iter_: epochs trained.
      loss_curve_: the mean loss of each epoch.
      validation_scores_: the accuracy on the held-out signals after each epoch, where there are some.
      n_features_in_: the length of the second axis of ``X``.

    Example:
        >>> import numpy as np
        >>> from drsn_jax.sklearn import DRSNClassifier
        >>> y = np.arange(60) % 2
        >>> X = np.sin(np.outer(1 + y, np.linspace(0, 20, 64))) + np.random.default_rng(0).normal(0, 0.1, (60, 64))
        >>> DRSNClassifier(epochs=10, random_state=0).fit(X[:40], y[:40]).score(X[40:], y[40:])
        1.0
    """

    def __init__(
        self,
        network: str | Network = "auto",
        *,
        epochs: int | None = None,
        batch_size: int = 32,
        learning_rate: float = 3e-3,
        standardize: str = "global",
        channels_first: bool = False,
        noise_snr_db: float | tuple[float, float] | None = None,
        noise: str = "gaussian",
        class_weight: Any = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        random_state: Any = None,
        verbose: bool | int = False,
    ) -> None:
        self.network = network
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.standardize = standardize
        self.channels_first = channels_first
        self.noise_snr_db = noise_snr_db
        self.noise = noise
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        """Say that arrays of three dimensions are welcome."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def fit(self, X: Any, y: Any, groups: Any = None) -> "DRSNClassifier":
        """Train a network on signals ``X`` with the classes ``y``, ``(n,)``, and return the estimator.

        With ``early_stopping``, signals of one of the ``groups`` ``(n,)``, such as a recording or a machine, are held out
        together; without it groups decide nothing. Inside a search they come here after
        ``sklearn.set_config(enable_metadata_routing=True)`` and ``set_fit_request(groups=True)``, and not at all without both.
        Raises ValueError for arrays and parameters that do not fit, and ``drsn_jax.Diverged``.
        """
        self._check()
        # what was fitted before is gone, so that nothing half new answers if this fails
        for name in _FITTED:
            vars(self).pop(name, None)
        X, y = validate_data(self, estimator_data.as_array(X, self.channels_first, y=y), y, allow_nd=True)
        windows, labels, seed = self._begin(X, y, reset=True)
        known, held_out = np.arange(len(labels)), np.arange(0)
        if self.early_stopping:
            known, held_out = estimator_data.held_out(labels, groups, self.validation_fraction, seed)
        training = self._training(labels[known], seed)
        trained = training.run(self.network_, windows[known], labels[known], (windows[held_out], labels[held_out]))
        self.n_iter_, self.loss_curve_, self.validation_scores_ = trained.epochs, trained.losses, trained.accuracies
        self.temperature_, self._surprises, self._novelty, self._left, self._source = 1.0, None, None, None, None
        self._rms_range = usual_rms(estimator_data.as_signals(X, self.channels_first))
        if len(held_out):
            logits, features = estimator.answers_of(self.network_, trained.variables, windows[held_out])
            self.temperature_ = fit_temperature(logits, labels[held_out])
            self._surprises = fit_surprises(softmax(logits, self.temperature_), labels[held_out])
            _, usual = estimator.answers_of(self.network_, trained.variables, windows[known])
            self._novelty = fit_novelty(usual, labels[known], features)
        self.variables_ = trained.variables
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> "DRSNClassifier":
        """Go on training for one epoch over these signals, with a tenth of the learning rate, and return the estimator.

        The first call on an estimator that is not fitted needs all ``classes``; offset and scale are those of its signals from
        then on. Give as many signals each time as you can: the statistics of the network's norms are those of a batch. Nothing is
        held out: ``epochs`` and ``early_stopping`` have no effect, and the temperature stays that of ``fit``. Raises ValueError
        as ``fit``, and for other ``classes`` than before.
        """
        self._check()
        first = not hasattr(self, "variables_")
        if first and classes is None:
            raise UserError("the first partial_fit needs classes, all that will ever come: partial_fit(X, y, classes=[…])")
        if not first and classes is not None and set(np.unique(classes).tolist()) != set(self.classes_.tolist()):
            raise UserError(
                f"classes={np.unique(classes).tolist()} differ from those of the first call, {self.classes_.tolist()}"
            )
        table = estimator_data.as_array(X, self.channels_first, y=y)
        X, y = validate_data(self, table, y, allow_nd=True, reset=first)
        windows, labels, seed = self._begin(X, y, reset=first, classes=classes)
        if first:
            self.temperature_, self.n_iter_, self.loss_curve_, self.validation_scores_ = 1.0, 0, [], []
            self._left, self._source, self._rms_range = None, None, usual_rms(estimator_data.as_signals(X, self.channels_first))
        training, before = self._training(labels, seed), getattr(self, "variables_", None)
        trained, self._left = training.go_on(self.network_, windows, labels, before, self._left)
        self.variables_, self.n_iter_ = trained.variables, self.n_iter_ + 1
        self.loss_curve_ = [*self.loss_curve_, *trained.losses]
        self._surprises = self._novelty = None  # they were those of other weights
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each of ``classes_`` for signals, ``(n, n_classes)``; raise ValueError as ``fit``, and
        NotFittedError before it."""
        check_is_fitted(self, "variables_")
        table = estimator_data.as_array(X, self.channels_first, shape=self.window_shape_)
        X = validate_data(self, table, allow_nd=True, reset=False)
        windows = self._prepared(estimator_data.as_signals(X, self.channels_first))
        logits, _ = estimator.answers_of(self.network_, self.variables_, windows)
        return softmax(logits.astype(np.float64), self.temperature_)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each signal, ``(n,)``; errors as ``predict_proba``."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(1)]

    def clone(self) -> "DRSNClassifier":
        """Return an estimator with the same parameters that is not fitted, as ``sklearn.base.clone``; sktime asks for it so."""
        made: Any = clone(self)
        return made

    def to_bundle(self, sampling_rate: float | None = None) -> Bundle:
        """Return the trained network as a ``drsn_jax.Bundle``, which can be saved, exported and asked about whole recordings.

        ``sampling_rate`` in Hz is that of the signals; without it the bundle takes windows, but no recordings, which it cuts
        into windows that do not overlap. The names of its classes are the texts of ``classes_``. It knows how loud the training
        signals were, and with ``early_stopping`` also how unlike them a signal is and which classes are possible. What came from
        a bundle keeps the facts of that, but those that other weights have made untrue. Raises NotFittedError before ``fit``,
        and ValueError for a rate that is not positive, for classes with the same text, and for signals whose level is so large
        against what varies that float32 loses it.
        """
        check_is_fitted(self, "variables_")
        return bundle_of(self, self._source, sampling_rate)

    @classmethod
    def from_bundle(cls, bundle: Bundle, classes: Any = None) -> "DRSNClassifier":
        """Return a fitted estimator with the network of a bundle, whose probabilities are those of ``bundle.predict_proba``.

        Signals are ``(n, length, channels)``, or ``(n, length)`` where there is one channel. The classes of a bundle are texts;
        ``classes`` gives them as your labels have them, numbers for example, in the order of ``bundle.classes``. ``partial_fit``
        goes on training it, ``fit`` begins anew. Raises ValueError for a bundle of pictures and for other classes.
        """
        names = np.asarray(bundle.classes if classes is None else classes)
        if len(bundle.window_shape) != 2:
            raise UserError(f"an estimator takes signals (length, channels), the model has windows {bundle.window_shape}")
        if tuple(map(str, names.tolist())) != tuple(bundle.classes):
            raise UserError(f"the classes of the model are, in this order, {', '.join(bundle.classes)}, got {names.tolist()}")
        made = cls(network=bundle.network.clone(parent=None), standardize="window" if bundle.standardise else "global")
        made.classes_, made.variables_, made.temperature_ = names, bundle.variables, bundle.temperature
        made.network_, made.offset_, made.scale_ = apart(bundle)
        made.window_shape_ = bundle.window_shape
        made.n_features_in_ = bundle.window_shape[0]  # pyright: ignore[reportAttributeAccessIssue]
        made._without_mean, made._surprises, made._novelty = bundle.remove_mean, bundle.surprises, bundle.novelty
        made._rms_range, made._left, made._source = bundle.rms_range, None, bundle
        made.n_iter_, made.loss_curve_, made.validation_scores_ = 0, [], []
        return made

    def _begin(self, X: np.ndarray, y: Any, *, reset: bool, classes: Any = None) -> tuple[np.ndarray, np.ndarray, int]:
        """Return windows as the network takes them, the numbers of their classes and a seed. With ``reset`` the classes, the
        network and the scale are those of this data."""
        check_classification_targets(y)
        windows = estimator_data.as_signals(X, self.channels_first)
        if reset:
            self.classes_ = np.unique(y if classes is None else classes)
            if len(self.classes_) < 2:
                raise UserError(f"a classifier needs at least two classes, and y has one class only: {self.classes_[0]!r}")
            self.window_shape_ = windows.shape[1:]
            self._without_mean = self.standardize == "window"  # of which the network makes use of nothing but what varies
            self.network_ = estimator.network_for(
                self.network, len(self.classes_), windows.shape[1:], standardise=self._without_mean
            )
            self.offset_, self.scale_ = estimator_data.scale_of(windows, self._without_mean)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        return self._prepared(windows), estimator_data.codes_of(y, self.classes_), seed

    def _prepared(self, windows: np.ndarray) -> np.ndarray:
        """Return windows ``(n, length, channels)`` as the network was trained on them; raise UserError for another shape."""
        if windows.shape[1:] != self.window_shape_:
            length, channels = self.window_shape_
            raise UserError(
                f"the signals have {windows.shape[1]} samples of {windows.shape[2]} channels, and those of fit had {length} of "
                f"{channels}"
            )
        return estimator_data.scaled(windows, self.offset_, self.scale_, without_mean=self._without_mean)

    def _training(self, labels: np.ndarray, seed: int) -> estimator.Training:
        """Return how the parameters say that a network is trained on windows with these labels."""
        return estimator.Training(
            epochs=self.epochs or estimator.epochs_for(len(labels), self.batch_size),
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            noise=self._noise(),
            class_weights=estimator_data.class_weights(self.class_weight, self.classes_, labels),
            seed=seed,
            patience=self.n_iter_no_change,
            on_epoch=self._tell,
        )

    def _noise(self) -> Noise:
        """Return the noise that the parameters ask for; raises UserError as ``Noise``."""
        level: Any = math.inf if self.noise_snr_db is None else self.noise_snr_db
        return Noise(self.noise, tuple(level) if np.ndim(level) else level)

    def _tell(self, epoch: Any) -> None:
        if self.verbose:
            held_out = "" if epoch.validation_loss is None else f", held out {float(epoch.validation_loss):.4f}"
            print(f"epoch {epoch.number}: loss {float(epoch.loss):.4f}{held_out}")

    def _check(self) -> None:
        """Raise UserError for parameters out of range."""
        for name in ("epochs", "batch_size", "n_iter_no_change"):
            value: Any = getattr(self, name)
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 1
            if not whole and not (name == "epochs" and value is None):
                raise UserError(f"{name} is a whole number from 1, got {value!r}")
        if not isinstance(self.learning_rate, int | float | np.number) or not 0 < self.learning_rate < math.inf:
            raise UserError(f"learning_rate is a positive number, got {self.learning_rate!r}")
        if self.standardize not in STANDARDIZE:
            raise UserError(f"standardize is one of {', '.join(map(repr, STANDARDIZE))}, got {self.standardize!r}")
        self._noise()
