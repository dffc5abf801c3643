"""Batches from a source: the same as from an array, read when they are made, and what cannot be is told."""

import threading
from collections import Counter

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from drsn_jax.core.distributed import choose_devices
from drsn_jax.training.batches import Batches
from drsn_jax.training.loop import fit
from drsn_jax.training.progress import Diverged
from drsn_jax.training.state import create_state

WINDOWS = np.random.default_rng(0).normal(size=(10, 6, 2)).astype(np.float32)
LABELS = np.arange(10, dtype=np.int32) % 3


class Counted:
    """A source that counts how often each item is read and knows the threads that read; ``item`` makes them of a number."""

    def __init__(self, item, length=10):
        self.item, self.length, self.reads, self.threads = item, length, [], set()

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        assert type(index) is int
        self.reads.append(index)
        self.threads.add(threading.current_thread())
        return self.item(index)


def pair(i):
    return WINDOWS[i], LABELS[i]


def equal(made, wanted):
    for one, other in zip(made, wanted, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
            assert jax.dtypes.canonicalize_dtype(one[name].dtype) == jax.dtypes.canonicalize_dtype(other[name].dtype)


@pytest.mark.parametrize(
    "item",
    [
        pair,
        lambda i: [WINDOWS[i].tolist(), int(LABELS[i])],
        lambda i: {"window": WINDOWS[i], "label": LABELS[i], "file": "a.wav"},
        lambda i: (jnp.asarray(WINDOWS[i]), jnp.asarray(LABELS[i])),
    ],
)
@pytest.mark.parametrize("options", [{"batch_size": 4, "seed": 3}, {"batch_size": 16}, {"batch_size": 4, "devices": 2}])
@pytest.mark.parametrize("steps_per_call", [1, 2])
def test_batches_are_those_of_arrays(item, options, steps_per_call):
    if "devices" in options:
        options = {**options, "devices": choose_devices(2)}
    windows = np.asarray(item(0)[0] if isinstance(item(0), list) else WINDOWS)
    wanted = Batches(WINDOWS.astype(windows.dtype), LABELS, **options).epoch(2, steps_per_call=steps_per_call)
    equal(Batches(Counted(item), **options).epoch(2, steps_per_call=steps_per_call), wanted)


def test_examples_are_read_when_their_batch_is_made():
    """Two batches ahead, in another thread, each example once and in its order; the first one beforehand too, for its shape."""
    source = Counted(pair)
    batches = Batches(source, batch_size=2)
    assert source.reads == [0]
    source.reads, source.threads = [], set()
    epoch = batches.epoch(1)
    assert source.reads == []
    next(epoch)
    epoch.close()  # pyright: ignore[reportAttributeAccessIssue]  # a generator; waits for what is being made
    assert len(source.reads) <= 6
    source.reads = []
    list(batches.epoch(1))
    assert Counter(source.reads) == dict.fromkeys(range(10), 1)
    assert all(source.reads[i] < source.reads[i + 1] for i in range(0, 10, 2))
    assert threading.current_thread() not in source.threads


def test_an_example_that_fills_up_its_own_batch_is_read_once():
    source = Counted(pair, 3)
    (batch,) = Batches(source, batch_size=8).epoch(1)
    assert batch["windows"].shape == (8, 6, 2)
    assert source.reads == [0, 0, 1, 2]


def test_windows_of_a_source_with_labels_beside_it():
    source = Counted(lambda i: WINDOWS[i])
    equal(Batches(source, LABELS, 4).epoch(1), Batches(WINDOWS, LABELS, 4).epoch(1))
    assert Batches(source, LABELS, 4).facts() == Batches(WINDOWS, LABELS, 4).facts()


@pytest.mark.parametrize("kind", ["<f4", ">f4"])
def test_an_array_of_hdf5(tmp_path, kind):
    """Its fancy indices must rise and be different, so that the shuffled ones of a batch would be refused."""
    with h5py.File(tmp_path / "windows.h5", "w") as file:
        stored = file.create_dataset("windows", data=WINDOWS.astype(kind), chunks=(3, 6, 2))
        with pytest.raises(TypeError):
            stored[[3, 1]]
        equal(Batches(stored, LABELS, 16).epoch(1), Batches(WINDOWS, LABELS, 16).epoch(1))


def test_an_array_that_has_a_shape_is_not_read_before_its_batch():
    source = Counted(lambda i: WINDOWS[i])
    source.shape, source.dtype = WINDOWS.shape, WINDOWS.dtype  # pyright: ignore[reportAttributeAccessIssue]
    batches = Batches(source, LABELS, 4)
    assert source.reads == []
    equal(batches.epoch(1), Batches(WINDOWS, LABELS, 4).epoch(1))


def test_an_array_of_zarr():
    """It has a shape and no length, as Zarr 3."""

    class Array:
        shape, dtype = WINDOWS.shape, WINDOWS.dtype

        def __getitem__(self, index):
            return WINDOWS[index]

    equal(Batches(Array(), LABELS, 4).epoch(1), Batches(WINDOWS, LABELS, 4).epoch(1))


def test_a_list_of_pairs_and_a_list_of_windows():
    wanted = list(Batches(WINDOWS, LABELS, 4).epoch(1))
    equal(Batches([pair(i) for i in range(10)], batch_size=4).epoch(1), wanted)
    equal(Batches(list(WINDOWS), LABELS, 4).epoch(1), wanted)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("item", "found"),
    [
        (
            lambda i: WINDOWS[i],
            r"example 0 of the source is an array of the shape \(6, 2\), expected a pair \(window, label\) or",
        ),
        (lambda i: (WINDOWS[i], 1, 2), "is a tuple of 3, expected a pair"),
        (lambda i: {"windows": WINDOWS[i], "label": 1}, "is a mapping with 'windows', 'label', expected .* with \"window\" and"),
        (lambda i: None, "is of the type NoneType, expected a pair"),
        (lambda i: (WINDOWS[i], 0.0), r"example 0 of the source has the label 0\.0: labels are integers from 0"),
        (lambda i: (WINDOWS[i], -1), "has the label -1: labels"),
        (lambda i: (WINDOWS[i], True), "has the label True: labels"),
        (lambda i: (WINDOWS[i], "ball"), "has the label 'ball': labels"),
        (lambda i: (WINDOWS[i], [1]), r"has the label \[1\]: labels"),
        (lambda i: ([[1.0], [1.0, 2.0]], 1), "has a window that is no array"),
        (lambda i: ("abc", 1), "windows are real numbers, got the type <U3"),
        (lambda i: (WINDOWS[i].repeat(20, 1), 1), r"shape \(10, 6, 40\), which looks like \(n, channels, \*positions\)"),
    ],
)
def test_a_first_item_that_cannot_be(item, found):
    with pytest.raises(ValueError, match=found):
        Batches(Counted(item), batch_size=4)


@pytest.mark.parametrize(
    ("item", "found"),
    [
        ((WINDOWS[0, :5], 1), r"example 7 of the source has a window of the shape \(5, 2\), others have \(6, 2\)"),
        ((WINDOWS[0].astype(complex), 1), "example 7 of the source has a window of the type complex128, others have float32"),
        ((WINDOWS[0], 1.5), r"example 7 of the source has the label 1\.5: labels are integers from 0"),
        (WINDOWS[0], r"example 7 of the source is an array of the shape \(6, 2\), expected"),
    ],
)
def test_a_later_item_that_cannot_be(item, found):
    """It is told when its batch is made."""
    batches = Batches(Counted(lambda i: item if i == 7 else pair(i)), batch_size=4)
    with pytest.raises(ValueError, match=found):
        list(batches.epoch(1))


def test_other_arguments_that_cannot_be():
    with pytest.raises(ValueError, match="as many windows as labels, and some: got 0 and 0"):
        Batches(Counted(pair, 0), batch_size=4)
    with pytest.raises(ValueError, match="got 10 and 3"):
        Batches(Counted(pair), LABELS[:3], 4)
    with pytest.raises(ValueError, match="example 0 of the source is a tuple of 2, though labels are given"):
        Batches(Counted(pair), LABELS, 4)
    with pytest.raises(ValueError, match="on_device wants all windows at once"):
        Batches(Counted(pair), batch_size=4, on_device=True)
    with pytest.raises(ValueError, match=r"windows in an array need labels, an array \(10,\)"):
        Batches(WINDOWS, batch_size=4)
    with pytest.raises(ValueError, match="or a source with a length and an item for each number, got <class 'generator'>"):
        Batches((pair(i) for i in range(3)), batch_size=4)  # pyright: ignore[reportArgumentType]


def test_a_training_on_a_source():
    """It ends in the same numbers as one on arrays, and names the window that is no number."""
    windows, labels = tiny.tones(24, 1)

    def train(batches):
        state = create_state(tiny.network, tiny.optimizer, jax.random.key(0), windows)
        return list(fit(tiny.step, state, batches, epochs=1))[-1]

    source = Counted(lambda i: (windows[i], labels[i]), 24)
    assert train(Batches(source, batch_size=8)).loss == train(Batches(windows, labels, 8)).loss
    windows[5] = np.nan
    with pytest.raises(Diverged, match="window 5 of the training set, in its batch, holds NaN"):
        train(Batches(source, batch_size=8))
