"""Clutter: the labelled picture is whole and visible, distractors are fragments of the bank, the SNR is that of the canvas."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from drsn_jax.functional.clutter import Clutter
from drsn_jax.functional.noise import Noise, measure_snr_db

HEIGHT, WIDTH, PATCH, CANVAS, MANY = 7, 6, 3, (24, 20), 200
# every pixel of the bank says where it comes from: picture, row and column
BANK = (1 + np.arange(5 * HEIGHT * WIDTH)).reshape(5, HEIGHT, WIDTH, 1).astype(np.float32)
PICTURE = -BANK[0]  # not in the bank
make = functools.partial(Clutter, bank=jnp.asarray(BANK), canvas=CANVAS, patch=PATCH, most=4)
KEYS = jax.random.split(jax.random.key(7), MANY)
many = jax.jit(jax.vmap(lambda clutter, key, picture: clutter(key, picture), (None, 0, None)))


@functools.cache
def canvases(distractors):
    """Many canvases of one picture, (MANY, *CANVAS)."""
    return np.asarray(many(make(distractors), KEYS, PICTURE))[..., 0]


def places(found):
    """Where on each canvas the picture lies, by its first pixel, whose value occurs once."""
    return [tuple(int(i) for i in np.argwhere(canvas == PICTURE[0, 0, 0])[0]) for canvas in found]


@pytest.mark.parametrize("distractors", [0, 1, 4, (1, 3)])
def test_the_labelled_picture_is_whole_and_visible(distractors):
    found = canvases(distractors)
    for canvas, (row, column) in zip(found, places(found), strict=True):
        np.testing.assert_array_equal(canvas[row : row + HEIGHT, column : column + WIDTH], PICTURE[..., 0])
        assert (canvas < 0).sum() == PICTURE.size  # and once


def test_it_comes_to_lie_everywhere():
    rows, columns = zip(*places(canvases(0)), strict=True)
    assert set(rows) == set(range(CANVAS[0] - HEIGHT + 1))
    assert set(columns) == set(range(CANVAS[1] - WIDTH + 1))


def test_distractors_are_fragments_of_the_bank():
    """One distractor: what is visible of it lies inside a square, as its pixels lie in one picture of the bank."""
    sources, corners, whole = set(), set(), 0
    for canvas in canvases(1):
        shown = np.argwhere(canvas > 0)
        if not len(shown):
            continue  # it lies under the picture
        which, row, column, _ = np.unravel_index((canvas[canvas > 0] - 1).astype(int), BANK.shape)
        assert len(set(which)) == 1
        assert np.ptp(row) < PATCH
        assert np.ptp(column) < PATCH
        offsets = {*zip(shown[:, 0] - row, shown[:, 1] - column, strict=True)}
        assert len(offsets) == 1  # moved as it is
        sources.add(which[0])
        if len(shown) == PATCH**2:
            whole += 1
            corners.add((row.min(), column.min()))
    assert sources == set(range(len(BANK)))
    assert whole > MANY / 2
    assert corners == {(r, c) for r in range(HEIGHT - PATCH + 1) for c in range(WIDTH - PATCH + 1)}


@pytest.mark.parametrize("number", range(5))
def test_there_are_as_many_as_asked_for(number):
    """They may hide each other, so most of the canvases show fewer pixels than they have, and none more."""
    visible = (canvases(number) > 0).sum((1, 2))
    assert visible.max() == number * PATCH**2
    assert (visible == visible.max()).mean() > 0.1


def test_a_range_draws_every_number_of_it():
    visible = np.ceil((canvases((1, 3)) > 0).sum((1, 2)) / PATCH**2)
    assert set(visible) >= {1, 2, 3}
    assert visible.max() == 3
    assert canvases((0, 3)).tobytes() != canvases((1, 3)).tobytes()


@pytest.mark.parametrize("kind", ["gaussian", "salt_and_pepper"])
def test_the_snr_is_that_of_the_canvas(kind):
    clean = many(make(3), KEYS, PICTURE)
    for level in (-5.0, 20.0):
        noisy = many(make(3, Noise(kind, level)), KEYS, PICTURE)
        measured = jax.vmap(measure_snr_db)(clean, np.asarray(noisy) - np.asarray(clean))
        np.testing.assert_allclose(measured, level, atol=1e-3)


def test_mapped_compiled_and_alone_it_is_the_same():
    clutter = make((0, 4), Noise("gaussian", (0.0, 10.0)))
    together = many(clutter, KEYS[:3], PICTURE)
    np.testing.assert_allclose(clutter(KEYS[2], PICTURE), together[2], rtol=1e-4, atol=1e-3)


def test_the_kind_of_the_key_does_not_matter_under_vmap():
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0, impl="rbg"), jnp.arange(2))
    together = many(make(2), keys, PICTURE)
    for number in range(2):
        np.testing.assert_array_equal(together[number], make(2)(keys[number], PICTURE))


def test_one_compilation_serves_all_numbers_and_levels():
    with tiny.compilations() as compiled:
        add = jax.jit(lambda clutter, key: clutter(key, PICTURE))
        for number, level in ((0, -3.0), (4, 0.0), (2, 50.0)):
            add(make(number, Noise("gaussian", level)), KEYS[0])
        names = [name for name in compiled if "lambda" in name]
    assert len(names) == 1


def test_colour_and_whole_numbers():
    bank = np.random.default_rng(0).integers(1, 255, (3, 6, 6, 3)).astype(np.uint8)
    canvas = jax.jit(Clutter(1, bank=bank, canvas=(9, 9), patch=2))(jax.random.key(0), bank[0])
    assert canvas.shape == (9, 9, 3)
    assert canvas.dtype == jnp.float32
    assert (np.asarray(canvas) > 0).all(-1).sum() >= 36


# --- what tables and messages need of it


@pytest.mark.parametrize(
    ("clutter", "kind", "level", "text", "number"),
    [
        (make(4), "4 distractors", "inf", "4 distractors", "4"),
        (make(0), "0 distractors", "inf", "0 distractors", "0"),
        (make((0, 4), Noise("gaussian", 5)), "gaussian + 0..4 distractors", "5", "gaussian + 0..4 distractors 5 dB", "0..4"),
        (make(2, Noise("pink", (0, 9))), "pink + 2 distractors", "0..9", "pink + 2 distractors 0..9 dB", "2"),
    ],
)
def test_its_names(clutter, kind, level, text, number):
    assert (clutter.kind, clutter.level, str(clutter), clutter.columns) == (kind, level, text, {"distractors": number})
    assert clutter.snr_db == clutter.noise.snr_db
    assert clutter.is_range == clutter.noise.is_range
    assert not clutter.is_none  # the picture is put on a canvas in any case


def test_equal_is_what_draws_the_same():
    assert make(3) == make(np.int32(3)) == make((3, 3))
    assert len({make(3), make((3, 3)), make(2), make(3, Noise("pink", 0)), make(3, most=5)}) == 4
    assert make(3) != make(3, bank=jnp.asarray(BANK) + 1)
    assert jax.tree.structure(make(3)) == jax.tree.structure(make(1))
    assert jax.tree.structure(make(3)) != jax.tree.structure(make((1, 3)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"canvas": (6, 20)}, "a picture of 7 × 6 pixels does not fit on a canvas of 6 × 20: choose a larger canvas"),
        ({"patch": 6}, "a distractor of 6 × 6 pixels could hold a whole picture of 7 × 6: choose a smaller patch"),
        ({"bank": BANK[0]}, r"the bank is an array \(pictures, height, width, channels\), got the shape \(7, 6, 1\)"),
        ({"bank": BANK[:0]}, "the bank is an array"),
        ({"bank": None}, "the bank is an array"),
        ({"distractors": 5}, r"the number of distractors is from 0 to 4, or a range \(low, high\) within these, got 5"),
        ({"distractors": -1}, "the number of distractors is from 0 to 4"),
        ({"distractors": 1.5}, "the number of distractors is from 0 to 4"),
        ({"distractors": (3, 1)}, "the number of distractors is from 0 to 4"),
        ({"distractors": (0, 9)}, "the number of distractors is from 0 to 4"),
        ({"distractors": (0, 1, 2)}, "the number of distractors is from 0 to 4"),
        ({"canvas": (60,)}, "canvas is"),
        ({"canvas": (60.5, 60)}, "canvas is"),
        ({"patch": 0}, "canvas is"),
        ({"most": -1}, "canvas is"),
    ],
)
def test_what_is_no_clutter_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        make(**{"distractors": 1, **fields})


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((25, 6, 1), "a picture of 25 × 6 pixels does not fit on a canvas of 24 × 20"),
        ((3, 6, 1), "a distractor of 3 × 3 pixels could hold a whole picture of 3 × 6"),
        ((7, 6, 3), "the picture has 3 channels and the bank 1: grey and colour do not mix"),
        ((7, 6), r"a picture is \(height, width, channels\), got the shape \(7, 6\)"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        make(1)(jax.random.key(0), np.zeros(shape, np.float32))
