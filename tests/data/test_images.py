"""Pictures: they are read as they are, damaged files are told in one sentence, splits do not leak."""

import gzip
import warnings
from typing import Any

import numpy as np
import pytest
from PIL import Image

from drsn_jax.core.errors import FileWarning, UserError
from drsn_jax.data.image_files import read_cifar10, read_idx
from drsn_jax.data.image_folders import read_picture, read_picture_folder
from drsn_jax.data.images import PictureError, Pictures, canvas_for, digits_pictures, enlarge, split_pictures

RNG = np.random.default_rng(0)
MANY = RNG.integers(0, 256, (20, 4, 3), dtype=np.uint8)
LABELS = (np.arange(20) % 2 + 3).astype(np.uint8)  # the numbers 3 and 4


def idx(array, code=8):
    """The bytes of an IDX file."""
    return bytes((0, 0, code, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def write_idx(folder, side="t10k", images=MANY, labels=LABELS, ending=""):
    folder.mkdir(exist_ok=True)
    pack = gzip.compress if ending == ".gz" else bytes
    for name, array in (("images-idx3", images), ("labels-idx1", labels)):
        (folder / f"{side}-{name}-ubyte{ending}").write_bytes(pack(idx(array)))
    return folder


def made(count=40, official=None, classes=("a", "b")):
    pictures = RNG.uniform(size=(count, 4, 4, 1)).astype(np.float32)
    names = [f"p{number}" for number in range(count)]
    return Pictures(pictures, (np.arange(count) % len(classes)).astype(np.int32), classes, names, official)


# --- the digits of scikit-learn


def test_the_digits_are_those_of_scikit_learn_enlarged():
    from sklearn.datasets import load_digits

    digits = digits_pictures()
    assert digits.pictures.shape == (1797, 16, 16, 1)
    assert (digits.pictures.min(), digits.pictures.max()) == (0, 1)
    small: Any = load_digits()
    np.testing.assert_array_equal(digits.labels, small.target)
    # the four new pixels inside an old one average to nearly it
    means = digits.pictures[..., 0].reshape(-1, 8, 2, 8, 2).mean((2, 4))
    assert np.corrcoef(means.ravel(), small.images.ravel())[0, 1] > 0.97
    assert digits.title == "1,797 grey pictures of 16 × 16 pixels in 10 classes"


def test_enlarging_is_linear_between_the_centres_of_pixels():
    ramp = np.broadcast_to(np.arange(3.0)[:, None, None], (3, 2, 1))[None]
    np.testing.assert_allclose(enlarge(ramp, 2)[0, :, 3, 0], [0, 0.25, 0.75, 1.25, 1.75, 2])


def test_a_canvas_has_the_proportions_of_the_paper():
    assert canvas_for((28, 28, 1)) == ((60, 60), 8)
    assert canvas_for((16, 16, 1)) == ((34, 34), 5)
    assert canvas_for((32, 64, 3)) == ((69, 137), 9)


# --- IDX


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_one_idx_pair_is_read(tmp_path, ending):
    found = read_idx(write_idx(tmp_path, ending=ending))
    np.testing.assert_array_equal(found.pictures, MANY[..., None] / np.float32(255))
    np.testing.assert_array_equal(found.labels, LABELS - 3)
    assert found.classes == ("3", "4")
    assert found.official is None
    assert found.pictures.dtype == np.float32


def test_both_idx_sides_are_the_official_split(tmp_path):
    write_idx(tmp_path, "train", images=MANY[::-1])
    found = read_idx(write_idx(tmp_path))
    np.testing.assert_array_equal(found.official, [False] * 20 + [True] * 20)
    np.testing.assert_array_equal(found.pictures[0, ..., 0], MANY[-1] / np.float32(255))


def test_a_plain_file_takes_the_place_of_its_compressed_one(tmp_path):
    write_idx(tmp_path, images=MANY[:10], labels=LABELS[:10], ending=".gz")
    assert len(read_idx(write_idx(tmp_path)).pictures) == 20


def test_mnist(data_folder):
    mnist = read_idx(data_folder / "mnist")
    assert mnist.pictures.shape == (10_000, 28, 28, 1)
    assert mnist.labels[:5].tolist() == [7, 2, 1, 0, 4]
    fold = split_pictures(mnist)
    assert (len(fold.train.windows), len(fold.test.windows)) == (8_000, 2_000)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda images, labels: images.write_bytes(b"PK\3\4 more"),
            "is no IDX file of pictures: it begins with 504b0304, expected",
        ),
        (lambda images, labels: images.write_bytes(idx(LABELS)), "it begins with 00000801, expected 00000803 or 00000804"),
        (
            lambda images, labels: labels.write_bytes(idx(MANY)),
            "is no IDX file of labels: it begins with 00000803, expected 00000801",
        ),
        (lambda images, labels: images.write_bytes(idx(MANY, code=13)), "it begins with 00000d03"),
        (lambda images, labels: images.write_bytes(b""), "it begins with nothing"),
        (lambda images, labels: images.write_bytes(idx(MANY)[:6]), "is damaged: its header promises no bytes"),
        (
            lambda images, labels: images.write_bytes(idx(MANY)[:-1]),
            "is truncated: its header promises 20 × 4 × 3 bytes and it holds 239",
        ),
        (
            lambda images, labels: images.write_bytes(idx(MANY) + b"x"),
            "is damaged: its header promises 20 × 4 × 3 bytes and it holds more",
        ),
        (lambda images, labels: images.write_bytes(gzip.compress(idx(MANY))[:-9]), "is truncated or damaged"),
        (
            lambda images, labels: images.write_bytes(bytes((0, 0, 8, 3)) + b"\xff" * 12),
            "is damaged: its header promises 4294967295",
        ),
        (lambda images, labels: labels.write_bytes(idx(LABELS[:9])), "holds 20 pictures and t10k-labels-idx1-ubyte 9 labels"),
        (lambda images, labels: labels.unlink(), "t10k-images-idx3-ubyte holds pictures and the file of their labels is missing"),
        (lambda images, labels: images.unlink(), "t10k-labels-idx1-ubyte holds labels and the file of their pictures is missing"),
        (
            lambda images, labels: write_idx(images.parent, "train", MANY[:, :3]),
            "holds pictures of 4 × 3 × 1 and 3 × 3 × 1|3 × 3 × 1 and",
        ),
        (lambda images, labels: write_idx(images.parent, "letters-test"), "holds several sets"),
    ],
)
def test_damaged_idx_files_are_told(tmp_path, damage, message):
    write_idx(tmp_path)
    damage(tmp_path / "t10k-images-idx3-ubyte", tmp_path / "t10k-labels-idx1-ubyte")
    with pytest.raises(PictureError, match=message) as error:
        read_idx(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("read", [read_idx, read_cifar10, read_picture_folder])
def test_folders_without_pictures_are_told(tmp_path, read):
    with pytest.raises(PictureError, match="is no folder"):
        read(tmp_path / "none")
    with pytest.raises(PictureError, match=r"is empty|holds no folders of classes"):
        read(tmp_path)
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(PictureError, match=r"holds no IDX files|holds no binary files of CIFAR-10|holds no folders of classes"):
        read(tmp_path)


# --- CIFAR-10


def write_cifar(folder, name, count=12):
    pictures = RNG.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    records = np.concatenate([(np.arange(count) % 10).astype(np.uint8)[:, None], pictures.reshape(count, -1)], 1)
    (folder / name).write_bytes(records.tobytes())
    return pictures


def test_cifar10(tmp_path):
    train = write_cifar(tmp_path, "data_batch_1.bin")
    test = write_cifar(tmp_path, "test_batch.bin", 10)
    (tmp_path / "batches.meta.txt").write_text("\n".join("abcdefghij") + "\n\n")
    found = read_cifar10(tmp_path)
    assert found.pictures.shape == (22, 32, 32, 3)
    np.testing.assert_array_equal(found.pictures[0, :, :, 1], train[0, 1] / np.float32(255))
    np.testing.assert_array_equal(found.pictures[12, 5], np.moveaxis(test[0, :, 5], 0, 1) / np.float32(255))
    np.testing.assert_array_equal(found.official, [False] * 12 + [True] * 10)
    assert found.classes == tuple("abcdefghij")


def test_damaged_files_of_cifar10_are_told(tmp_path):
    write_cifar(tmp_path, "data_batch_1.bin")
    file = tmp_path / "data_batch_1.bin"
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])
    with pytest.raises(PictureError, match=r"data_batch_1.bin is truncated or no file of CIFAR-10: its 36,871 bytes"):
        read_cifar10(tmp_path)
    file.write_bytes(b"\x63" + whole[1:])
    with pytest.raises(PictureError, match="it has the label 99, expected 0 to 9"):
        read_cifar10(tmp_path)
    file.rename(tmp_path / "data_batch_1")
    with pytest.raises(PictureError, match="pickled for Python: take the binary version"):
        read_cifar10(tmp_path)


# --- PNG and JPEG


def write_png(file, array):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(file)


def write_classes(folder, shape=(5, 4)):
    for label in ("cat", "dog"):
        for number in range(3):
            write_png(folder / label / f"{number}.png", RNG.integers(0, 256, shape, dtype=np.uint8))
    return folder


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3)])
def test_a_folder_for_each_class(tmp_path, shape):
    write_classes(tmp_path, shape)
    (tmp_path / ".thumbnails").mkdir()
    (tmp_path / "cat" / "notes.txt").write_text("white")
    found = read_picture_folder(tmp_path)
    assert found.pictures.shape == (6, 5, 4, shape[2] if len(shape) == 3 else 1)
    assert found.classes == ("cat", "dog")
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert list(found.names[:2]) == ["cat/0.png", "cat/1.png"]
    expected = np.asarray(Image.open(tmp_path / "dog" / "2.png")) / np.float32(255)
    np.testing.assert_array_equal(found.pictures[5].squeeze(), expected)


def test_folders_of_sides_are_the_official_split(tmp_path):
    write_classes(tmp_path / "train")
    write_classes(tmp_path / "test")
    found = read_picture_folder(tmp_path)
    assert found.official is not None
    assert found.official.tolist() == [False] * 6 + [True] * 6
    assert found.classes == ("cat", "dog")


def test_kinds_of_pictures(tmp_path):
    """16 bits, a palette, transparency and a JPEG that is marked as turned."""
    write_png(tmp_path / "deep.png", np.array([[0, 65535]], np.uint16))
    np.testing.assert_array_equal(read_picture(tmp_path / "deep.png")[..., 0], [[0, 1]])
    Image.fromarray(np.full((2, 2, 3), 255, np.uint8)).convert("P").save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "palette.png"), np.ones((2, 2, 3)))
    Image.fromarray(np.full((2, 2, 4), 255, np.uint8)).save(tmp_path / "alpha.png")
    assert read_picture(tmp_path / "alpha.png").shape == (2, 2, 3)
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1").save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "bits.png")[..., 0], [[0, 1]])
    marks = Image.Exif()
    marks[0x0112] = 6  # turn by a quarter
    Image.fromarray(np.zeros((8, 16, 3), np.uint8)).save(tmp_path / "turned.jpg", exif=marks)
    assert read_picture(tmp_path / "turned.jpg").shape == (16, 8, 3)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: write_png(folder / "dog" / "9.png", np.zeros((6, 4), np.uint8)), r"has 5 × 4 pixels and .*9.png 6 × 4"),
        (
            lambda folder: write_png(folder / "dog" / "9.png", np.zeros((5, 4, 3), np.uint8)),
            r"0.png is grey and .*9.png is coloured",
        ),
        (lambda folder: (folder / "dog" / "9.jpg").write_bytes(b"no picture"), r"9.jpg cannot be read as a PNG or JPEG picture"),
        (
            lambda folder: (folder / "dog" / "9.png").write_bytes((folder / "dog" / "1.png").read_bytes()[:60]),
            "9.png cannot be read",
        ),
        (lambda folder: (folder / "fox").mkdir(), r"the class folder .*fox holds no picture"),
        (lambda folder: write_png(folder / "1.png", np.zeros((5, 4), np.uint8)), r"1.png lies in no folder of a class"),
        (
            lambda folder: [f.unlink() for f in (folder / "dog").iterdir()] and (folder / "dog").rmdir(),
            "there is one class, 'cat'",
        ),
    ],
)
def test_folders_that_cannot_be_used_are_told(tmp_path, spoil, message):
    write_classes(tmp_path)
    spoil(tmp_path)
    with pytest.raises(PictureError, match=message) as error:
        read_picture_folder(tmp_path)
    assert "\n" not in str(error.value)


def test_a_single_picture_that_is_missing_is_told(tmp_path):
    with pytest.raises(PictureError, match="is not there"):
        read_picture(tmp_path / "none.png")


# --- splits


def test_a_share_of_each_class_is_tested_and_held_out():
    pictures = made(50)
    fold = split_pictures(pictures, share=0.2, validation=0.25, seed=3)
    sides = (fold.train, fold.test, fold.validation)
    assert [len(side.windows) for side in sides] == [30, 10, 10]
    assert sorted(np.concatenate([side.recordings for side in sides])) == list(range(50))
    for side in sides:
        np.testing.assert_array_equal(side.windows, pictures.pictures[side.recordings])
        np.testing.assert_array_equal(side.labels, pictures.labels[side.recordings])
        assert np.bincount(side.labels).tolist() == [len(side.labels) // 2] * 2
    again, other = (split_pictures(pictures, seed=seed) for seed in (3, 4))
    assert again.test.recordings.tolist() == fold.test.recordings.tolist() != other.test.recordings.tolist()


def test_the_official_split_is_kept():
    official = np.arange(40) >= 30
    fold = split_pictures(made(40, official), validation=0.2)
    assert fold.name == "official"
    np.testing.assert_array_equal(fold.test.recordings, np.arange(30, 40))
    assert len(fold.validation.windows) == 6


@pytest.mark.parametrize("seed", range(4))
def test_equal_pictures_stay_on_one_side(seed):
    pictures = made(40)
    pictures.pictures[20:] = pictures.pictures[:20]
    fold = split_pictures(pictures, validation=0.2, seed=seed)
    for side in (fold.train, fold.test, fold.validation):
        assert set(side.recordings % 20) == set(side.recordings[side.recordings < 20])


def test_equal_pictures_under_two_labels_and_on_both_sides_are_told():
    pictures = made(40)
    pictures.pictures[7] = pictures.pictures[2]
    with pytest.warns(FileWarning, match=r"1 pictures are equal .* p2 \(a\) and p7 \(b\): one of the two labels is wrong"):
        split_pictures(pictures)
    pictures = made(40, np.arange(40) >= 30)
    pictures.pictures[[32, 34]] = pictures.pictures[2]
    with pytest.warns(FileWarning, match=r"2 pictures of the test are equal to one of the training, the first of them p32"):
        split_pictures(pictures)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        split_pictures(made(40))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: made(classes=("a",)), "there is one class, 'a'"),
        (lambda: made(40, np.arange(40) == 1), "the class 'a' has no pictures on the test side"),
        (lambda: made(1), "the class 'b' has no pictures"),
        (lambda: split_pictures(made(2)), "the class 'a' has too few pictures for the sides of the split"),
        (lambda: split_pictures(made(4), validation=0.4), "too few pictures"),
    ],
)
def test_classes_without_pictures_are_told(make, message):
    with pytest.raises(PictureError, match=message):
        make()


@pytest.mark.parametrize("shares", [{"share": 0.0}, {"share": 1.0}, {"validation": 1.0}, {"validation": -0.1}])
def test_shares_out_of_range_are_told(shares):
    with pytest.raises(UserError, match="the share of the test is between 0 and 1"):
        split_pictures(made(), **shares)
