"""Hold a part of the training side of a split out for validation."""

import math
from collections.abc import Sequence

import numpy as np

from drsn_jax.core.errors import UserError
from drsn_jax.data.splits import Segment


def hold_out(
    segments: Sequence[Segment], share: float, window_length: int, labels: Sequence[str] = ()
) -> tuple[list[Segment], list[Segment]]:
    """Hold the end of every training recording out for validation.

    The validation segment is the end of the longest segment of a recording, so long that whole windows make up ``share`` of
    the recording's segments. The window's length before it goes to neither side. A share of 0 holds out nothing.

    Recordings of one or a few windows cannot give up their end. Of these the same share of every class is held out whole, evenly
    among them, where ``labels``, the classes of all recordings, are given and at least one recording of the class is left.

    The validation windows come from the same recordings as the training windows. So they say when to stop training, and not
    how good the network will be elsewhere.

    Returns:
      The segments that are left to train on, and the validation segments.
    """
    if share == 0:
        return list(segments), []
    train, held_out = [], []
    of_recording: dict[int, list[Segment]] = {}
    for segment in segments:
        of_recording.setdefault(segment.recording, []).append(segment)
    short = [recording for recording, own in of_recording.items() if not _can_give(own, share, window_length)]
    whole = _spread([r for r in short if labels], share, labels)
    classes_of_whole = {labels[r] for r in whole}
    kept_whole = {r for r in short if labels and labels[r] in classes_of_whole} - whole
    for recording, own in of_recording.items():
        if recording in whole or recording in kept_whole:
            (held_out if recording in whole else train).extend(own)
            continue
        longest, wanted = _end(own, share, window_length)
        start = longest.stop - wanted
        held_out.append(Segment(recording, max(start, longest.start), longest.stop))
        train += [s for s in own if s is not longest]
        if start - window_length > longest.start:
            train.append(Segment(recording, longest.start, start - window_length))
        elif len(own) == 1:  # nothing is left: ``require_windows`` refuses an empty segment
            train.append(Segment(recording, longest.start, longest.start))
    return train, held_out


def hold_out_whole(
    segments: Sequence[Segment], share: float, of: Sequence[str], labels: Sequence[str], what: str
) -> tuple[list[Segment], list[Segment]]:
    """Hold whole recordings, conditions or groups out for validation, which then is like a test on what was never trained on.

    Args:
      segments: the training side of a split.
      share: of each class that is held out, at least one and never all; 0 holds out nothing.
      of: what each recording belongs to (its own name, its condition or its group); what belongs together stays together.
      labels: the class of each recording.
      what: the name for messages: ``"recording"``, ``"condition"`` or ``"group"``.

    Conditions are chosen among all of them, because every class is recorded under each; recordings and groups class by class.
    They are taken evenly from their order of appearance.

    Returns:
      The segments that are left to train on, and the validation segments.

    Raises ValueError for a recording that belongs to nothing, and for a class that would not be on both sides.
    """
    if share == 0:
        return list(segments), []
    used = list(dict.fromkeys(s.recording for s in segments))
    if any(not of[r] for r in used):
        raise UserError(f"--validation-by {what}: a recording has no {what}; name it, or choose another way, such as time")
    chosen: set[str] = set()
    classes = list(dict.fromkeys(labels[r] for r in used))
    for own in [used] if what == "condition" else [[r for r in used if labels[r] == label] for label in classes]:
        names = list(dict.fromkeys(of[r] for r in own))
        count = min(math.ceil(share * len(names)), len(names) - 1)
        chosen |= {names[(2 * i + 1) * len(names) // (2 * count)] for i in range(count)}
    held_out = [s for s in segments if of[s.recording] in chosen]
    train = [s for s in segments if of[s.recording] not in chosen]
    for label in classes:
        if not all(any(labels[s.recording] == label for s in side) for side in (train, held_out)):
            count = len({of[r] for r in used if labels[r] == label})
            raise UserError(
                f"--validation-by {what}: the class {label!r} has {count} {what}{'' if count == 1 else 's'} to train on, too few "
                "to hold one out of every class: choose another way, such as time, or --validation 0"
            )
    return train, held_out


def _end(own: Sequence[Segment], share: float, window_length: int) -> tuple[Segment, int]:
    """Return the longest segment of a recording, and how many samples of its end make up a share of all."""
    wanted = math.ceil(share * sum(s.stop - s.start for s in own) / window_length) * window_length
    return max(own, key=lambda s: s.stop - s.start), wanted


def _can_give(own: Sequence[Segment], share: float, window_length: int) -> bool:
    """Return whether a window to train on is left of a recording whose end is held out."""
    longest, wanted = _end(own, share, window_length)
    left = [s.stop - s.start for s in own if s is not longest] + [longest.stop - longest.start - wanted - window_length]
    return max(left) >= window_length


def _spread(recordings: Sequence[int], share: float, labels: Sequence[str]) -> set[int]:
    """Return a share of the recordings of every class, evenly among them; none of a class of which none would be left."""
    chosen: set[int] = set()
    for label in dict.fromkeys(labels[r] for r in recordings):
        own = [r for r in recordings if labels[r] == label]
        count = math.ceil(share * len(own))
        if count < len(own):
            chosen |= {own[(2 * i + 1) * len(own) // (2 * count)] for i in range(count)}
    return chosen


def hold_out_windows(train: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Hold a random share of the training windows out for validation, as ``random_window_folds`` splits windows.

    Args:
      train: ``(n,)``, the indices of the training windows.
      share: of the windows; 0 holds out nothing.
      seed: of the shuffle.

    Returns:
      The indices that are left to train on and those of the validation windows, ascending.

    Raises:
      ValueError: for a share that leaves no windows to train on.
    """
    if not share:
        return train, train[:0]
    shuffled = np.random.default_rng(seed).permutation(train)
    count = math.ceil(share * len(train))
    if count >= len(train):
        raise UserError(f"a validation share of {share} leaves no windows to train on: choose a smaller one")
    return np.sort(shuffled[count:]), np.sort(shuffled[:count])
