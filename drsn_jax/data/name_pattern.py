"""The label and condition of a recording from the name of its file: ``{label}_{condition}.mat``."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from drsn_jax.data.formats.common import RecordingError

FIELDS = ("label", "condition", "group", "channel", "sampling_rate")  # columns of a table that a name can hold
FIELD = re.compile(r"\{(\w*)(?::([^{}]*))?\}")


def compile_pattern(pattern: str, *, lazy: bool = False) -> re.Pattern[str]:
    """Return the regular expression of a pattern for the paths of files in a folder.

    ``{label}``, ``{condition}``, ``{group}``, ``{channel}`` and ``{sampling_rate}`` stand for one or more letters of a name,
    ``{}`` for letters that do not matter; a slash is between folder and file. After a colon a field may say in a regular
    expression what it holds: ``{label:[a-z_]+}_{condition:[0-9]+hp}.mat``.

    Of several ways in which a path fits, the expression finds the one with the longest first fields, and with ``lazy`` the one
    with the shortest. So there is one way where both find the same.

    Raises RecordingError for unknown fields, two of one name, no ``{label}``, and for what is no regular expression.
    """
    place, parts, names = 0, [], []
    for match in FIELD.finditer(pattern):
        name, inside = match[1], match[2] or ("[^/]+?" if lazy else "[^/]+")
        if name and (name not in FIELDS or name in names):
            raise RecordingError(f"the pattern {pattern!r} has the field {name!r} twice, or it is none of {', '.join(FIELDS)}")
        names.append(name)
        parts += [re.escape(pattern[place : match.start()]), f"(?P<{name}>{inside})" if name else f"(?:{inside})"]
        place = match.end()
    if "label" not in names:
        raise RecordingError(f"the pattern {pattern!r} has no {{label}}: expected one such as {{label}}_{{condition}}.mat")
    try:
        return re.compile("".join(parts) + re.escape(pattern[place:]))
    except re.error as error:
        raise RecordingError(f"the pattern {pattern!r} holds what is no regular expression: {error}") from error


def rows_by_pattern(
    folder: Path, pattern: str, sampling_rate: float | None, channel: str, say: Callable[[str], None]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield a row for each file of a folder whose path fits a pattern, as ``recordings_table.rows_of_table`` does.

    The rows are in the order of the paths. Hidden files are passed over, and those with another suffix than that of the pattern,
    which ``say`` is told. Raises RecordingError for a pattern that is none, for a path with the suffix of the pattern that does
    not fit it, and for one that fits in two ways: ``inner_race_2hp.mat`` has two underscores.
    """
    expression, lazy = compile_pattern(pattern), compile_pattern(pattern, lazy=True)
    if not folder.is_dir():
        raise RecordingError(f"there is no folder {folder}")
    rate = "" if sampling_rate is None else repr(float(sampling_rate))
    suffix, passed = Path(pattern).suffix.lower(), []
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        path = file.relative_to(folder).as_posix()
        if any(part.startswith(".") for part in path.split("/")):
            continue
        found = expression.fullmatch(path)
        if found is None:
            # a suffix of the pattern that is a field fits every file
            if file.suffix.lower() == suffix or "{" in suffix:
                raise RecordingError(f"{folder}: {path} does not fit the pattern {pattern}: rename it, or take it out")
            passed.append(path)
            continue
        other = lazy.fullmatch(path)
        if other is not None and other.groupdict() != found.groupdict():
            fields = (way.groupdict().items() for way in (found, other))
            ways = " or ".join(", ".join(f"{name} {value}" for name, value in way) for way in fields)
            raise RecordingError(
                f"{folder}: {path} fits the pattern {pattern} in two ways, {ways}: say what a field may hold, as in "
                "{label:[a-z_]+}, or write a table"
            )
        cells = {"sampling_rate": rate, "channel": channel, **{k: v.strip() for k, v in found.groupdict().items()}}
        yield f"{folder}, {path}", {"path": path, **cells}
    if passed:
        say(f"{len(passed)} files in {folder} are passed over, they do not fit {pattern}: {', '.join(passed[:5])}")
