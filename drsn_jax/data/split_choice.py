"""Choose a split: by its name, or the one that tells most about a machine that the network was not trained on."""

from collections.abc import Sequence
from typing import NamedTuple

from drsn_jax.core.errors import UserError
from drsn_jax.data.recordings import Recording
from drsn_jax.data.splits import (
    Split,
    folds_by_condition,
    folds_by_group,
    folds_by_recording,
    folds_by_time,
    split_by_condition,
)

SPLITS = ("condition", "group", "recording", "time", "random-windows")


def named_splits(
    recordings: Sequence[Recording], split: str, folds: int, gap: int, test_condition: str | None = None
) -> list[tuple[str, Split]]:
    """Make the folds of a split that is asked for by its name.

    Args:
      recordings: all recordings.
      split: one of ``SPLITS`` but ``"random-windows"``, which splits windows and not recordings.
      folds: how many; the split by condition has one fold for each condition instead.
      gap: samples between the sides of the split by time.
      test_condition: the only condition to test on, with the split by condition.

    Returns:
      Each fold with its name: the condition that is tested, or else the number of the fold.

    Raises:
      ValueError: for an unknown split, and as the functions of the splits.
    """
    match split:
        case "condition":
            conditions = [test_condition] if test_condition is not None else list(dict.fromkeys(r.condition for r in recordings))
            return [(condition, split_by_condition(recordings, condition)) for condition in conditions]
        case "group":
            splits = folds_by_group(recordings, folds)
        case "recording":
            splits = folds_by_recording(recordings, folds)
        case "time":
            splits = folds_by_time(recordings, folds, gap)
        case _:
            raise UserError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")
    return [(str(number), segments) for number, segments in enumerate(splits)]


class Choice(NamedTuple):
    """A split that the recordings allow.

    Fields:
      split: one of ``SPLITS``.
      folds: how many.
      notice: a sentence for the user: whether physical parts are on both sides, and why no stricter split is possible.
    """

    split: str
    folds: int
    notice: str


def strictest_split(recordings: Sequence[Recording], folds: int) -> Choice:
    """Choose the first of the splits by group, condition, recording and time that these recordings allow.

    Where a split is only possible in fewer folds than ``folds``, it is chosen with fewer folds, before a less strict split.

    Raises ValueError for fewer than two folds.
    """
    if folds < 2:
        raise UserError(f"a split needs 2 folds or more, got {folds}")
    makers = {"group": folds_by_group, "condition": lambda r, _: folds_by_condition(r), "recording": folds_by_recording}
    refused: list[str] = []
    for split, make in makers.items():
        why = ""
        # no split of whole recordings has more folds than there are recordings
        for count in range(min(folds, max(2, len(recordings))), 1, -1):
            try:
                make(recordings, count)
            except ValueError as error:
                why = str(error)
            else:
                return Choice(split, count, _notice(split, refused, f" ({count} folds, not {folds})" if count < folds else ""))
        refused.append(f"by {split}: {why}")
    return Choice("time", folds, _notice("time", refused, ""))


def _notice(split: str, refused: Sequence[str], fewer: str) -> str:
    """Tell the user which split was chosen, and why the stricter ones were refused."""
    if not refused:
        return f"the split is by group{fewer}: no physical part is on both sides"
    return (
        f"the split is by {split}{fewer}, because no stricter one is possible ({'; '.join(refused)}): the same physical parts "
        "are or may be on both sides, so the accuracy does not tell how a part will do that was not trained on"
    )
