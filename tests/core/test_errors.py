"""Messages name an option where a command runs, and an argument where the library is called."""

import inspect

import pytest

from drsn_jax import data
from drsn_jax.cli import console
from drsn_jax.core.errors import ARGUMENTS, UserError

MESSAGES = {
    "name the channel, by --channel NAME or in a table": "name the channel, by channel=NAME or in a table",
    "name all of them, by --channel NAME+NAME, in order": "name all of them, by channel=NAME+NAME, in order",
    "give it, by --sampling-rate or in a table": "give it, by sampling_rate or in a table",
    "let it overrule the file (--overrule-rate)": "let it overrule the file (overrule_rate=True)",
    "if its rows are windows, give --windows-given": "if its rows are windows, give windows=True",
    "ask for resampling (--resample 8000)": "ask for resampling (resample(recordings, 8000))",
    "--validation-by group: nothing, or --validation 0": "validation_by=group: nothing, or validation=0",
    "choose fewer by --folds, or another --split": "choose fewer by folds, or another split",
    "choose another --out, or build --force": "choose another --out, or build --force",  # only a command has these
    "my--channel.csv, --channels, --channel-x": "my--channel.csv, --channels, --channel-x",
}


@pytest.mark.parametrize("typed", MESSAGES)
def test_the_library_names_arguments_and_a_command_options(typed):
    assert str(UserError(typed)) == MESSAGES[typed]

    def main():
        raise UserError(typed)

    with pytest.raises(SystemExit) as left:
        console.run(main)
    assert left.value.code == f"error: {typed}"
    assert str(UserError(typed)) == MESSAGES[typed]  # and afterwards arguments again


def test_the_arguments_are_those_of_public_functions():
    """One that were renamed would be advice that nobody can follow."""
    from drsn_jax.core.distributed import initialize
    from drsn_jax.data.labelled_windows import read_windows_file
    from drsn_jax.data.public import read_public
    from drsn_jax.diagnosis import Bundle

    functions = (data.read_folder, data.make_folds, read_windows_file, read_public, initialize)
    functions += (data.resample_to_revolutions, Bundle.diagnose)
    taken = {name for function in functions for name in inspect.signature(function).parameters}
    assert {name.partition("=")[0] for name in ARGUMENTS.values()} - taken == {"resample"}
    assert callable(data.resample)
