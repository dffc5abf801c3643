"""The benchmark: what is counted, the network for PyTorch, the processes, the tables."""

import contextlib
import dataclasses
import importlib.util
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import tiny
from bench import exported, given, measuring, report, roofline, rounds
from bench.cases import CHECKED, SIZES, Case, difference
from bench.iree_side import source
from bench.measuring import Worker, WorkerError
from bench.runtimes import PART, RuntimeSide, part_size
from hypothesis import given as over
from hypothesis import strategies as st

from drsn_jax.cli import console
from drsn_jax.core import runtime
from drsn_jax.core.errors import UserError
from drsn_jax.nn.networks import Network
from drsn_jax.studies.runs import read_rows
from drsn_jax.training.optimizers import paper_optimizer
from drsn_jax.training.state import create_state
from drsn_jax.training.steps import make_train_step

SCRIPT = Path(__file__).parents[2] / "experiments" / "benchmarks" / "throughput.py"
SHORT = Case("paper", "drsn_cw", "train", 4, short=True)


@pytest.fixture(scope="module")
def script():
    return tiny.load_script(SCRIPT)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    file = tmp_path_factory.mktemp("given") / "weights.npz"
    given.write(SHORT, file)
    return file


@pytest.fixture
def plan(tmp_path):
    with open(tmp_path / "log", "w") as log:
        yield measuring.Plan(3, 0.01, 0.01, 1, tmp_path / "cache", log)


@pytest.mark.parametrize("size", list(SIZES))
@pytest.mark.parametrize("network", ["resnet", "drsn_cs", "drsn_cw"])
def test_operations_are_those_that_the_compiler_counts(size, network):
    """It counts additions and the like too."""
    case = Case(size, network, "infer", 2, short=True)
    built = Network(**case.fields, implementation="modules")  # the blocked one multiplies zeros too
    variables = jax.eval_shape(lambda key: built.init(key, np.zeros((1, *case.window)), train=False), jax.random.key(0))
    windows = jax.ShapeDtypeStruct((2, *case.window), np.float32)
    lowered = jax.jit(lambda v, x: built.apply(v, x, train=False)).lower(variables, windows)
    counted: Any = lowered.cost_analysis()
    assert 0.6 * counted["flops"] < roofline.count(case).operations < counted["flops"]


def test_work_grows_as_it_must():
    infer, train = roofline.count(Case("paper", "drsn_cw", "infer", 128)), roofline.count(Case("paper", "drsn_cw", "train", 128))
    assert train.operations == 3 * infer.operations
    assert roofline.count(Case("paper", "drsn_cw", "train", 1024)).bytes == 8 * train.bytes
    # 4 × 1024 after the stem, then 36 arrays of 2,048 numbers; read once more than that is the window
    assert infer.bytes == 128 * 4 * (2 * (4096 + 36 * 2048) + 2048)
    assert infer.largest == 128 * 4 * 4096


def test_the_floor_is_the_slower_of_both():
    machine = roofline.Machine(operations=100.0, memory=10.0, cache=20.0)
    assert roofline.seconds(roofline.Work(1000, 10, 2**21), machine) == 10
    assert roofline.seconds(roofline.Work(0, 1000, 2**21), machine) == 100
    assert roofline.seconds(roofline.Work(0, 1000, 2**20), machine) == 50


def test_rates_are_plausible():
    found = roofline.measure(1, 2, large=2**22, side=128)
    assert all(1e7 < rate < 1e15 for rate in found)


@pytest.mark.parametrize(("size", "network"), [("paper", "drsn_cw"), ("images", "drsn_cs")])
def test_the_network_for_pytorch_is_ours(network, size, tmp_path):
    """Logits with running and with batch statistics, and three steps of training: losses, parameters, running statistics."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: its network is not compared with ours")
    from bench import pytorch

    case = Case(size, network, "train", 8, short=True)
    given.write(case, tmp_path / "given.npz")
    with np.load(tmp_path / "given.npz") as file:
        arrays = dict(file)
    side = pytorch.TorchSide(case, arrays, threads=1, compiled=False)
    for name, logits in side.logits().items():
        assert difference(logits, arrays[f"logits/{name}"]) < 1e-4

    built, optimizer = Network(**case.fields), paper_optimizer(given.STEPS, 1e-3)
    windows, labels = case.data()
    state: Any = create_state(built, optimizer, jax.random.key(0), windows)
    state = state.replace(**jax.tree.map(jax.numpy.asarray, given.weights(case)))
    step, batch = jax.jit(make_train_step(built, optimizer)), {"windows": windows, "labels": labels, "weights": np.ones(8)}
    for _ in range(3):
        state, metrics = step(state, batch)
        assert difference(side.step(), metrics["loss"] / 8) < 1e-4
    trained = side.network.state_dict()
    assert difference(trained["stem_conv.bias"].numpy(), state.params["stem_conv"]["bias"]) < 1e-4
    kernel = np.moveaxis(np.asarray(state.params["stages_1_0"]["conv_1"]["kernel"]), (-1, -2), (0, 1))
    assert difference(trained["stages.stages_1_0.conv_1.weight"].numpy(), kernel) < 1e-4
    mean = state.batch_stats["last_norm"]["mean"]
    assert difference(trained["last_norm.running_mean"].numpy(), mean) < 1e-4
    assert torch.is_grad_enabled()


def test_the_graph_for_the_runtimes_is_the_network(weights):
    windows, _ = dataclasses.replace(SHORT, task="infer").data(CHECKED)
    found = jax.jit(exported.logits(SHORT))(np.moveaxis(windows, -1, 1))
    with np.load(weights) as file:
        assert difference(found, file["logits/running"]) < 1e-4


@pytest.fixture(scope="module", params=["paper", "images"])
def given_and_exported(request, tmp_path_factory):
    """A case and its weights, with the ONNX file beside them."""
    for package in ("jax2onnx", "onnx"):
        pytest.importorskip(package, reason=f"{package} is not installed: the runtimes are not compared with ours")
    case, file = Case(request.param, "drsn_cw", "infer", 2 * PART, short=True), tmp_path_factory.mktemp("exported") / "given.npz"
    given.write(case, file)
    exported.write(case, file.with_suffix(".onnx"))
    return case, file


@pytest.mark.parametrize("kind", ["onnxruntime", "openvino"])
def test_the_runtimes_answer_as_the_network(kind, given_and_exported, monkeypatch):
    """The whole batch at once and by parts."""
    monkeypatch.setenv("CI", "true")  # OpenVINO then sends nothing
    pytest.importorskip(kind, reason=f"{kind} is not installed: it is not compared with ours")
    case, file = given_and_exported
    whole, parts = (RuntimeSide(case, file.with_suffix(".onnx"), kind, 2, parts) for parts in (False, True))
    with np.load(file) as arrays:
        assert difference(whole.logits()["running"], arrays["logits/running"]) < 1e-4
    assert whole.step().shape == (2 * PART, 8)
    assert difference(parts.step(), whole.step()) < 1e-5


@over(st.integers(1, 2000), st.integers(1, 64))
def test_every_thread_has_a_part(batch, threads):
    size = part_size(batch, threads)
    assert batch % size == 0
    assert size <= PART
    assert batch // size >= min(batch, threads)


@pytest.mark.process
def test_a_process_works_on_command(weights, plan):
    worker = Worker(SHORT, "ours", weights, plan, None)
    try:
        (first,), (second,) = worker.first["results"]
        assert np.isfinite([first, second]).all()
        assert worker.start_seconds > worker.first["first_call_seconds"] > 0
        assert len(worker.time(1e-9)["seconds"]) == 1
        answer = worker.time(0.5)
        assert 0 < sum(answer["seconds"]) < 0.5 + max(answer["seconds"])
        assert answer["peak_bytes"] == 0 or answer["peak_bytes"] > 1e7
        (row,) = measuring.take_turns([worker], plan)
        assert row["windows_per_second"] == pytest.approx(4 / (row["milliseconds"] / 1e3))
        assert row["quartile_1"] <= row["milliseconds"] <= row["quartile_3"]
    finally:
        worker.close()


@pytest.mark.process
def test_iree_answers_as_the_network(script, weights, plan):
    """The whole batch at once, which compiles, and by parts of as many windows, with the program that is there already."""
    if not (script.installed("iree.compiler") and script.installed("iree.runtime")):
        pytest.skip("IREE is not installed: it is not compared with ours")
    whole, parts = (dataclasses.replace(SHORT, task="infer", batch=batch) for batch in (4, 8))
    (file, count), (other, same) = source(weights, whole.batch, 2, False), source(weights, parts.batch, 2, True)
    assert count == same == 4
    exported.write_stablehlo(whole, count, file)
    built, variables = Network(**SHORT.fields, implementation="modules"), given.weights(SHORT)
    expected = jax.jit(lambda x: built.apply(variables, x, train=False))
    for case, way in ((whole, "iree"), (parts, "iree_parts")):
        # a process of its own, as in a run: at its end nanobind lists all of IREE that Python did not free
        worker = Worker(case, way, weights, plan._replace(threads=2), None)
        worker.close()
        measuring.check(worker, weights, None)
        for found in worker.first["results"]:
            assert difference(found, np.ravel(expected(case.data()[0]))) < 1e-4
        if case is whole:
            file.with_suffix(".vmfb").replace(other.with_suffix(".vmfb"))  # there is nothing from which it could be compiled


@pytest.mark.process
def test_a_process_that_fails_says_why(weights, plan):
    with pytest.raises(WorkerError, match="ShapeError"):
        Worker(dataclasses.replace(SHORT, size="images"), "ours", weights, plan, None)


def pretended(way: str, **first: Any) -> Any:
    """A worker that did nothing."""
    return types.SimpleNamespace(case=SHORT, way=way, first=first)


def test_results_that_differ_are_not_timed(weights):
    with np.load(weights) as file:
        logits = {name: file[f"logits/{name}"].tolist() for name in ("running", "batch")}
    ours, same = (pretended(way, results=[[1.0], [2.0]], logits=logits) for way in ("ours", "torch_eager"))
    measuring.check(same, weights, ours)
    with pytest.raises(ArithmeticError, match=r"PyTorch compiled and drsn_jax differ by 1.0e-02"):
        measuring.check(pretended("torch_compiled", results=[[1.0], [2.02]]), weights, ours)
    logits["batch"][0][0] += 1
    with pytest.raises(ArithmeticError, match="PyTorch eager and drsn_jax differ"):
        measuring.check(pretended("torch_eager", results=[], logits=logits), weights, None)


class Pretended:
    """In place of a worker: one way fails, none does anything."""

    def __init__(self, case: Case, way: str, *_: Any) -> None:
        if way == "openvino":
            raise WorkerError("it cannot")
        self.case, self.way, self.first, self.closed = case, way, {"results": [[1.0], [2.0]], "peak_bytes": 2**30}, False

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("together", [1, 2, 8])
def test_who_fails_or_finds_no_memory_is_left_out(together, weights, plan, monkeypatch):
    monkeypatch.setattr(measuring, "Worker", Pretended)
    said: list[str] = []
    members = [(SHORT, way) for way in ("ours", "openvino", "onnxruntime", "torch_eager")]
    with contextlib.ExitStack() as stack:
        workers = measuring.start(members, {SHORT: weights}, plan, None, stack, said.append, together)
    assert [worker.way for worker in workers] == ["ours", "onnxruntime", "torch_eager"]
    assert said == ["  OpenVINO is left out: it cannot"]
    assert all(worker.closed for worker in workers)  # type: ignore[attr-defined]  # of ``Pretended``

    monkeypatch.setattr(measuring, "_available_bytes", lambda: 2**30)
    with contextlib.ExitStack() as stack:
        workers = measuring.start(members[:1] + members[2:], {SHORT: weights}, plan, None, stack, said.append, 1)
    assert [worker.way for worker in workers] == ["ours"]
    left_out = "is left out: 1 processes of up to 1.0 GB hold the memory"
    assert said[1:] == [f"  onnxruntime {left_out}", f"  PyTorch eager {left_out}"]


def test_one_of_ours_that_fails_ends_the_run(weights, plan, monkeypatch):
    monkeypatch.setattr(measuring, "Worker", Pretended)
    monkeypatch.setattr(measuring, "OURS", ("openvino",))
    with contextlib.ExitStack() as stack, pytest.raises(WorkerError, match="it cannot"):
        measuring.start([(SHORT, "openvino")], {SHORT: weights}, plan, None, stack, print)


def test_turns_end_where_the_median_is_certain():
    assert not measuring.certain([1.0] * 4)
    assert measuring.certain([1.0] * 5)
    # of normal numbers the median of 100 has a standard error of 0.125 σ
    numbers = np.random.default_rng(0).normal(1.0, 1.0, 100)
    assert not measuring.certain([*(1 + 0.09 * numbers / numbers.std())])
    assert measuring.certain([*(1 + 0.04 * numbers / numbers.std())])


def test_difference():
    assert difference([1e-3, 1000.0], [0.0, 1001.0]) == pytest.approx(1e-3)
    assert difference([1.0], [1.0, 2.0]) == difference([np.nan], [np.nan]) == float("inf")


def row(way, speed, *, network="drsn_cw", task="train", setting="as_started"):
    numbers = {"milliseconds": 128e3 / speed, "quartile_1": 1, "quartile_3": 2, "page_faults_a_step": 0.5, "peak_megabytes": 300}
    case = {"size": "paper", "network": network, "task": task, "batch": 128}
    return {"setting": setting, **case, "way": way, "windows_per_second": speed, **numbers, "roofline_milliseconds": 4}


def test_tables_and_the_figure(tmp_path):
    from drsn_jax.studies.runs import RunFolder

    folder = RunFolder(tmp_path / "run", {})
    ways = {"ours": 4000.0, "ours_modules": 2000.0, "torch_eager": 1600.0, "torch_compiled": 1000.0}
    rows = [row(way, speed) for way, speed in ways.items()] + [row("ours", 5000.0, network="resnet")]
    folder.add_rows("results", [*rows, row("ours", 3000.0, setting="tcmalloc")])
    begun = {("ours", "cold"): (9.04, 5.0), ("ours", "warm"): (3.0, 0.4), ("torch_eager", "warm"): (2.0, 0.1)}
    folder.add_rows(
        "starts",
        [
            {**dict(list(rows[0].items())[:5]), "way": way, "cache": cache, "start_seconds": start, "compile_seconds": compiling}
            for (way, cache), (start, compiling) in begun.items()
        ],
    )
    text = report.text(folder.path)
    assert "**2.50**" in text  # against the faster one
    assert "our own choice is 2.00 × the modules" in text
    assert "takes 1.25 × the time of ResNet" in text
    assert "all with tcmalloc preloaded" in text
    assert [cells(line)[-5:] for line in text.splitlines()[-2:]] == [
        ["drsn_jax", "5.0", "9.0", "3.0", "**1.50**"],
        ["PyTorch eager", "–", "–", "2.0", "**1.00**"],
    ]
    assert report.draw(folder.path).stat().st_size > 10_000


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_ratio_is_to_the_fastest_of_the_others():
    speeds = {"ours": 3000.0, "ours_cores": 4000.0, "torch_compiled": 2000.0, "onnxruntime": 5000.0, "openvino_parts": 8000.0}
    assert report.fastest(speeds, measuring.PEERS) == "openvino_parts"
    assert report.fastest({"ours": 1.0}, measuring.PEERS) is None
    rows = [row(way, speed, task="infer") for way, speed in speeds.items()] + [row("ours", 1500.0), row("torch_eager", 1000.0)]
    rows = [{name: str(value) for name, value in found.items()} for found in rows]
    (text,) = report.speeds(rows)
    head, _, *lines = [cells(line) for line in text.splitlines()[2:]]
    assert head == ["", "inference, 128", "training step, 128"]
    assert lines[0] == ["drsn_jax", "3,000", "1,500"]
    assert lines[1] == ["drsn_jax, cores as devices", "4,000", "–"]
    assert lines[-3:] == [
        ["drsn_jax's best / fastest of the others", "**0.50**", "**1.50**"],
        ["fastest of the others", "OpenVINO, by parts", "PyTorch eager"],
        ["drsn_jax's best / PyTorch's best", "**2.00**", "**1.50**"],
    ]
    (text,) = report.comparisons(rows)
    assert text.endswith("the exported file is the faster way, 2.00 × as fast in OpenVINO, by parts.")
    (text,) = report.comparisons([*rows, {**rows[0], "way": "iree", "windows_per_second": "12000"}])
    assert text.endswith("a program compiled ahead of time is the faster way, 3.00 × as fast in IREE.")
    assert report.comparisons(rows[:3]) == []  # ours is faster than PyTorch
    assert "others" not in report.speeds(rows[:2])[0]


def test_what_is_not_installed_is_left_out(script, monkeypatch, capsys):
    assert script.installed("jax.numpy")
    assert not script.installed("no_such_package.runtime")
    absent = {"torch", "jax2onnx", "iree.runtime"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in absent else name)
    assert script.available(script.Options(), 2) == []
    said = capsys.readouterr().out
    assert "PyTorch is left out: torch is not installed (pip install 'drsn-jax[bench]')" in said
    assert "IREE is left out: iree.runtime is not installed (pip install 'drsn-jax[bench]')" in said
    absent.clear()
    assert script.available(script.Options(), 2) == list(measuring.PEERS)
    assert script.available(script.Options(compiled=False), 1) == ["torch_eager", "onnxruntime", "openvino", "iree"]
    assert capsys.readouterr().out == ""
    train, infer = script.groups(
        script.Options(sizes=("paper",), train_batches=(8,), batches=(1,)), 2, ["torch_eager", "openvino"]
    )
    ways = [(case.network, way) for case, way in train]
    assert ways[:3] == [("drsn_cw", way) for way in ("ours", "torch_eager", "ours_modules")]
    assert ways[3:] == [("resnet", "ours"), ("resnet", "torch_eager")]
    assert [way for _, way in infer] == ["ours", "torch_eager", "openvino"]


def test_a_network_that_cannot_be_exported_is_left_out(tmp_path, monkeypatch, capsys):
    def refuse(*_: Any) -> None:
        raise UserError("the converter does not know it")

    monkeypatch.setattr(exported, "write", refuse)
    monkeypatch.setattr(given, "write", lambda case, file: file.touch())
    files: dict[Case, Path] = {}
    members = [(SHORT, "ours"), (SHORT, "openvino")]
    assert rounds.provided(members, files, tmp_path, 1) == members[:1]
    assert "OpenVINO is left out: the converter does not know it" in capsys.readouterr().out
    assert files[SHORT].exists()


def call(script, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments), "--plain-runtime"])
    with pytest.raises(SystemExit) as exit:
        console.run(script.main)
    return exit.value.code


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--turns", "0"), "--turns must be at least 1, got 0"),
        (("--train-batches", "1"), "--train-batches must be at least 2"),
        (("--sizes", "paper", "paper"), "--sizes needs different values"),
        (("--threads", "1000"), "--threads must be from 1 to"),
    ],
)
def test_options_that_cannot_be_run(script, monkeypatch, arguments, message):
    assert message in call(script, monkeypatch, *arguments)


@pytest.mark.slow  # .ci/run makes the same dry run
@pytest.mark.process
def test_a_dry_run_without_the_others(tmp_path):
    """As a user without it runs the script."""
    # hides the others where they are installed
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util\nfind = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name in ('torch', 'onnx') else find(name, *rest)\n"
    )
    out = tmp_path / "run"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(SCRIPT), "--dry-run", "--out", str(out), "--threads", "1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "PyTorch is left out: torch is not installed" in done.stdout
    assert "OpenVINO is left out: " in done.stdout
    rows = read_rows(out / "results.csv")
    assert {row["way"] for row in rows} <= {"ours", "ours_modules", "ours_cores"}
    assert {row["task"] for row in rows} == {"train", "infer"}
    starts = read_rows(out / "starts.csv")
    assert [row["cache"] for row in starts if (row["task"], row["way"]) == ("train", "ours")] == ["cold", "warm"]
    assert (out / "throughput.png").exists()


def test_tcmalloc_is_named_where_it_is_spare(script, monkeypatch):
    monkeypatch.setattr(runtime, "spare_tcmalloc", lambda: None)
    monkeypatch.setenv("LD_PRELOAD", "/lib/other.so /lib/libtcmalloc_minimal.so.4")
    assert script.tcmalloc() == "/lib/libtcmalloc_minimal.so.4"
    monkeypatch.setenv("LD_PRELOAD", "")
    assert script.tcmalloc() is None
