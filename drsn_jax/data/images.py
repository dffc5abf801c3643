"""Pictures with labels, and splits of them that do not leak.

Pictures are ``(n, height, width, channels)`` with values from 0 (black) to 1, one channel for grey and three for colour. Files of
pictures are read by ``image_files`` (IDX, CIFAR-10) and ``image_folders`` (PNG and JPEG).
"""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drsn_jax.core.errors import FileWarning, UserError, optional
from drsn_jax.data.windows import Fold, Side


class PictureError(UserError):
    """Something is wrong with the user's pictures; the message says what was found, where, and what to do."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures of one size with their classes.

    Fields:
      pictures: ``(n, height, width, channels)``, float32, from 0 to 1.
      labels: ``(n,)``, int32, indices into ``classes``.
      classes: the names of the classes.
      names: the name of each picture, for tables and messages.
      official: ``(n,)``, whether a picture belongs to the test side of the split that the set brings; None without such a split.

    Raises PictureError for a single class, and for a class without pictures on one side of the official split.
    """

    pictures: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    names: Sequence[str]
    official: np.ndarray | None = None

    def __post_init__(self) -> None:
        if len(self.classes) < 2:
            raise PictureError(f"there is one class, {', '.join(map(repr, self.classes))}: telling apart needs two or more")
        sides = {"": np.ones(len(self.labels), bool)}
        if self.official is not None:
            sides = {"training": ~self.official, "test": self.official}
        for side, chosen in sides.items():
            missing = np.setdiff1d(np.arange(len(self.classes)), self.labels[chosen])
            if len(missing):
                where = f" on the {side} side" if side else ""
                raise PictureError(f"the class {self.classes[missing[0]]!r} has no pictures{where}: leave it out, or add some")

    @property
    def title(self) -> str:
        """Number, size, colour and classes as one line for messages."""
        count, height, width, channels = self.pictures.shape
        colour = {1: "grey", 3: "colour"}.get(channels, f"{channels}-channel")
        return f"{count:,} {colour} pictures of {height} × {width} pixels in {len(self.classes)} classes"


def digits_pictures() -> Pictures:
    """Return the 1,797 handwritten digits that scikit-learn brings, enlarged from 8 × 8 to 16 × 16 pixels.

    They are enlarged by linear interpolation, because fragments of 8 × 8 pixels would hold nothing. Needs scikit-learn (extra
    ``experiments``). Source: Alpaydin & Kaynak, "Optical recognition of handwritten digits", UCI, 1998.
    """
    digits = optional("sklearn.datasets", "reading scikit-learn's digits").load_digits()
    pictures = enlarge(digits.images[..., None].astype(np.float32) / 16, 2)
    names = [f"digit {number}" for number in range(len(pictures))]
    return Pictures(pictures, digits.target.astype(np.int32), tuple(map(str, range(10))), names)


def enlarge(pictures: np.ndarray, times: int) -> np.ndarray:
    """Enlarge pictures ``(n, height, width, channels)`` a whole number of times by linear interpolation."""
    rows, columns = (
        # where the centre of each new pixel lies among the old ones
        np.array([np.interp((np.arange(times * size) + 0.5) / times - 0.5, np.arange(size), unit) for unit in np.eye(size)])
        for size in pictures.shape[1:3]
    )
    return np.einsum("nyxc,yY,xX->nYXc", pictures, rows, columns, optimize=True).astype(np.float32)


def canvas_for(shape: Sequence[int]) -> tuple[tuple[int, int], int]:
    """Return a canvas (height, width) and a size of distractors for pictures of a shape ``(height, width, …)``.

    They have the proportions of Mnih et al. 2014: a canvas of 60 × 60 and distractors of 8 × 8 for digits of 28 × 28.
    """
    height, width = shape[:2]
    return (round(height * 60 / 28), round(width * 60 / 28)), max(1, round(min(height, width) * 8 / 28))


def split_pictures(pictures: Pictures, *, share: float = 0.2, validation: float = 0.0, seed: int = 0) -> Fold:
    """Split pictures into the sides of a fold, whose ``recordings`` are the numbers of the pictures.

    The split that a set brings is kept, and the fold is called ``official``. Without one, ``share`` of the pictures of each class
    is chosen by ``seed`` to be tested on. Then ``validation`` is chosen in the same way from what is left for training. Equal
    pictures stay on one side of a split that is made here. There is a FileWarning where equal pictures have two labels, or lie on
    both sides of the official split.

    Raises PictureError for a class with too few pictures for all sides, and UserError for shares that are not between 0 and 1.
    """
    if not 0 < share < 1 or not 0 <= validation < 1:
        raise UserError(f"the share of the test is between 0 and 1, that of the validation from 0 on, got {share}, {validation}")
    group = equal_pictures(pictures.pictures)
    _tell_two_labels(pictures, group)
    if pictures.official is not None:
        name, test = "official", pictures.official
        _tell_both_sides(pictures, group)
    else:
        name, test = "0", _choose(pictures, group, np.ones(len(group), bool), share, seed)
    held = _choose(pictures, group, ~test, validation, seed) if validation else np.zeros(len(group), bool)
    sides = {"train": ~test & ~held, "test": test} | ({"validation": held} if validation else {})
    for chosen in sides.values():
        counts = np.bincount(pictures.labels[chosen], minlength=len(pictures.classes))
        if not counts.all():
            least = pictures.classes[int(np.argmin(counts))]
            raise PictureError(f"the class {least!r} has too few pictures for the sides of the split: add some, or leave it out")
    empty = Side(np.empty((0, *pictures.pictures.shape[1:]), np.float32), np.empty(0, np.int32), np.empty(0, np.int32))
    made = {side: _side(pictures, np.flatnonzero(chosen)) for side, chosen in sides.items()}
    return Fold(name, made["train"], made["test"], made.get("validation", empty))


def equal_pictures(pictures: np.ndarray) -> np.ndarray:
    """Return for each picture the number of the first picture that is equal to it, ``(n,)``: its own where it is the first."""
    first: dict[bytes, int] = {}
    digests = (hashlib.blake2b(picture.tobytes(), digest_size=16).digest() for picture in pictures)
    return np.array([first.setdefault(digest, number) for number, digest in enumerate(digests)])


def _side(pictures: Pictures, chosen: np.ndarray) -> Side:
    return Side(pictures.pictures[chosen], pictures.labels[chosen], chosen.astype(np.int32))


def _choose(pictures: Pictures, group: np.ndarray, among: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return which pictures are chosen, ``(n,)``: a share of the different pictures of each class, with all that equal them.

    The classes whose share is rounded up are those with the largest remainders, so that the total is the share of all.
    """
    firsts = np.unique(group[among])
    labels = pictures.labels[firsts]
    classes, counts = np.unique(labels, return_counts=True)
    exact = share * counts
    quota = np.floor(exact).astype(int)
    missing = round(share * len(firsts)) - quota.sum()
    quota[np.argsort(quota - exact, kind="stable")[:missing]] += 1
    generator = np.random.default_rng(seed)
    taken = [
        generator.permutation(firsts[labels == label])[:count] for label, count in zip(classes, np.maximum(quota, 1), strict=True)
    ]
    return among & np.isin(group, np.concatenate(taken))


def _tell_two_labels(pictures: Pictures, group: np.ndarray) -> None:
    wrong = np.flatnonzero(pictures.labels != pictures.labels[group])
    if len(wrong):
        one, other = (
            f"{pictures.names[int(number)]} ({pictures.classes[pictures.labels[number]]})"
            for number in (group[wrong[0]], wrong[0])
        )
        warnings.warn(
            f"{len(wrong)} pictures are equal to a picture of another class, the first of them {one} and {other}: one of the two "
            "labels is wrong",
            FileWarning,
            stacklevel=3,
        )


def _tell_both_sides(pictures: Pictures, group: np.ndarray) -> None:
    assert pictures.official is not None
    trained = set(group[~pictures.official].tolist())
    both = [int(number) for number in np.flatnonzero(pictures.official) if int(group[number]) in trained]
    if both:
        warnings.warn(
            f"{len(both)} pictures of the test are equal to one of the training, the first of them {pictures.names[both[0]]}: "
            "their accuracy says nothing of new pictures",
            FileWarning,
            stacklevel=3,
        )
