"""Networks that come trained with the package: each a bundle of less than 200 kB with a card that says what it is good for.

``load("drivetrain")`` is a ``Bundle`` as that of any training; ``available()`` names all of them. The scripts take
``pretrained:drivetrain`` where they take the folder of a model. A further one needs an entry in ``kept.KEPT``, its training in
``experiments/train_pretrained.py``, and a folder here with its card.
"""

from drsn_jax.pretrained.kept import available as available
from drsn_jax.pretrained.kept import card as card
from drsn_jax.pretrained.kept import folder as folder
from drsn_jax.pretrained.kept import load as load
