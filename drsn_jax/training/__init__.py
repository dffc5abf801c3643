"""Training: a pure step, the loop around it, and many trainings as one.

- ``state``: the ``TrainState`` that a training step changes, how it begins, and the purposes of random keys.
- ``steps``: the pure steps of training, evaluation and prediction. A new loss or metric goes here.
- ``optimizers``: the paper's optimiser and its schedule of the learning rate. Any other Optax optimiser can be used as it is.
- ``batches``: the training set in batches, on one device or several; ``sources``: where its examples are read from.
- ``loop``: ``fit``, the loop over epochs, which yields an ``Epoch`` after each.
- ``progress``: the sums and records of a training under way, their way into a logger, and the errors when its numbers are no
  longer finite.
- ``checkpoints``: training states on disk.
- ``ensembles`` and ``members``: many trainings of one network that share a compiled step, and what a single one of them is.
"""

from drsn_jax.training.batches import Batches as Batches
from drsn_jax.training.checkpoints import CheckpointError as CheckpointError
from drsn_jax.training.checkpoints import Checkpoints as Checkpoints
from drsn_jax.training.ensembles import Ensemble as Ensemble
from drsn_jax.training.loop import fit as fit
from drsn_jax.training.members import Member as Member
from drsn_jax.training.optimizers import one_cycle_optimizer as one_cycle_optimizer
from drsn_jax.training.optimizers import one_cycle_schedule as one_cycle_schedule
from drsn_jax.training.optimizers import paper_optimizer as paper_optimizer
from drsn_jax.training.optimizers import paper_schedule as paper_schedule
from drsn_jax.training.progress import Diverged as Diverged
from drsn_jax.training.progress import Epoch as Epoch
from drsn_jax.training.progress import log_to as log_to
from drsn_jax.training.state import TrainState as TrainState
from drsn_jax.training.state import create_state as create_state
from drsn_jax.training.steps import balanced_class_weights as balanced_class_weights
from drsn_jax.training.steps import make_eval_step as make_eval_step
from drsn_jax.training.steps import make_predict_step as make_predict_step
from drsn_jax.training.steps import make_train_step as make_train_step
from drsn_jax.training.steps import repeat_step as repeat_step
