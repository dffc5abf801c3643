"""Data: from recordings in files, public sets and a simulated drivetrain to windows and splits that do not leak."""

from drsn_jax.data.drivetrain import drivetrain_recordings as drivetrain_recordings
from drsn_jax.data.formats.common import RecordingError as RecordingError
from drsn_jax.data.public import read_public as read_public
from drsn_jax.data.recordings import Recording as Recording
from drsn_jax.data.recordings import check_recordings as check_recordings
from drsn_jax.data.recordings import read_file as read_file
from drsn_jax.data.recordings import read_folder as read_folder
from drsn_jax.data.recordings import read_recordings as read_recordings
from drsn_jax.data.resampling import resample as resample
from drsn_jax.data.split_choice import strictest_split as strictest_split
from drsn_jax.data.splits import Segment as Segment
from drsn_jax.data.splits import Split as Split
from drsn_jax.data.splits import folds_by_condition as folds_by_condition
from drsn_jax.data.splits import folds_by_group as folds_by_group
from drsn_jax.data.splits import folds_by_recording as folds_by_recording
from drsn_jax.data.splits import folds_by_time as folds_by_time
from drsn_jax.data.splits import split_by_condition as split_by_condition
from drsn_jax.data.windows import Fold as Fold
from drsn_jax.data.windows import Side as Side
from drsn_jax.data.windows import Windows as Windows
from drsn_jax.data.windows import cut_windows as cut_windows
from drsn_jax.data.windows import make_folds as make_folds
