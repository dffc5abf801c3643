"""Tables and a figure from the files of a run of ``throughput.py``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.cases import SIZES
from bench.measuring import EXPORTED, IREE, OURS, PEERS, PYTORCH, WAYS
from bench.roofline import Machine
from drsn_jax.core.plotting import save_figure
from drsn_jax.studies.cells import NUMBER, POSITIVE, TEXT, one_of
from drsn_jax.studies.comparison_tables import TITLES
from drsn_jax.studies.tables import Table, read_rows

Row = Mapping[str, str]
SETTINGS = {"as_started": "each as its users start it", "tcmalloc": "all with tcmalloc preloaded"}
TASKS = {"train": "training step", "infer": "inference"}
CASE = ["network", "task", "batch"]
_CASE = {
    "setting": one_of(tuple(SETTINGS)),
    "size": one_of(tuple(SIZES)),
    "network": one_of(tuple(TITLES)),
    "task": one_of(tuple(TASKS)),
    "batch": POSITIVE,
    "way": one_of(tuple(WAYS)),
}
_MEASURED = (
    "windows_per_second",
    "milliseconds",
    "quartile_1",
    "quartile_3",
    "page_faults_a_step",
    "peak_megabytes",
    "roofline_milliseconds",
)
# what the tables of a run hold, by name
TABLES = {
    "results": Table({**_CASE, **dict.fromkeys(_MEASURED, NUMBER)}, tuple(_CASE)),
    "starts": Table({**_CASE, "cache": TEXT, "start_seconds": NUMBER, "compile_seconds": NUMBER}),
    "machine": Table({"processor": TEXT, "threads": POSITIVE, **dict.fromkeys(Machine._fields, NUMBER)}),
}
# Okabe & Ito, and a marker of its own for each
STYLES = {
    "ours": ("#0072B2", "o"),
    "ours_cores": ("#56B4E9", "D"),
    "ours_modules": ("#009E73", "^"),
    "torch_eager": ("#D55E00", "s"),
    "torch_compiled": ("#E69F00", "v"),
    "onnxruntime": ("#CC79A7", "<"),
    "onnxruntime_parts": ("#CC79A7", "P"),
    "openvino": ("#000000", ">"),
    "openvino_parts": ("#000000", "X"),
    "iree": ("#F0E442", "p"),
    "iree_parts": ("#F0E442", "*"),
}


def text(folder: str | Path) -> str:
    """All tables, as Markdown."""
    rows, starts = (read_rows(Path(folder) / f"{name}.csv", TABLES[name]) for name in ("results", "starts"))
    parts = []
    for setting in _unique(rows, "setting"):
        chosen = [row for row in rows if row["setting"] == setting]
        parts += [f"## {SETTINGS[setting]}", *speeds(chosen), *comparisons(chosen), costs(chosen)]
    if starts:
        parts += ["## from the start of the process to the end of the first step", start_times(starts)]
    return "\n\n".join(parts)


def speeds(rows: Sequence[Row]) -> list[str]:
    """For each network a table of windows a second: a line for each way, a column for each task and batch; below them the
    multiples of our best to the fastest of the others, whose name stands there, and to the faster of PyTorch's."""
    found = []
    for network in _unique(rows, "network"):
        for size in _unique(rows, "size"):
            columns = cases([row for row in rows if (row["network"], row["size"]) == (network, size)])
            if columns:
                found.append(f"{TITLES[network]}, {SIZES[size].title}, windows a second:\n\n" + "\n".join(_speeds(columns)))
    return found


def _speeds(columns: Sequence[Sequence[Row]]) -> list[str]:
    speeds = [{row["way"]: float(row["windows_per_second"]) for row in case} for case in columns]
    ways = [way for way in WAYS if any(way in of for of in speeds)]
    lines = [[WAYS[way], *(f"{of[way]:,.0f}" if way in of else "–" for of in speeds)] for way in ways]
    for name, peers in (("drsn_jax's best / fastest of the others", PEERS), ("drsn_jax's best / PyTorch's best", PYTORCH)):
        if set(peers) & set(ways):
            lines.append([name, *(ratio(of, peers) for of in speeds)])
        if set(peers) & set(ways) and peers == PEERS:
            lines.append(["fastest of the others", *(WAYS.get(fastest(of, PEERS) or "", "–") for of in speeds)])
    return table(["", *(f"{TASKS[row['task']]}, {row['batch']}" for row, *_ in columns)], lines)


def ratio(speeds: Mapping[str, float], peers: Sequence[str]) -> str:
    """The multiple of our best to the fastest of ``peers``, as text."""
    own, peer = fastest(speeds, OURS), fastest(speeds, peers)
    return f"**{speeds[own] / speeds[peer]:.2f}**" if own and peer else "–"


def fastest(speeds: Mapping[str, float], ways: Sequence[str]) -> str | None:
    """The one of ``ways`` with the most windows a second; None where none is there."""
    return max((way for way in ways if way in speeds), key=lambda way: speeds[way], default=None)


def comparisons(rows: Sequence[Row]) -> list[str]:
    """In words: our own choice of implementation against the modules, every network against ResNet, and where an exported file
    or a program of IREE is the faster way."""
    found = []
    for case in cases(rows):
        of, names = {row["way"]: float(row["windows_per_second"]) for row in case}, ", ".join(_names(case[0]))
        if {"ours", "ours_modules"} <= of.keys():
            found.append(f"{names}: our own choice is {of['ours'] / of['ours_modules']:.2f} × the modules.")
        own, peer = fastest(of, OURS), fastest(of, PEERS)
        if own and peer in EXPORTED and of[peer] > of[own]:
            what = "a program compiled ahead of time" if peer in IREE else "the exported file"
            found.append(f"{names}: {what} is the faster way, {of[peer] / of[own]:.2f} × as fast in {WAYS[peer]}.")
    times = {(*_place(row), row["network"], row["way"]): float(row["milliseconds"]) for row in rows}
    for (size, task, batch, network, way), time in times.items():
        other = times.get((size, task, batch, "resnet", way))
        if network != "resnet" and other is not None:
            found.append(
                f"{SIZES[size].title}, {TASKS[task]}, batch {batch}, {WAYS[way]}: {TITLES[network]} takes {time / other:.2f} × "
                "the time of ResNet."
            )
    return ["\n".join(f"- {line}" for line in found)] if found else []


def costs(rows: Sequence[Row]) -> str:
    """Milliseconds with quartiles, page faults, peak memory and the share of the roofline that is reached."""
    columns = ["", "ms a step", "quartiles", "page faults a step", "peak memory, MB", "roofline, ms", "reached"]
    lines = [
        [
            *_names(row),
            WAYS[row["way"]],
            _number(row["milliseconds"]),
            f"{_number(row['quartile_1'])}–{_number(row['quartile_3'])}",
            _number(row["page_faults_a_step"]),
            f"{float(row['peak_megabytes']):,.0f}",
            _number(row["roofline_milliseconds"]),
            f"{100 * float(row['roofline_milliseconds']) / float(row['milliseconds']):.0f} %",
        ]
        for row in rows
    ]
    return "\n".join(table([*CASE, *columns], lines))


def start_times(starts: Sequence[Row]) -> str:
    """Seconds of compilation with an empty cache of compiled programs, and from the start of the process to the end of the first
    step: with an empty cache, with a full one, and the multiple of PyTorch eager's. What compiles nothing has its start alone."""
    found: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in starts:
        found.setdefault((row["setting"], *_place(row), row["network"], row["way"]), {})[row["cache"]] = row
    lines = []
    for (*case, _), of in found.items():
        cold, warm = of.get("cold"), of.get("warm")
        eager = found.get((*case, "torch_eager"), {}).get("warm")
        ratio = f"**{float(warm['start_seconds']) / float(eager['start_seconds']):.2f}**" if warm and eager else "–"
        row = next(iter(of.values()))
        compiling = f"{float(cold['compile_seconds']):.1f}" if cold else "–"
        seconds = [f"{float(start['start_seconds']):.1f}" if start else "–" for start in (cold, warm)]
        lines.append([*_names(row), WAYS[row["way"]], compiling, *seconds, ratio])
    columns = ["compilation, s", "first start, s", "later start, s", "later start / PyTorch eager's"]
    return "\n".join(table([*CASE, "", *columns], lines))


def draw(folder: str | Path) -> Path:
    """Windows a second of every way, a line for each case, a panel for each setting."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    rows = read_rows(Path(folder) / "results.csv", TABLES["results"])
    settings = _unique(rows, "setting")
    labels = list(dict.fromkeys(_label(row) for row in rows))
    places = {label: number for number, label in enumerate(labels)}
    figure = Figure(layout="constrained", figsize=(4.2 + 4.6 * len(settings), 2.4 + 0.4 * len(labels)))
    panels = list(figure.subplots(1, len(settings), squeeze=False, sharex=True, sharey=True).flat)
    for panel, setting in zip(panels, settings, strict=True):
        chosen = [row for row in rows if row["setting"] == setting]
        for case in cases(chosen):
            of = {row["way"]: float(row["windows_per_second"]) for row in case}
            place, own, peer = places[_label(case[0])], fastest(of, OURS), fastest(of, PEERS)
            if own and peer:
                note = {"xytext": (9, 0), "textcoords": "offset points", "va": "center", "fontsize": 8}
                panel.annotate(f"{of[own] / of[peer]:.2f} ×", (max(of[own], of[peer]), place), **note)
        for way, (colour, marker) in STYLES.items():
            points = [(float(row["windows_per_second"]), places[_label(row)]) for row in chosen if row["way"] == way]
            if points:
                style = {"color": colour, "marker": marker, "label": WAYS[way], "s": 34, "alpha": 0.9, "zorder": 3}
                panel.scatter(*zip(*points, strict=True), **style)
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter("{x:,g}")
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.margins(x=0.17)
        panel.set_xlabel("windows a second")
        panel.set_title(SETTINGS[setting], fontsize=10)
        panel.grid(alpha=0.3)
    panels[0].set_yticks(range(len(labels)), labels)
    panels[0].invert_yaxis()
    handles: dict[str, Any] = {}
    for panel in panels:
        handles |= {label: handle for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False)
    best = "; ×: our best against the fastest of the others" if any(row["way"] in PEERS for row in rows) else ""
    figure.suptitle(f"Speed on this machine{best}", fontsize=11)
    file = Path(folder) / "throughput.png"
    return save_figure(figure, file)


def cases(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of the same network at the same task, together."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault((*_place(row), row["network"]), []).append(row)
    return list(found.values())


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table with columns of even width."""
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    padded = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in (head, *lines)]
    padded.insert(1, "-|-".join("-" * width for width in widths))
    return [f"| {line} |" if number != 1 else f"|-{line}-|" for number, line in enumerate(padded)]


def _names(row: Row) -> list[str]:
    return [f"{TITLES[row['network']]}, {SIZES[row['size']].title}", TASKS[row["task"]], row["batch"]]


def _label(row: Row) -> str:
    network, task, batch = _names(row)
    return f"{network}\n{task}, batch {batch}"


def _place(row: Row) -> tuple[str, str, str]:
    return row["size"], row["task"], row["batch"]


def _number(text: str) -> str:
    value = float(text)
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _unique(rows: Sequence[Row], column: str) -> list[str]:
    return list(dict.fromkeys(row[column] for row in rows))
