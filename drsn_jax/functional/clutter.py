"""Pictures that hold other things beside the labelled object: a pure function of a random key and a picture.

The picture is put at a random place of a larger canvas. Fragments of other pictures, the distractors, lie around and under it,
and noise is added to the pixels of the canvas. Distractors and noise have nothing to do with the label.

Source: Mnih et al., "Recurrent models of visual attention", NeurIPS 2014, section 4.1 (cluttered translated MNIST).
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from drsn_jax.core.arrays import as_float, in_one_program, whole_below
from drsn_jax.core.errors import UserError
from drsn_jax.functional.noise import Noise, repeatable


@jax.tree_util.register_pytree_node_class
@dataclasses.dataclass(frozen=True, eq=False)
class Clutter:
    """Distractors and pixel noise, drawn anew for every picture.

    Calling it makes a canvas of a picture, so a training step takes it as its noise::

        >>> import jax, numpy as np
        >>> bank = np.random.default_rng(0).uniform(size=(10, 28, 28, 1)).astype(np.float32)
        >>> clutter = Clutter(4, Noise("gaussian", 10.0), bank)
        >>> clutter(jax.random.key(0), bank[0]).shape  # a key and a picture (height, width, channels)
        (60, 60, 1)
        >>> print(clutter, Clutter((0, 8), bank=bank), sep=", ")
        gaussian + 4 distractors 10 dB, 0..8 distractors

    It is a pytree like ``Noise``: the number of distractors, the SNR and the bank are data; the kind of the pixel noise, the
    canvas, the patch and ``most`` are static. A compiled function that takes it as an argument serves all numbers and SNRs.
    Two are equal if their fields are, where the bank must be the same array and not only one with the same values.

    Fields:
      distractors: how many distractors a canvas holds, from 0 to ``most``, or a pair ``(low, high)`` from which the number is
        drawn uniformly, both ends included.
      noise: the noise of the pixels. Its SNR is exact for the whole canvas, whose mean counts as signal.
      bank: pictures ``(n, height, width, channels)`` from which the distractors are cut: those of the training, in a test too.
      canvas: height and width of the canvas in pixels.
      patch: height and width of a distractor in pixels, less than those of a picture, so that none holds a whole object.
      most: the largest number of distractors; so many are computed for every canvas, whatever their number.

    Raises ValueError for a number of distractors outside of these limits, a bank that is not such an array, pictures that are
    larger than the canvas, and a patch that is not smaller than the pictures.
    """

    distractors: Any = 0
    noise: Noise = Noise()  # noqa: RUF009
    bank: Any = None
    canvas: tuple[int, int] = (60, 60)
    patch: int = 8
    most: int = 8

    def __post_init__(self) -> None:
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((self.distractors, self.noise, self.bank))):
            return  # inside a compiled function there are no numbers to check
        if np.ndim(self.bank) != 4 or np.size(self.bank) == 0:
            raise UserError(f"the bank is an array (pictures, height, width, channels), got the shape {np.shape(self.bank)}")
        sizes = (self.patch, self.most + 1, *self.canvas)
        if len(self.canvas) != 2 or not all(isinstance(size, int | np.integer) and size >= 1 for size in sizes):
            raise UserError(
                f"canvas is (height, width), patch and most are whole numbers, got {self.canvas}, {self.patch} and {self.most}"
            )
        _check_sizes(np.shape(self.bank)[1:], self)
        object.__setattr__(self, "distractors", _checked_number(self.distractors, self.most))
        object.__setattr__(self, "canvas", tuple(map(int, self.canvas)))
        # on the device once, and not once for each call of a compiled function
        object.__setattr__(self, "bank", as_float(self.bank))

    @property
    def kind(self) -> str:
        """What is added, as tables name it: ``4 distractors``, ``gaussian + 0..8 distractors``."""
        there = f"{self.columns['distractors']} distractors"
        return there if self.noise.is_none else f"{self.noise.kind} + {there}"

    @property
    def columns(self) -> dict[str, str]:
        """Further columns for a table of results: the number of distractors, ``4`` or ``0..8``."""
        return {"distractors": "..".join(map(str, jax.tree.leaves(self.distractors)))}

    @property
    def snr_db(self) -> Any:
        """The SNR of the pixel noise in dB, or its range."""
        return self.noise.snr_db

    @property
    def level(self) -> str:
        """The SNR of the pixel noise as tables write it."""
        return self.noise.level

    @property
    def is_none(self) -> bool:
        """Whether pictures stay what they are: never, because even without distractors they are put on a canvas."""
        return False

    @property
    def is_range(self) -> bool:
        """Whether the SNR of the pixel noise is drawn for each picture."""
        return self.noise.is_range

    def __str__(self) -> str:
        return self.kind if self.noise.is_none else f"{self.kind} {self.level} dB"

    def __call__(self, key: jax.Array, window: ArrayLike) -> jax.Array:
        """Return the canvas ``(*canvas, channels)`` of a picture ``window`` ``(height, width, channels)`` with everything on it.

        Several pictures: ``jax.vmap`` over keys and pictures. Raises ValueError for a picture that is larger than the canvas, not
        larger than the patch, or has another number of channels than the bank.
        """
        picture = as_float(window)
        _check_sizes(picture.shape, self)
        if picture.shape[-1] != self.bank.shape[-1]:
            raise UserError(
                f"the picture has {picture.shape[-1]} channels and the bank {self.bank.shape[-1]}: grey and colour do not mix"
            )
        canvas, noise_key = self._canvas(key, picture)
        return self.noise(noise_key, canvas)

    @in_one_program()
    def _canvas(self, key: jax.Array, picture: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the canvas before noise is added to its pixels, and the key of that noise."""
        drawn_key, noise_key = jax.random.split(repeatable(key))
        # all places are made of one draw, because each call of a generator takes seconds to compile
        drawn = jax.random.uniform(drawn_key, (3 + 5 * self.most,), jnp.float32)
        own, others = drawn[:3], drawn[3:].reshape(self.most, 5)
        canvas = jnp.zeros((*self.canvas, picture.shape[-1]), picture.dtype)
        if self.most:
            moved, covered = jax.vmap(self._distractor)(others)
            count = self._number(own[0])
            for number in range(self.most):
                canvas = jnp.where(covered[number] & (number < count), moved[number].astype(canvas.dtype), canvas)
        moved, covered = put(picture, corner(own[1:], self.canvas, picture.shape), self.canvas)
        return jnp.where(covered, moved, canvas), noise_key

    def _number(self, drawn: jax.Array) -> Any:
        """Return the number of distractors of one canvas, of a uniform draw in [0, 1)."""
        if not isinstance(self.distractors, tuple):
            return self.distractors
        low, high = self.distractors
        return low + whole_below(drawn, high - low + 1)

    def _distractor(self, drawn: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Cut a patch at a random place out of a random picture of the bank and put it at a random place of an empty canvas.

        Five uniform draws decide. Returns what ``put`` returns.
        """
        size = (self.patch, self.patch)
        which = whole_below(drawn[0], len(self.bank))
        row, column = corner(drawn[1:3], self.bank.shape[1:], size)
        patch = jax.lax.dynamic_slice(self.bank, (which, row, column, 0), (1, *size, self.bank.shape[-1]))[0]
        return put(patch, corner(drawn[3:], self.canvas, size), self.canvas)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Clutter) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[Any, ...]:
        return self.distractors, self.noise, id(self.bank), self.canvas, self.patch, self.most

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Return the number of distractors, the noise and the bank, which are data, and the rest, which is static."""
        return (self.distractors, self.noise, self.bank), (self.canvas, self.patch, self.most)

    @classmethod
    def tree_unflatten(cls, static: tuple[Any, ...], children: tuple[Any, ...]) -> "Clutter":
        """Rebuild it without checks, because JAX may put placeholders in the place of the arrays."""
        clutter = object.__new__(cls)
        for field, value in zip(dataclasses.fields(cls), (*children, *static), strict=True):
            object.__setattr__(clutter, field.name, value)
        return clutter


def corner(drawn: jax.Array, outer: tuple[int, ...], inner: tuple[int, ...]) -> jax.Array:
    """Return row and column ``(2,)`` of the upper left corner, so that ``inner`` (height, width) lies whole inside ``outer``."""
    return whole_below(drawn, jnp.asarray([outer[0] - inner[0] + 1, outer[1] - inner[1] + 1]))


def put(picture: jax.Array, place: jax.Array, canvas: tuple[int, int]) -> tuple[jax.Array, jax.Array]:
    """Put a picture ``(height, width, channels)`` with its upper left corner at ``place`` (row, column) of an empty canvas.

    Returns the canvas ``(*canvas, channels)``, and where the picture covers it, ``(*canvas, 1)``. Rows and columns are moved by
    products with matrices of zeros and ones, which are exact. Mapped over many pictures, ``dynamic_update_slice`` would become a
    scatter, which XLA runs one picture after another on a CPU.
    """
    rows, columns = (
        jnp.arange(outer)[:, None] - place[axis] == jnp.arange(picture.shape[axis]) for axis, outer in enumerate(canvas)
    )
    moved = jnp.einsum(
        "Yy,yxc,Xx->YXc", rows.astype(picture.dtype), picture, columns.astype(picture.dtype), precision=jax.lax.Precision.HIGHEST
    )
    return moved, (rows.any(1)[:, None] & columns.any(1))[..., None]


def _checked_number(distractors: Any, most: int) -> Any:
    """Return the number of distractors, or their range, as Python's integers; raise ValueError where it is neither."""
    ends = tuple(distractors) if isinstance(distractors, tuple | list) else (distractors, most)
    whole = all(np.ndim(end) == 0 and isinstance(end, int | np.integer) and not isinstance(end, bool) for end in ends)
    if len(ends) != 2 or not whole or not 0 <= ends[0] <= ends[1] <= most:
        raise UserError(
            f"the number of distractors is from 0 to {most}, or a range (low, high) within these, got {distractors}: "
            "`most` sets the limit"
        )
    if not isinstance(distractors, tuple | list):
        return int(distractors)
    return (int(ends[0]), int(ends[1])) if ends[0] < ends[1] else int(ends[0])


def _check_sizes(shape: tuple[int, ...], clutter: Clutter) -> None:
    """Raise ValueError unless a picture of a shape lies on the canvas and is larger than a distractor."""
    if len(shape) != 3:
        raise UserError(f"a picture is (height, width, channels), got the shape {shape}")
    height, width, _ = shape
    if height > clutter.canvas[0] or width > clutter.canvas[1]:
        outer = " × ".join(map(str, clutter.canvas))
        raise UserError(f"a picture of {height} × {width} pixels does not fit on a canvas of {outer}: choose a larger canvas")
    if clutter.patch >= min(height, width):
        raise UserError(
            f"a distractor of {clutter.patch} × {clutter.patch} pixels could hold a whole picture of {height} × {width}: choose "
            "a smaller patch"
        )
