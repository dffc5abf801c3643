"""Recordings of a single file that holds windows already cut and the label of each."""

from pathlib import Path

from drsn_jax.data.given_windows import read_labelled
from drsn_jax.data.recording_files import StrPath
from drsn_jax.data.recordings import Recording


def read_windows_file(
    file: StrPath, labels: str, *, sampling_rate: float | None = None, channel: str = "", overrule_rate: bool = False
) -> list[Recording]:
    """Read windows already cut, with their labels from an array beside them, as one recording for each class.

    Args:
      file: see ``given_windows``.
      labels: the name of the array of labels.
      sampling_rate: in Hz, for a file that holds none.
      channel: the name of the array of windows; needed where there are several of that shape.
      overrule_rate: whether the sampling rate that is given holds although the file holds another.

    Raises as ``read_recordings``.
    """
    found = read_labelled(Path(file), channel, labels, sampling_rate, overrule=overrule_rate)
    return [
        Recording(
            one.signal,  # pyright: ignore[reportArgumentType]  # in memory
            label,
            one.sampling_rate,
            name=f"{file}, {label}",
            channel=one.channel,
            rate_from=one.rate_from or "the rate that was given",
            asked=channel,
            unit=length,
        )
        for label, one, length in found
    ]
