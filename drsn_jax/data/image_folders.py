"""A folder with a folder of PNG and JPEG files for each class; reading them needs Pillow (extra ``experiments``)."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from drsn_jax.core.errors import optional
from drsn_jax.data.images import PictureError, Pictures

ENDINGS = (".png", ".jpg", ".jpeg")
SIDES = ("train", "test")
GREY = ("1", "L", "LA", "I;16", "I;16B", "I")  # Pillow's names of what has one channel
COLOUR = ("RGB", "RGBA", "P", "CMYK", "YCbCr")


def read_picture_folder(folder: str | Path) -> Pictures:
    """Read pictures of one size from ``FOLDER/CLASS/NAME.png`` (or ``.jpg``, ``.jpeg``).

    The class of a picture is the name of its folder. If the folder holds the two folders ``train`` and ``test`` and these hold
    the classes, they are the official split. A picture that is marked as turned (EXIF) is turned; transparency is left out; other
    files and hidden ones are passed over.

    Raises PictureError for an empty folder, pictures without a class folder, a class without pictures, a file that cannot be
    read, pictures of different sizes, and grey ones among coloured ones.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise PictureError(f"{folder} is no folder: name the folder that holds a folder for each class")
    inner = sorted(path.name for path in _visible(folder) if path.is_dir())
    split = set(inner) == set(SIDES) and not _files(folder)
    roots = {side: folder / side for side in SIDES} if split else {"": folder}
    found = [(side, label, file) for side, root in roots.items() for label, file in _labelled(root)]
    classes = tuple(sorted({label for _, label, _ in found}))
    arrays: list[np.ndarray] = []
    for _, _, file in found:
        arrays.append(read_picture(file))
        _check_alike(arrays[0], arrays[-1], found[0][2], file)
    labels = np.array([classes.index(label) for _, label, _ in found], np.int32)
    names = [str(file.relative_to(folder)) for _, _, file in found]
    official = np.array([side == "test" for side, _, _ in found]) if split else None
    return Pictures(np.stack(arrays), labels, classes, names, official)


def read_picture(file: str | Path) -> np.ndarray:
    """Return one picture ``(height, width, channels)``, float32 from 0 to 1; raise PictureError for a file that is none."""
    image, ops = optional("PIL.Image", "reading pictures"), optional("PIL.ImageOps", "reading pictures")
    try:
        # a file that promises more pixels than Pillow takes for honest raises an error, and one near that a warning
        with warnings.catch_warnings():
            warnings.simplefilter("error", image.DecompressionBombWarning)
            with image.open(file, formats=("PNG", "JPEG")) as opened:
                return _values(ops.exif_transpose(opened), file)
    except PictureError:
        raise
    except FileNotFoundError:
        raise PictureError(f"{file} is not there: name a picture") from None
    except Exception as error:  # Pillow's readers stumble over damaged files in many ways
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise PictureError(f"{file} cannot be read as a PNG or JPEG picture ({reason}): leave it out, or get it again") from error


def _values(picture: Any, file: str | Path) -> np.ndarray:
    if picture.mode in GREY:
        if picture.mode.startswith("I"):  # 16 bits
            return np.asarray(picture, np.float32)[..., None] / 65535
        return np.asarray(picture.convert("L"), np.float32)[..., None] / 255
    if picture.mode in COLOUR:
        return np.asarray(picture.convert("RGB"), np.float32) / 255
    raise PictureError(f"{file} has colours of the kind {picture.mode}, expected grey or red, green and blue: convert it")


def _labelled(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield the name of the class and the file of each picture below a folder, in the order of their names."""
    folders = sorted(path for path in _visible(root) if path.is_dir())
    if loose := _files(root):
        raise PictureError(f"{loose[0]} lies in no folder of a class: put it into one whose name is its class")
    if not folders:
        raise PictureError(f"{root} holds no folders of classes: put the pictures into a folder for each class")
    for folder in folders:
        files = _files(folder)
        if not files:
            raise PictureError(f"the class folder {folder} holds no picture ({', '.join(ENDINGS)}): add some, or take it away")
        yield from ((folder.name, file) for file in files)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in _visible(folder) if path.is_file() and path.suffix.lower() in ENDINGS)


def _visible(folder: Path) -> Iterator[Path]:
    """Yield what a folder holds, but for hidden files and what archives of a Mac leave."""
    return (path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX")))


def _check_alike(first: np.ndarray, other: np.ndarray, first_file: Path, file: Path) -> None:
    if first.shape[-1] != other.shape[-1]:
        grey, coloured = (file, first_file) if other.shape[-1] == 1 else (first_file, file)
        raise PictureError(f"{grey} is grey and {coloured} is coloured: convert all pictures to one of both")
    if first.shape != other.shape:
        sizes = [" × ".join(map(str, array.shape[:2])) for array in (first, other)]
        raise PictureError(
            f"{first_file} has {sizes[0]} pixels and {file} {sizes[1]} (height × width): scale all pictures to one size"
        )
