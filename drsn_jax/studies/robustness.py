"""The protocols of the benchmark of robustness: which recordings, how they are split, and in which noise they are tested."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from drsn_jax.core.errors import UserError
from drsn_jax.data.drivetrain import SPEEDS, drivetrain_recordings
from drsn_jax.data.recordings import Recording, read_recordings
from drsn_jax.data.resampling import resample_to_revolutions
from drsn_jax.data.windows import Fold, make_folds
from drsn_jax.functional.noise import Noise
from drsn_jax.functional.noise_mixture import MIXTURE, NoiseMixture
from drsn_jax.nn import presets
from drsn_jax.studies.disturbance import Disturbance
from drsn_jax.studies.wdcnn import WideFirstKernelNetwork

PRESETS: dict[str, Any] = {**presets.SIGNAL_NETWORKS, "wdcnn": WideFirstKernelNetwork}
WINDOW = 2048
FEWEST_SAMPLES = 128  # in a revolution: with fewer the recordings of the simulation are too short for a split
CWRU_SPEED = 29.4  # revolutions a second: the mean of 1,797 to 1,730 rpm at 0 to 3 hp
SIMULATED_SPEED = 30.0  # the middle one: with the speed unknown, an envelope spectrum is one in Hz there
# the kinds with their levels in dB; the first is tested at more, because curves are drawn of it
LEVELS: dict[str, tuple[float, ...]] = {
    "gaussian": (0.0, -5.0, -10.0),
    "laplacian": (-5.0, -10.0),
    "pink": (-5.0, -10.0),
    "impulsive": (-5.0, -10.0),
}


@dataclass(frozen=True)
class Protocol:
    """A question to recordings of a machine.

    Fields:
      name: of its folder and of the option.
      title: in words, for tables.
      shows: what it can show and what it cannot, one sentence.
      recordings: what is split.
      folds: the splits; each is cut into windows when it is called.
      speed: the shaft's mean speed in revolutions a second; 1 where windows lie at equal angles.
    """

    name: str
    title: str
    shows: str
    recordings: list[Recording]
    folds: list[Callable[[], Fold]]
    speed: float

    @property
    def orders_per_bin(self) -> float:
        """How many orders one turn of a window's spectrum is."""
        return self.recordings[0].sampling_rate / (WINDOW * self.speed)


# protocol → the table of its recordings, and that table → the folder in which all files of Case Western may be sorted
TABLES = {"later": "cwru_drive_end_48k_0hp.csv", "other_load": "cwru_drive_end_12k.csv", "other_part": "cwru_drive_end_12k.csv"}
PLACES = {"cwru_drive_end_48k_0hp.csv": "drive_end_48k_0hp", "cwru_drive_end_12k.csv": "drive_end_12k"}
VALIDATED = ("other_load", "other_part")
# name → title and what it shows
ABOUT = {
    "other_load": (
        "other load",
        "trained at 0 to 2 hp and tested at 3 hp on the same nine bearings: it shows how much noise a method bears, and not "
        "whether it knows a fault in another bearing",
    ),
    "later": (
        "later in time",
        "trained on the first two thirds of each recording and tested on its last fifth: the easiest question, because bearing, "
        "load and mounting are those of the training",
    ),
    "other_part": (
        "other part",
        "inner race, ball or outer race, trained on two fault sizes and tested on bearings with the third: it shows whether the "
        "fault is known and not the bearing, on three sizes of one machine",
    ),
    "other_speed": (
        "other speed",
        "the simulated drivetrain, trained at two speeds and tested at the third: it shows what carries over to another speed, "
        "on a machine that is simpler than a real one",
    ),
}


def variant(name: str) -> Callable[..., Any]:
    """Return what makes the network of a name, as ``nn.presets.variant``, among the networks of this benchmark."""
    return presets.variant(name, PRESETS)


def check_networks(names: Sequence[str], classes: int, channels: int) -> None:
    """Raise UserError for a network of ``variant`` that cannot be built for windows of the protocols."""
    windows = jax.ShapeDtypeStruct((2, WINDOW, channels), np.float32)
    for name in names:
        network = variant(name)(classes=classes)
        if getattr(network, "shrinkage", None) is None and "threshold_rule" in name:
            raise UserError(f"{name}: a network without thresholds has no rule for them")
        try:
            jax.eval_shape(functools.partial(network.init, train=False), jax.random.key(0), windows)
        except ValueError as error:
            raise UserError(f"{name}: {error}") from error


def require_validation(names: Sequence[str]) -> None:
    """Raise UserError if one of the protocols has no split for validation."""
    if without := [name for name in names if name not in VALIDATED]:
        raise UserError(f"{without[0]} has no split for validation: choose --protocols {' or '.join(VALIDATED)}")


def require_folder(names: Sequence[str], folder: Path | None) -> None:
    """Raise UserError if one of the protocols needs the recordings of Case Western and no folder of them is given."""
    if folder is None and (asked := [name for name in names if name in TABLES]):
        raise UserError(
            f"{asked[0]} asks the recordings of Case Western: give their --folder (of the questions, other_speed needs none)"
        )


def require_samples(samples_per_revolution: int) -> None:
    """Raise UserError for a number of samples in a revolution that ``protocol`` cannot bring recordings to."""
    if samples_per_revolution and not FEWEST_SAMPLES <= samples_per_revolution <= WINDOW:
        raise UserError(
            f"--samples-per-revolution is a whole number from {FEWEST_SAMPLES} to {WINDOW}, of which a window holds one "
            f"revolution, or 0 for windows in time, got {samples_per_revolution}"
        )


def protocol(
    name: str,
    tables: Path,
    folder: Path | None,
    *,
    validation: bool = False,
    samples_per_revolution: int = 0,
    dry_run: bool = False,
) -> Protocol:
    """Return a protocol by its name, one of ``ABOUT``.

    ``tables`` is the folder of the tables that name the recordings of Case Western, and ``folder`` holds their files, all of them
    or in the two folders of ``PLACES``; the simulated machine needs neither.

    With ``validation`` the split is one within the training side, on which a network may be chosen without a look at the test:
    for other loads it trains at 1 and 2 hp and tests at 0 hp; for other parts it trains on one of two sizes and tests on the
    other, for each pair of them. What tests one fold of other parts still trains another, so that over all folds nothing is
    held out there. The other two questions have no such split.

    With ``samples_per_revolution`` above 0 every recording is brought to so many samples in a revolution by its speed, so that
    windows lie at equal angles of the shaft.

    Raises the errors of ``read_recordings`` and ``resample_to_revolutions``, and UserError for labels that name no fault and
    size, and for a question without a validation.
    """
    if validation:
        require_validation([name])
    turned = functools.partial(resample_to_revolutions, samples_per_revolution=samples_per_revolution)
    to_angles = turned if samples_per_revolution else list
    make: dict[str, Any] = {"window_length": WINDOW, "train_stride": WINDOW if dry_run else WINDOW // 2}
    speed = CWRU_SPEED
    if name == "other_speed":
        short = 8 if samples_per_revolution else 2  # windows of a dry run
        made = drivetrain_recordings(recordings=1 if dry_run else 2, windows=short if dry_run else 20)
        recordings = [dataclasses.replace(r, condition=r.condition.split(",")[0]) for r in made]
        assert len({r.condition for r in recordings}) == len(SPEEDS)
        recordings, speed = to_angles(recordings), SIMULATED_SPEED
        folds = make_folds(recordings, "condition", **make)
    else:
        inside = None if folder is None else folder / PLACES[TABLES[name]]
        recordings = read_recordings(tables / TABLES[name], inside if inside is not None and inside.is_dir() else folder)
        if dry_run:
            recordings = [dataclasses.replace(r, signal=r.signal[: 12 * WINDOW]) for r in recordings]
        recordings = to_angles(recordings)
        if name == "other_load":
            if validation:
                recordings = [r for r in recordings if r.condition != "3 hp"]
            folds = make_folds(recordings, "condition", test_condition="0 hp" if validation else "3 hp", **make)
        elif name == "later":
            # the last fifth is tested, and 15 % before it are for who wants to choose something; between them lies a window
            folds = make_folds(recordings, "time", folds=5, validation=0.1875, **make)[-1:]
        else:
            recordings = [by_size(r) for r in recordings]
            folds = _pairs(recordings, make) if validation else make_folds(recordings, "condition", **make)
    title, shows = ABOUT[name]
    if validation:
        title, shows = f"{title}, validation", f"a split within the training side of {title}, to choose a network by"
    if samples_per_revolution:
        title = f"{title}, {samples_per_revolution} samples a revolution"
    return Protocol(name, title, shows, recordings, folds[: 1 if dry_run else None], 1.0 if samples_per_revolution else speed)


def _pairs(recordings: Sequence[Recording], make: Mapping[str, Any]) -> list[Callable[[], Fold]]:
    """Return the splits of other parts within their training sides: trained on one size, tested on another."""
    sizes, folds = sorted({r.condition for r in recordings}), []
    for left_out in sizes:
        kept = [i for i, r in enumerate(recordings) if r.condition != left_out]
        for cut in make_folds([recordings[i] for i in kept], "condition", **make):
            folds.append(functools.partial(_renumbered, cut, np.asarray(kept, np.int32), left_out))
    return folds


def _renumbered(cut: Callable[[], Fold], numbers: np.ndarray, left_out: str) -> Fold:
    """Cut a fold of some of the recordings, whose ``numbers`` among all are given; its name says which size is left out."""
    fold = cut()
    train, test = (side._replace(recordings=numbers[side.recordings]) for side in (fold.train, fold.test))
    return Fold(f"{fold.name} without {left_out}", train, test)


def by_size(recording: Recording) -> Recording:
    """Return a recording of Case Western with the part that is at fault as its class, and the size of the fault as condition."""
    kinds = {"IR": "inner race", "B": "ball", "OR": "outer race"}
    name = recording.label.split("@")[0]
    kind, size = name.rstrip("0123456789"), name.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    if kind not in kinds or not size:
        raise UserError(f"the class {recording.label!r} names no fault and size, such as IR007: take the table of Case Western")
    return dataclasses.replace(recording, label=kinds[kind], condition=f"0.{size} in", group=recording.label)


def noises_of_tests(kinds: Sequence[str], levels: Sequence[float] | None = None) -> list[Disturbance]:
    """Return the noises of the tests: none, and the kinds at their levels of ``LEVELS``, or at ``levels`` in dB."""
    noisy = [Noise(kind, level) for kind in kinds for level in (LEVELS[kind] if levels is None else levels) if level < math.inf]
    return [Noise(), *noisy]


def plan(
    way: str, tested: Sequence[Disturbance], kinds: Sequence[str], filter_db: float = 0.0
) -> list[tuple[Disturbance, list[Disturbance]]]:
    """Return the noise of each training with those of its tests.

    ``"robust"`` is one training for all tests, in a mixture of the kinds from -10 to 10 dB and without noise, behind a random
    filter of a spread of ``filter_db``; ``"matched"`` one training for each test, in its noise.
    """
    if way == "robust":
        return [(NoiseMixture(kinds, (-10.0, 10.0), filter_db), list(tested))]
    return [(noise, [noise]) for noise in tested]


NOISE_KINDS = (*LEVELS, MIXTURE)
