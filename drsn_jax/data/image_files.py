"""Files that hold many pictures: IDX (MNIST, Fashion-MNIST and their like) and the binary files of CIFAR-10."""

import gzip
import math
import re
import zlib
from pathlib import Path

import numpy as np

from drsn_jax.data.images import PictureError, Pictures

LARGEST = 2**33  # bytes of pictures in one file
UNSIGNED = 0x08  # the type code of IDX for bytes from 0 to 255
CIFAR_SHAPE = (3, 32, 32)
CIFAR_RECORD = 1 + math.prod(CIFAR_SHAPE)


def read_idx(folder: str | Path) -> Pictures:
    """Read the pictures and labels of a folder of IDX files, plain or compressed by gzip.

    The names are those of MNIST: ``train-images-idx3-ubyte`` with ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` with
    ``t10k-labels-idx1-ubyte``, each with or without ``.gz``. Where both are there they are the official split; one alone is read
    too. The classes are the numbers that occur as labels.

    Raises PictureError for a folder without such files, pictures without labels or labels without pictures, a file that is no
    IDX file or is truncated, and pictures of several sizes.

    Source of the format: LeCun, Cortes & Burges, "The MNIST database of handwritten digits".
    """
    folder = Path(folder)
    pairs = _idx_pairs(folder)
    pictures, labels, names, test = [], [], [], []
    for key, (images_file, labels_file) in pairs.items():
        images, numbers = read_idx_file(images_file, (3, 4)), read_idx_file(labels_file, (1,))
        if len(images) != len(numbers):
            raise PictureError(
                f"{images_file} holds {len(images):,} pictures and {labels_file.name} {len(numbers):,} labels: get both again"
            )
        pictures.append(images if images.ndim == 4 else images[..., None])
        labels.append(numbers)
        names += [f"{images_file.name} {number}" for number in range(len(images))]
        test.append(np.full(len(images), "train" not in key))
    if len({array.shape[1:] for array in pictures}) > 1:
        raise PictureError(f"{folder} holds pictures of {_sizes(pictures)}: a network takes pictures of one size")
    numbers, whole = np.unique(np.concatenate(labels), return_inverse=True)
    classes = tuple(map(str, numbers.tolist()))
    official = np.concatenate(test) if len(pairs) > 1 else None
    return Pictures(_scaled(np.concatenate(pictures)), whole.astype(np.int32), classes, names, official)


def read_idx_file(file: Path, axes: tuple[int, ...]) -> np.ndarray:
    """Return the array of one IDX file of bytes, which has one of these numbers of axes; raise PictureError as ``read_idx``."""
    content = _content(file, 4 + 4 * 255)
    code = content[:4]
    if len(code) < 4 or code[:3] != bytes((0, 0, UNSIGNED)) or code[3] not in axes:
        expected = " or ".join(bytes((0, 0, UNSIGNED, count)).hex() for count in axes)
        what = "labels" if axes == (1,) else "pictures"
        raise PictureError(f"{file} is no IDX file of {what}: it begins with {code.hex() or 'nothing'}, expected {expected}")
    header = content[4 : 4 + 4 * code[3]]
    shape = tuple(np.frombuffer(header[: len(header) // 4 * 4], ">u4").tolist())
    size = math.prod(shape)
    if len(shape) < code[3] or not 0 < size <= LARGEST:
        raise PictureError(f"{file} is damaged: its header promises {' × '.join(map(str, shape)) or 'no'} bytes")
    body = _content(file, 4 + 4 * code[3] + size + 1)[4 + 4 * code[3] :]
    if len(body) != size:
        found = "more" if len(body) > size else f"{len(body):,}"
        state = "damaged" if len(body) > size else "truncated"
        promised = " × ".join(f"{length:,}" for length in shape)
        raise PictureError(f"{file} is {state}: its header promises {promised} bytes and it holds {found}; get it again")
    return np.frombuffer(body, np.uint8).reshape(shape)


def read_cifar10(folder: str | Path) -> Pictures:
    """Read the binary files of CIFAR-10 in a folder: ``data_batch_1.bin`` to ``data_batch_5.bin`` and ``test_batch.bin``.

    With ``test_batch.bin`` and at least one other file they are the official split. The names of the classes are those of
    ``batches.meta.txt``, where it is there, else numbers.

    Raises PictureError for a folder without these files (those for Python are pickled and not read), for a truncated file, and
    for a label that is no class.

    Source of the format: Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
    """
    folder = Path(folder)
    _check_folder(folder)
    training, tests = sorted(folder.glob("data_batch_*.bin")), sorted(folder.glob("test_batch.bin"))
    if not training + tests:
        pickled = (folder / "data_batch_1").exists() or (folder / "test_batch").exists()
        why = "those here are pickled for Python: take the binary version" if pickled else "data_batch_1.bin … test_batch.bin"
        raise PictureError(f"{folder} holds no binary files of CIFAR-10: {why}")
    pictures, labels, names = [], [], []
    for file in training + tests:
        content = np.frombuffer(_content(file, LARGEST), np.uint8)
        if not len(content) or len(content) % CIFAR_RECORD:
            raise PictureError(
                f"{file} is truncated or no file of CIFAR-10: its {len(content):,} bytes are no whole number of pictures of "
                f"{CIFAR_RECORD:,} bytes"
            )
        records = content.reshape(-1, CIFAR_RECORD)
        if records[:, 0].max() > 9:
            raise PictureError(f"{file} is no file of CIFAR-10: it has the label {records[:, 0].max()}, expected 0 to 9")
        labels.append(records[:, 0])
        pictures.append(np.moveaxis(records[:, 1:].reshape(-1, *CIFAR_SHAPE), 1, -1))
        names += [f"{file.name} {number}" for number in range(len(records))]
    meta = folder / "batches.meta.txt"
    named = meta.read_text(encoding="utf-8", errors="replace").split() if meta.is_file() else []
    classes = tuple(named if len(set(named)) == len(named) == 10 else map(str, range(10)))
    of_test = sum(map(len, labels[len(training) :]))
    official = np.arange(len(names)) >= len(names) - of_test if training and tests else None
    return Pictures(_scaled(np.concatenate(pictures)), np.concatenate(labels).astype(np.int32), classes, names, official)


def _idx_pairs(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Return the files of pictures and of labels by what their names have in common, at most one pair for each side."""
    _check_folder(folder)
    found: dict[str, dict[str, Path]] = {"images": {}, "labels": {}}
    for file in sorted(folder.iterdir(), reverse=True):  # so that a plain file takes the place of its compressed one
        name = file.name.lower().removesuffix(".gz")
        match = re.search("images|labels", name)
        if match and "idx" in name and file.is_file() and not name.startswith("."):
            found[match[0]][re.sub(r"[-._]?idx\d", "", name.replace(match[0], "*"))] = file
    images, labels = found["images"], found["labels"]
    if not images and not labels:
        raise PictureError(f"{folder} holds no IDX files, expected t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte or train-…")
    for here, there, what, other in ((images, labels, "pictures", "labels"), (labels, images, "labels", "pictures")):
        alone = sorted(here.keys() - there.keys())
        if alone:
            raise PictureError(f"{here[alone[0]]} holds {what} and the file of their {other} is missing: put it beside")
    keys = sorted(images, key=lambda key: ("train" not in key, key))
    if len(keys) > 2 or (len(keys) == 2 and sum("train" in key for key in keys) != 1):
        raise PictureError(
            f"{folder} holds several sets ({', '.join(images[key].name for key in keys)}): give each its own folder"
        )
    return {key: (images[key], labels[key]) for key in keys}


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise PictureError(f"{folder} is no folder: name the folder that holds the files")
    if not any(folder.iterdir()):
        raise PictureError(f"{folder} is empty: name the folder that holds the files")


def _content(file: Path, limit: int) -> bytes:
    """Return at most ``limit`` bytes of a file, decompressed where its first two bytes are those of gzip."""
    with file.open("rb") as opened:
        compressed = opened.read(2) == b"\x1f\x8b"
        opened.seek(0)
        try:
            return (gzip.GzipFile(fileobj=opened) if compressed else opened).read(limit)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise PictureError(f"{file} is truncated or damaged ({error}): get it again") from error


def _scaled(pictures: np.ndarray) -> np.ndarray:
    return pictures.astype(np.float32) / np.float32(255)


def _sizes(pictures: list[np.ndarray]) -> str:
    return " and ".join(dict.fromkeys(" × ".join(map(str, array.shape[1:])) for array in pictures))
