"""A model on disk: what is saved comes back, and everything that can be wrong with it is one sentence."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pickle

import flax.linen as nn
import jax
import numpy as np
import pytest
import safetensors.numpy
import tiny
from hypothesis import given
from hypothesis import strategies as st

from drsn_jax.diagnosis import programs
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.bundle_files import fingerprint, load, save
from drsn_jax.diagnosis.description import BundleError
from drsn_jax.evaluation.batch_sizes import InSizes
from drsn_jax.evaluation.metrics import softmax
from drsn_jax.functional import signals

CLASSES = ("healthy", "inner race", "Außenring")
WINDOWS = tiny.tones(9, 3)[0] + 0.5


@pytest.fixture(scope="module")
def bundle():
    variables = tiny.variables()
    return Bundle(
        network=tiny.network.clone(implementation=None, standardise=True),
        variables=variables,
        classes=CLASSES,
        window_length=tiny.LENGTH,
        stride=32,
        sampling_rate=12_000.0,
        channel="*_DE_time",
        temperature=1.7,
        rms_range=(0.25, 3.0),
        training={"network": "drsn_cw", "snr_db": "inf", "epoch": 7},
        accuracy=[{"noise": "gaussian", "snr_db": -5.0, "accuracy": 0.875}],
    )


@pytest.fixture
def folder(bundle, tmp_path):
    save(tmp_path / "model", bundle)
    return tmp_path / "model"


def describe(folder, **changed):
    """Change the description that lies in a folder."""
    file = folder / "model.json"
    found = json.loads(file.read_text()) | changed
    found["sha256"] = checksum({name: value for name, value in found.items() if name != "sha256"})
    file.write_text(json.dumps(found))


def checksum(facts):
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def rewrite(folder, change):
    """Change the weights in a folder, and the checksum with them."""
    put_weights(folder, safetensors.numpy.save(change(dict(safetensors.numpy.load_file(weights_of(folder))))))


def weights_of(folder):
    (file,) = folder.glob("weights-*.safetensors")
    return file


def put_weights(folder, content):
    """Put any content in the place of the weights, with the checksum that fits."""
    weights_of(folder).write_bytes(content)
    describe(folder, weights_sha256=hashlib.sha256(content).hexdigest())


def make_old(folder, number):
    """Make a bundle as the first formats had it: the weights had one name, and format 1 called the range of the RMS "levels"."""
    weights_of(folder).rename(folder / "weights.safetensors")
    file = folder / "model.json"
    old = {name: value for name, value in json.loads(file.read_text()).items() if name not in ("weights", "sha256")}
    if number == 1:
        old["levels"] = old.pop("rms_range")
    old["format"] = number
    old["sha256"] = checksum(old)
    file.write_text(json.dumps(old))


def refused(folder, *parts):
    with pytest.raises(BundleError) as caught:
        load(folder)
    message = str(caught.value)
    assert "\n" not in message
    for part in (folder.name, *parts):
        assert part in message
    return message


def test_what_is_saved_comes_back(bundle, folder):
    loaded = load(folder)
    for field in dataclasses.fields(Bundle):
        if field.name != "variables":
            assert getattr(loaded, field.name) == getattr(bundle, field.name) or field.name == "accuracy"
    assert list(loaded.accuracy) == bundle.accuracy
    tiny.assert_equal(loaded.variables, bundle.variables)
    np.testing.assert_array_equal(loaded.predict_proba(WINDOWS), bundle.predict_proba(WINDOWS))
    digest = hashlib.sha256(weights_of(folder).read_bytes()).hexdigest()
    assert {file.name for file in folder.iterdir()} == {f"weights-{digest[:16]}.safetensors", "model.json"}
    assert json.loads((folder / "model.json").read_text())["weights"] == weights_of(folder).name


@pytest.mark.parametrize("number", [1, 2])
def test_a_bundle_of_an_earlier_format_is_read_and_replaced(bundle, folder, number):
    make_old(folder, number)
    assert load(folder).rms_range == bundle.rms_range
    tiny.assert_equal(load(folder).variables, bundle.variables)
    before = fingerprint(folder)
    facts = json.loads((folder / "model.json").read_text())
    facts = {("rms_range" if name == "levels" else name): value for name, value in facts.items() if name != "sha256"}
    assert before == hashlib.sha256(repr(sorted(facts.items())).encode()).hexdigest(), "runs that start from it go on"
    save(folder, dataclasses.replace(bundle, temperature=2.0), overwrite=True)
    assert load(folder).temperature == 2.0
    assert {file.name for file in folder.iterdir()} == {weights_of(folder).name, "model.json"}


def test_over_several_devices_the_answers_are_the_same(bundle):
    """Windows that the devices do not divide, a single one, and none."""
    windows = np.random.default_rng(0).normal(size=(7, bundle.window_length, bundle.channels)).astype(np.float32)
    alone = bundle.logits(windows, batch_size=4)
    over = dataclasses.replace(bundle)
    over.spread(jax.devices()[:2])
    np.testing.assert_allclose(over.logits(windows, batch_size=4), alone, atol=1e-5)
    np.testing.assert_allclose(over.logits(windows[:1]), alone[:1], atol=1e-5)
    assert over.logits(windows[:0]).shape == (0, len(bundle.classes))
    with pytest.raises(ValueError, match="a batch of 3 cannot be spread evenly over 2 devices"):
        over.logits(windows, batch_size=3)
    # used, and spread over devices, it can be sent to another process
    again = pickle.loads(pickle.dumps(over))
    np.testing.assert_array_equal(again.logits(windows, batch_size=3), bundle.logits(windows, batch_size=3))
    over.spread(jax.devices()[:1])
    np.testing.assert_allclose(over.logits(windows, batch_size=3), alone, atol=1e-5)


def test_probabilities_are_those_of_the_pipeline(bundle):
    """Mean removed, standardised, network, temperature."""
    prepared = np.stack([signals.standardise(signals.remove_mean(window)) for window in WINDOWS])
    apply = jax.jit(functools.partial(tiny.network.apply, train=False))
    logits = np.asarray(apply(bundle.variables, prepared))
    np.testing.assert_allclose(bundle.logits(WINDOWS), logits, atol=1e-5)
    np.testing.assert_allclose(bundle.predict_proba(WINDOWS), softmax(logits, 1.7), atol=1e-5)
    raw = dataclasses.replace(bundle, network=bundle.network.clone(standardise=False))
    assert (bundle.standardise, raw.standardise) == (True, False)
    assert not np.allclose(raw.logits(3 * WINDOWS), raw.logits(WINDOWS), atol=1e-3)
    np.testing.assert_allclose(bundle.logits(3 * WINDOWS), logits, atol=1e-4)


def test_many_and_no_windows(bundle):
    many = np.repeat(WINDOWS, 40, 0)
    np.testing.assert_allclose(bundle.logits(many)[::40], bundle.logits(WINDOWS), atol=1e-5)
    assert bundle.predict_proba(WINDOWS[:0]).shape == (0, 3)


@pytest.mark.parametrize("shape", [(2, 63, 1), (2, 64, 2), (64, 1), (2, 64)])
def test_windows_of_another_shape_are_refused(bundle, shape):
    with pytest.raises(BundleError, match=r"takes windows of the shape \(n, 64, 1\), got"):
        bundle.predict_proba(np.zeros(shape))


def test_zeros_are_the_share_that_thresholds_remove(bundle):
    zeros = bundle.zeros(WINDOWS)
    assert zeros.shape == (9,)
    assert np.all((zeros > 0) & (zeros < 1))
    units = bundle.zeros(WINDOWS, by_unit=True)
    assert units.shape == (9, sum(tiny.network.units))
    np.testing.assert_allclose(units.mean(1), zeros)
    assert bundle.zeros(WINDOWS[:0], by_unit=True).shape == (0, sum(tiny.network.units))
    assert bundle.zeros(WINDOWS[:0]).shape == (0,)
    plain = dataclasses.replace(bundle, network=tiny.network.clone(shrinkage=None))
    assert plain.zeros(WINDOWS) is None


@pytest.mark.parametrize("shrinkage", [None, "channel_shared", "squeeze_excitation"])
def test_every_kind_of_network(bundle, tmp_path, shrinkage):
    network = tiny.network.clone(shrinkage=shrinkage, shortcut="projection", dtype=jax.numpy.bfloat16, units=(2,), widths=(4,))
    variables = tiny.variables(network, seed=1)
    made = dataclasses.replace(bundle, network=network, variables=variables)
    save(tmp_path / "model", made)
    np.testing.assert_array_equal(load(tmp_path / "model").logits(WINDOWS), made.logits(WINDOWS))


def test_nothing_is_overwritten(bundle, folder, tmp_path):
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(BundleError, match="exists: choose another folder, nothing is overwritten"):
        save(folder, bundle)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text.tex").write_text("mine")
    for place in (tmp_path / "thesis", tmp_path / "thesis" / "text.tex"):
        with pytest.raises(BundleError, match="nothing is overwritten"):
            save(place, bundle, overwrite=True)
    assert (tmp_path / "thesis" / "text.tex").read_text() == "mine"


def test_a_bundle_may_be_replaced_where_that_is_asked_for(bundle, folder):
    save(folder, dataclasses.replace(bundle, temperature=2.0), overwrite=True)
    assert load(folder).temperature == 2.0


def nan(leaf):
    return np.full_like(leaf, np.nan)


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        (lambda whole: jax.tree.map(nan, whole), "numbers that are not finite"),
        (lambda whole: {"params": whole["params"]}, "do not fit the network"),
        (lambda whole: {}, "do not fit the network"),
        (lambda whole: whole | {"thresholds": {"a": np.ones(1)}}, r"thresholds/a: float32\[1\], expected nothing"),
        (lambda whole: tiny.variables(tiny.network.clone(widths=(5,))), "do not fit the network"),
        (lambda whole: tiny.variables(tiny.network.clone(units=(2,))), "do not fit the network"),
        (lambda whole: jax.tree.map(lambda a: np.stack([a, a]), whole), "save the members of an ensemble one by one"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(bundle, folder, tmp_path, variables, told):
    """The model that it would replace stays."""
    odd = dataclasses.replace(bundle, variables=variables(dict(bundle.variables)))
    for place in (folder, tmp_path / "new"):
        with pytest.raises(BundleError, match=told) as caught:
            save(place, odd, overwrite=True)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()
    tiny.assert_equal(load(folder).variables, bundle.variables)


def test_a_network_for_other_windows_is_not_saved(bundle, tmp_path):
    image = dataclasses.replace(bundle, network=tiny.network.clone(kernel=(3, 3)))
    with pytest.raises(BundleError, match=r"the network does not take windows of the shape \(64, 1\)"):
        save(tmp_path / "model", image)


def test_modules_of_the_users_own_are_refused(bundle, tmp_path):
    own = dataclasses.replace(bundle, network=tiny.network.clone(norm=nn.LayerNorm))
    with pytest.raises(BundleError, match="of your own cannot be described"):
        save(tmp_path / "model", own)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("classes", [("a", "b"), ("a", "b", "a")])
def test_classes_have_names(bundle, classes):
    with pytest.raises(BundleError, match="3 classes need as many different names"):
        dataclasses.replace(bundle, classes=classes)


# --- what can be wrong


def test_no_folder_and_no_model(tmp_path):
    refused(tmp_path / "none", "holds no model (model.json is missing)")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "holds no model")


def test_a_later_version(folder):
    describe(folder, format=7)
    refused(folder, "is of format 7, and this version of drsn_jax reads up to 6: install a newer one")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '"text"',
        "null",
        '{"format": "x"}',
        '{"format": true}',
        '{"format": 0}',
        "\x00",
        '{"format": 1}',
        "[" * 100_000,
    ],
)
def test_a_description_that_is_none(folder, content):
    (folder / "model.json").write_text(content)
    refused(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("network", None),
        ("classes", 5),
        ("classes", "abc"),
        ("classes", [1, 2, 3]),
        ("classes", [["a"], "b", "c"]),
        ("classes", ["a", "b", "b"]),
        ("window_length", "long"),
        ("window_length", True),
        ("window_length", 0),
        ("window_length", 10**400),
        ("stride", -1),
        ("channels", None),
        ("sampling_rate", "12000"),
        ("sampling_rate", 0),
        ("sampling_rate", 10**400),
        ("sampling_rate", float("nan")),
        ("channel", 3),
        ("standardise", "false"),
        ("temperature", "1"),
        ("temperature", -1.0),
        ("temperature", 1e-320),
        ("temperature", 10**400),
        ("temperature", float("inf")),
        ("rms_range", 3),
        ("rms_range", ["x", "y"]),
        ("rms_range", [2.0, 1.0]),
        ("rms_range", [1.0]),
        ("rms_range", [1, 10**400]),
        ("training", []),
        ("accuracy", {}),
        ("accuracy", [1]),
        ("weights", None),
        ("weights", "../model.json"),
        ("weights", "/dev/zero"),
    ],
)
def test_a_field_that_is_no_value_of_its_kind(folder, name, value):
    describe(folder, **{name: value})
    refused(folder, f"{name} is", "expected")


@pytest.mark.parametrize("changed", [{"network": {}}, {"classes": ["a", "b"]}, {"channels": 5}, {"network": {"widths": -1}}])
def test_a_description_of_another_network(folder, changed):
    describe(folder, **changed)
    refused(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stem", 0),
        ("stem", -1),
        ("stem", 1.5),
        ("stem", 10**400),
        ("widths", [3, 0]),
        ("widths", 4),
        ("units", []),
        ("units", [1, -1]),
        ("kernel", [-3]),
        ("classes", True),
        ("shrinkage", 1),
        ("threshold_rule", None),
        ("padding", [1]),
        ("dtype", 32),
        ("standardise", "yes"),
    ],
)
def test_a_field_of_a_network_that_is_no_value_of_its_kind(folder, name, value):
    """Such a bundle must not load and then fail at the first window."""
    describe(folder, network=json.loads((folder / "model.json").read_text())["network"] | {name: value})
    refused(folder, f"{name} of its network is", "expected")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"units": [10**9]}, "describes a network of 1000000000 units, and its weights are for 1"),
        ({"units": [1] * 1000, "widths": [4] * 1000}, "describes a network of 1000 units"),
        ({"widths": [2**30]}, "describes a network with 1073741824 numbers in an array"),
        ({"kernel": [2**31 - 1]}, "numbers in an array"),
        ({"shrinkage": "magic"}, "does not describe a model of this version: "),
        ({"dtype": "magic"}, "does not describe a model of this version: "),
    ],
)
def test_a_larger_network_is_refused_before_it_is_traced(folder, changed, told):
    """To trace a network of 10**9 units would take days and all memory."""
    describe(folder, network=json.loads((folder / "model.json").read_text())["network"] | changed)
    refused(folder, told)


@pytest.mark.parametrize("depth", [60, 400, 990, 3000])
def test_facts_that_nest_too_deep_are_refused(bundle, folder, tmp_path, depth):
    text = (folder / "model.json").read_text()
    nested = '{"a": ' * depth + "1" + "}" * depth
    facts = text.rstrip().removesuffix("}").rstrip()
    (folder / "model.json").write_text(facts + f', "training": {nested}}}')
    refused(folder)
    training = {}
    training["itself"] = training
    with pytest.raises(BundleError, match="holds itself"):
        save(tmp_path / "other", dataclasses.replace(bundle, training=training))


@pytest.mark.parametrize("target", ["/dev/zero", "pipe", "folder"])
@pytest.mark.parametrize("which", ["model.json", "weights"])
def test_what_is_no_regular_file_is_refused(folder, which, target):
    """A device has no end, and a pipe waits for a writer."""
    file = weights_of(folder) if which == "weights" else folder / "model.json"
    file.unlink()
    if target == "pipe":
        os.mkfifo(file)
    elif target == "folder":
        file.mkdir()
    else:
        file.symlink_to(target)
    refused(folder, file.name, "Is a directory" if target == "folder" else "it is no regular file")


def test_files_that_are_too_large_are_refused(folder, monkeypatch):
    monkeypatch.setattr("drsn_jax.core.memory.available", lambda: 4000)
    refused(folder, weights_of(folder).name, "bytes, more than the 1000 that such a file may have here")
    os.truncate(folder / "model.json", 2**24 + 1)
    refused(folder, "model.json is damaged (it has 16777217 bytes")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x" * 100,
        b"\xff" * 8 + b"{}",
        (2).to_bytes(8, "little") + b"{}" + b"rest",
        safetensors.numpy.save({"a": np.ones(3, np.float32)})[:-4],
        safetensors.numpy.save({"a": np.ones(3, np.float32)}).replace(b'"F32"', b'"F99"'),
        safetensors.numpy.save({"a": np.ones(3, np.float32)}).replace(b"[0,12]", b"[0,99]"),
    ],
)
def test_weights_that_cannot_be_read_are_named(folder, content):
    """With a checksum that fits: the weights are wrong, not the description."""
    put_weights(folder, content)
    assert "does not describe" not in refused(folder, f"{weights_of(folder).name} holds no weights that can be read")


def test_a_window_of_any_length_takes_no_memory(folder):
    describe(folder, window_length=2**31 - 1)
    assert load(folder).window_length == 2**31 - 1


@pytest.mark.parametrize(
    "field", [{"temperature": float("nan")}, {"training": {"loss": float("inf")}}, {"classes": ("a", "b", 3)}]
)
def test_what_cannot_be_described_leaves_the_model_that_is_there(bundle, folder, tmp_path, field):
    odd = dataclasses.replace(bundle, **field)
    with pytest.raises(BundleError, match=r"temperature is nan|not finite|classes is"):
        save(folder, odd, overwrite=True)
    assert load(folder).temperature == bundle.temperature
    with pytest.raises(BundleError):
        save(tmp_path / "new", odd)
    assert not (tmp_path / "new").exists()


def test_weights_that_are_missing_or_damaged(folder):
    file = weights_of(folder)
    file.write_bytes(file.read_bytes()[:-1])
    refused(folder, f"{file.name} is damaged or belongs to another model.json")
    file.unlink()
    refused(folder, f"{file.name} cannot be read", "get the whole folder")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda w: {n: a for n, a in w.items() if "classifier/b" not in n}, "classifier/bias: missing, expected float32[3]"),
        (lambda w: w | {"evil": np.ones(2, np.float32)}, "evil: float32[2], expected nothing"),
        (lambda w: w | {"params/classifier/bias": np.ones(4, np.float32)}, "float32[4], expected float32[3]"),
        (lambda w: w | {"params/classifier/bias": np.ones(3, np.float64)}, "float64[3], expected float32[3]"),
        (lambda w: {}, "describes a network of 1 units, and its weights are for 0"),
        (lambda w: w | {"params/classifier/bias": np.full(3, np.nan, np.float32)}, "not finite"),
    ],
)
def test_weights_that_do_not_fit(folder, change, found):
    rewrite(folder, change)
    refused(folder, found)


@given(st.data())
def test_a_damaged_file_is_never_taken_for_whole(bundle, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("bundles") / "model"
    save(folder, bundle)
    (folder.parent / "whole.json").write_bytes((folder / "model.json").read_bytes())
    file = data.draw(st.sampled_from([weights_of(folder), folder / "model.json"]))
    content = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    with contextlib.suppress(BundleError):  # a change between two blanks
        tiny.assert_equal(load(folder).variables, bundle.variables)
        assert json.loads(bytes(content)) == json.loads((folder.parent / "whole.json").read_bytes())


# --- dtypes, few windows and doors


@pytest.mark.parametrize("dtype", [jax.numpy.bfloat16, np.float16, np.float64])
def test_cast_parameters_are_written_as_float32(bundle, tmp_path, dtype):
    cast = jax.tree.map(lambda leaf: np.asarray(leaf).astype(dtype), bundle.variables)
    save(tmp_path / "cast", dataclasses.replace(bundle, variables=cast))
    expected = jax.tree.map(lambda leaf: leaf.astype(np.float32), cast)
    tiny.assert_equal(jax.device_get(load(tmp_path / "cast").variables), expected)


def test_with_64_bits_a_bundle_is_the_same(bundle, tmp_path, x64):
    save(tmp_path / "one", bundle)
    loaded = load(tmp_path / "one")
    tiny.assert_equal(jax.device_get(loaded.variables), jax.device_get(bundle.variables))
    save(tmp_path / "two", loaded)
    with jax.enable_x64(False):
        # the name of the weights is their hash
        first, second = (sorted(file.name for file in (tmp_path / name).glob("*.safetensors")) for name in ("one", "two"))
        assert first == second
        assert len(first) == 1
        load(tmp_path / "two")


def test_few_windows_are_filled_up_a_little(bundle, monkeypatch):
    """A program that is compiled already serves again where that wastes little; whole batches need no other one."""
    sizes = []
    step = lambda state, windows: sizes.append(len(windows)) or np.zeros((len(windows), 3))  # noqa: E731
    monkeypatch.setitem(bundle._programs._outputs, True, InSizes(step, 256))
    for count, expected in (
        (10, [10]),
        (17, [18]),
        (18, [18]),
        (100, [104]),
        (99, [104]),
        (121, [104, 18]),
        (256, [256]),
        (2000, [256] * 8),
    ):
        sizes.clear()
        assert bundle.logits(np.zeros((count, tiny.LENGTH, 1), np.float32)).shape == (count, 3)
        assert sizes == expected
    sizes.clear()
    bundle.logits(np.zeros((7, tiny.LENGTH, 1), np.float32), batch_size=3)
    assert sizes == [3, 3, 1]


def test_a_few_windows_have_a_program_of_their_own(bundle, monkeypatch):
    """It follows the weights, is spread over no devices, and holds many weights for one window at most."""
    other = dataclasses.replace(bundle, variables=jax.tree.map(lambda leaf: 0.9 * leaf, bundle.variables))
    for model in (bundle, other):
        many = model.logits(WINDOWS[:3], batch_size=4)
        np.testing.assert_allclose(model.logits(WINDOWS[:3]), many, atol=1e-5)
        np.testing.assert_allclose(np.concatenate([model.logits(w[None]) for w in WINDOWS[:3]]), many, atol=1e-5)
    moved = dataclasses.replace(bundle)
    moved.logits(WINDOWS[:3])
    moved.variables = other.variables
    np.testing.assert_array_equal(moved.logits(WINDOWS[:3]), other.logits(WINDOWS[:3]))
    asked = []
    monkeypatch.setitem(
        moved._programs._outputs, True, InSizes(lambda _, windows: asked.append(len(windows)) or np.zeros((len(windows), 3)), 256)
    )
    moved.logits(WINDOWS[:3])
    assert asked == []
    moved.logits(WINDOWS[:3], batch_size=3)
    assert asked == [3]
    monkeypatch.setattr(programs, "SMALL", 0)
    moved.variables = bundle.variables
    moved.logits(WINDOWS[:2])
    moved.logits(WINDOWS[:1])
    assert asked == [3, 2]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("method", ["logits", "predict_proba", "zeros"])
def test_windows_that_are_not_finite_are_refused(bundle, method, value):
    windows = WINDOWS.copy()
    windows[4, 7] = value
    for given_windows, number in ((windows, 4), (windows[4:5], 0)):
        with pytest.raises(ValueError, match=rf"1 windows hold NaN or infinity, the first of them is number {number}"):
            getattr(bundle, method)(given_windows)


@pytest.mark.parametrize("rate", [None, 0, -1.0, np.nan, np.inf, "12000"])
def test_a_diagnosis_needs_a_sampling_rate(bundle, rate):
    with pytest.raises(ValueError, match="a diagnosis needs the sampling rate of the signal, a positive number of Hz, got"):
        bundle.diagnose(WINDOWS[0], rate)


@pytest.mark.parametrize(
    "changed",
    [
        {"standardise": "together"},
        {"standardise": False, "scale": 0.02},
        {"standardise": False, "scale": (0.02,), "offset": (0.5,)},
    ],
)
def test_how_amplitudes_are_scaled_is_kept(bundle, tmp_path, changed):
    other = dataclasses.replace(bundle, network=bundle.network.clone(**changed))
    save(tmp_path / "model", other)
    again = load(tmp_path / "model")
    assert {name: getattr(again.network, name) for name in changed} == changed
    np.testing.assert_array_equal(again.logits(WINDOWS), other.logits(WINDOWS))
    assert not np.allclose(again.logits(3 * WINDOWS), again.logits(WINDOWS)) or "scale" not in changed


def test_the_mean_of_a_window_is_kept_where_it_tells_something(bundle, tmp_path):
    levels = WINDOWS + np.arange(len(WINDOWS), dtype=np.float32)[:, None, None]
    network = bundle.network.clone(standardise=False)
    without, kept = (dataclasses.replace(bundle, network=network, remove_mean=remove) for remove in (True, False))
    np.testing.assert_allclose(without.logits(levels), without.logits(WINDOWS), atol=1e-4)
    assert not np.allclose(kept.logits(levels), kept.logits(WINDOWS), atol=1e-2)
    expected = jax.jit(functools.partial(network.apply, train=False))(kept.variables, levels)
    np.testing.assert_allclose(kept.logits(levels), expected, atol=1e-5)
    save(tmp_path / "model", kept)
    np.testing.assert_array_equal(load(tmp_path / "model").logits(levels), kept.logits(levels))


def test_names_of_classes_and_a_short_text(bundle):
    found = bundle.predict(WINDOWS)
    assert found.tolist() == [CLASSES[i] for i in bundle.logits(WINDOWS).argmax(1)]
    assert bundle.predict(WINDOWS[:0]).shape == (0,)
    assert repr(bundle) == (
        "Bundle(drsn_cw, 3 classes (healthy, inner race, Außenring), windows of 64 samples × 1 channel at 12000 Hz)"
    )
