"""What a comparison asks of a disturbance of its windows: noise, or whatever else has nothing to do with the label."""

from typing import Any, Protocol

import jax
from jax.typing import ArrayLike


class Disturbance(Protocol):
    """A pure function ``(key, window) -> window``, with a name for tables; ``functional.noise.Noise`` is one.

    It is a pytree, because it is an argument of the compiled steps: its kind is static, and what differs from one disturbance
    of a kind to another (the SNR, for example) is data, so that one compilation serves them all. The window that it returns may
    have another shape, as where an object is put on a larger picture.

    Attributes:
      kind: its name in the column ``noise``, without the level.
      snr_db: its SNR in dB, ``inf`` where nothing is added; for a range ``(low, high)``.
      level: the SNR as tables write it, ``-5``, ``inf`` or ``-5..5``.
      is_none: whether windows come back as they are.
      is_range: whether the SNR of each window is drawn.
    """

    @property
    def kind(self) -> str: ...
    @property
    def snr_db(self) -> Any: ...
    @property
    def level(self) -> str: ...
    @property
    def is_none(self) -> bool: ...
    @property
    def is_range(self) -> bool: ...

    def __call__(self, key: jax.Array, window: ArrayLike) -> jax.Array:
        """Disturb one window ``(*positions, channels)``."""
        ...
