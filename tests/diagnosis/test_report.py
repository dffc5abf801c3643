"""The page that is handed on: complete in itself, safe with any name, and it says what the model was trained on."""

import base64
import dataclasses
import html.parser

import numpy as np
import pytest
import tiny

from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.diagnosis import Diagnosis, Ranked
from drsn_jax.diagnosis.evidence import FaultEvidence
from drsn_jax.diagnosis.gears import GearEvidence
from drsn_jax.diagnosis.physics import GearPhysics, Physics
from drsn_jax.diagnosis.report import Entry, writable, write_report

EVIL = '<script>alert("1")</script>'


class Page(html.parser.HTMLParser):
    """The tags with their attributes, and the text, of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag, attribute):
        return [found[attribute] for name, found in self.tags if name == tag and attribute in found]


@pytest.fixture(scope="module")
def model():
    accuracy = [{"noise": "gaussian", "snr_db": -5.0, "accuracy": 0.875}, {"noise": "none", "snr_db": "inf", "accuracy": 1.0}]
    training = {
        "train_noise": "gaussian", "train_snr_db": "-5..30", "protocol": "by condition", "fold": "3 hp", "seed": 0, "odd": [1],
        "recordings": [{"files": ["1.mat", "2.mat"], "channel": "X_DE"}, "nothing"],
    }  # fmt: skip
    about = {"rms_range": (0.05, 0.3), "training": training, "accuracy": [*accuracy, {"odd": 1}]}
    return Bundle(tiny.network, tiny.variables(), ("a", EVIL, "c"), tiny.LENGTH, 8000.0, tiny.LENGTH, **about)


def entry(file, physics=None, picture=None, *, label="a", sure=True, channel="", warnings=(), doubts=(), novelty=None, error=""):
    best = (Ranked(label, 0.9), Ranked("c", 0.1))
    found = Diagnosis(label, 0.9, 1.0, 0.1, best, warnings, sure, np.ones((4, 3)) / 3, np.arange(4), doubts, novelty)
    return Entry(file, found, 4096, 1_048_576.0, channel, physics, picture, error)


def written(folder, model, *entries, **options):
    path = write_report(folder / "new" / "report", model, entries, **options)
    assert path == folder / "new" / "report" / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def test_what_names_hold_is_shown_and_not_interpreted(tmp_path, model):
    entries = (
        entry(f"/data/day 1/{EVIL}.wav", EVIL, b"png", label=EVIL, channel=EVIL, warnings=(EVIL,), doubts=(EVIL,)),
        Entry("/data/day 2/x\x1b[2J.wav", error=EVIL),
    )
    page = written(tmp_path, model, *entries)
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count(EVIL) >= 8  # file, class, channel, warning, doubt, physics, error, classes of the model
    assert "\x1b" not in page.text
    assert r"day 2/x\x1b[2J.wav" in page.text
    assert page.all("img", "src") == [f"data:image/png;base64,{base64.b64encode(b'png').decode()}"]


def test_the_page_loads_nothing_and_its_links_lead_somewhere(tmp_path, model):
    page = written(tmp_path, model, *(entry(f"/data/{n}.wav", None, b"png") for n in range(3)))
    assert all(address.startswith("data:") for address in page.all("img", "src"))
    assert not {"link", "iframe", "object"} & {tag for tag, _ in page.tags}
    targets = page.all("h2", "id")
    assert [address.removeprefix("#") for address in page.all("a", "href")] == targets
    assert len(set(targets)) == 3
    (policy,) = (found["content"] for tag, found in page.tags if tag == "meta" and "http-equiv" in found)
    assert policy.startswith("default-src 'none'")


def test_what_it_says(tmp_path, model):
    lines = FaultEvidence("inner race", "BPFI", 5.4, 0.0, (20.0, 19.0, 18.0), 9.0)
    physics = Physics((lines,), np.arange(3.0), np.zeros(3))
    doubts = ("its probability is below 80 %", "it is silent")
    page = written(
        tmp_path, model, entry("/data/a/1.wav", physics, channel="DE", novelty=0.87),
        entry("/data/b/1.wav", sure=False, doubts=doubts, warnings=("too loud",), error="disk full"),
        Entry("/data/b/2.wav", error="empty"),
    )  # fmt: skip
    assert "3 recordings: 1 with a named class, 1 not sure, 1 that could not be read." in page.text
    for told in (
        "a/1.wav", "b/1.wav", "lines stand out of", "inner race: lines at 1×, 2×, 3× BPFI stand 20, 19, 18 dB",
        "not sure (perhaps a), probability 90.0 %", "Not sure because its probability is below 80 %, and it is silent.",
        "Warning: too loud", "error: empty", "4,096 samples at 1,048,576 Hz, 0.00391 s", "There is no picture: disk full", "0.87",
        "-5..30", "by condition",
        "2 files: 1.mat, 2.mat", "87.5 %", "clean", "-5 dB",
    ):  # fmt: skip
        assert told in page.text, told
    assert "/data/" not in page.text
    assert "dry run" not in page.text


def test_how_a_class_is_named_is_that_of_the_model_also_where_no_file_could_be_read(tmp_path, model):
    failed = Entry("/data/x.wav", error="empty")
    page = written(tmp_path, model, failed)
    assert "It is named where that mean is at least 80 %" in page.text
    with_sets = dataclasses.replace(model, surprises=np.linspace(0, 1, 100))
    page = written(tmp_path, with_sets, failed)
    assert "It is named where it is the only possible class" in page.text
    assert "80 % of the windows have this class first" in page.text


def test_a_model_of_healthy_recordings_alone_has_an_explanation_of_its_own(tmp_path):
    watching = Bundle(tiny.network.clone(classes=1), tiny.variables(), ("healthy",), tiny.LENGTH, 8000.0, tiny.LENGTH)
    page = written(tmp_path, watching, entry("x.wav", label="healthy"))
    assert "knows recordings of one class alone, healthy" in page.text
    assert "a probability for every class" not in page.text


def test_a_gear_is_told_with_what_its_lines_mean(tmp_path, model):
    sun = FaultEvidence("sun", "the rate at which a tooth meets planets", 2.5, 0.0, (20.0, 19.0, 18.0), 9.0)
    lines = GearEvidence(50 / 3, 2.5, 0.0, (30.0, 20.0, 10.0), True, -4.6, sun)
    gear = GearPhysics(lines, np.arange(3.0), np.zeros(3), (-30.0, -24.0))
    page = written(tmp_path, model, entry("x.wav", Physics((), np.zeros(0), np.zeros(0), gear=gear)))
    for told in (
        "gear: lines of the mesh at 16.67×, 33.33×, 50× the shaft stand 30, 20, 10 dB above the noise around, and the sidebands "
        "2.5× beside them are together 5 dB below them",
        "; that is more than in 2 healthy recordings of the training (up to -24 dB)",
        "sun gear: lines at 1×, 2×, 3× the rate at which a tooth meets planets stand 20, 19, 18 dB above their neighbourhood",
        "Gears: teeth that mesh make lines",
    ):
        assert told in page.text, told
    assert "a fault of a bearing is struck" not in page.text
    assert "sun gear" in page.text.split("gear: lines")[0]  # in the table


def test_a_dry_run_says_so_and_a_report_is_replaced(tmp_path, model):
    assert "its numbers and figures mean nothing" in written(tmp_path, model, entry("x.wav"), dry_run=True).text
    page = written(tmp_path, model, entry("y.wav"))
    assert "1 recording: 1 with a named class." in page.text
    assert "mean nothing" not in page.text
    assert "Physics" not in page.text
    assert "Novelty" not in page.text


def test_names_are_those_below_a_shared_folder(tmp_path, model):
    page = written(tmp_path, model, entry("/data/a/../b/x.wav"), entry("/data/b/x.wav"), entry("/data/c.wav"))
    assert page.text.count("b/x.wav") == 4  # each in the table and over its section
    assert "/data" not in page.text
    page = written(tmp_path, model, entry("/home/x.wav"), entry("/srv/y.wav"))
    assert "/home/x.wav" in page.text


def test_what_a_description_holds_may_be_anything(tmp_path, model):
    odd = [{"accuracy": 10**400, "snr_db": 1}, {"accuracy": float("nan")}, {"accuracy": 0.5, "snr_db": 1e308}, {"accuracy": "x"}]
    page = written(tmp_path, dataclasses.replace(model, accuracy=odd, training={"recordings": "x", "seed": None}), entry("x.wav"))
    assert "50.0 %" in page.text
    assert "nan" not in page.text


def test_a_folder_that_cannot_hold_a_report_is_told_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match=r"nothing can be written into .*: choose another folder"):
            writable(folder)
    assert list(writable(tmp_path / "new" / "deep").iterdir()) == []
