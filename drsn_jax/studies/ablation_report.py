"""The report of an ablation: sentences that its numbers support, and a page with these and the figures."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drsn_jax.core import page
from drsn_jax.core.files import write_atomically
from drsn_jax.core.runtime import versions
from drsn_jax.evaluation.metrics import Interval, t_interval
from drsn_jax.studies.ablation_figures import (
    RESULTS,
    RULE_TITLES,
    Row,
    label,
    levels,
    matched,
    mean,
    rows_of_rules,
    rows_of_thresholds,
)
from drsn_jax.studies.ablation_plan import NO_RULE, TABLES
from drsn_jax.studies.tables import read_rows, unique

TITLES = {
    "levels": "Trained at one level, tested at all",
    "kinds": "Trained on one kind of noise, tested on the others",
    "range": "Trained clean, at one level, or on a range of levels",
    "rules": "Which rule of thresholding",
    "thresholds": "What the thresholds do",
    "window": "One window before and after the thresholds",
}


def sentences(folder: str | Path) -> dict[str, list[str]]:
    """Return the sentences that say what each figure shows, by the name of the figure in ``ablation_figures.draw_all``."""
    rows = read_rows(Path(folder) / "results.csv", TABLES["results"], (*RESULTS, "windows"))
    soft = [row for row in rows if row["rule"] == "soft"]
    by_figure = {
        "levels": _levels(soft),
        "kinds": _kinds(soft),
        "range": _range(soft),
        "rules": _rules(rows),
        "thresholds": _thresholds(rows_of_thresholds(folder)),
    }
    return {name: texts for name, texts in by_figure.items() if texts}


def compare(one: Sequence[Row], other: Sequence[Row]) -> Interval:
    """Return the difference of accuracy, ``one`` minus ``other``, in percentage points, with a 95 % interval.

    It is the mean over the test conditions that both have. With several seeds the interval is that of Student's t over the seeds.
    With one seed it is that of a difference of two shares of so many windows, which is rather too narrow, because the windows of
    one recording are not independent. Both numbers are NaN if there is no common condition.
    """
    pairs = [
        (a, b) for a in one for b in other if all(a[column] == b[column] for column in ("seed", "test_noise", "test_snr_db"))
    ]
    difference = lambda some: 100 * float(np.mean([float(a["accuracy"]) - float(b["accuracy"]) for a, b in some]))  # noqa: E731
    by_seed = [difference([p for p in pairs if p[0]["seed"] == seed]) for seed in unique([a for a, _ in pairs], "seed")]
    if not by_seed:
        return Interval(math.nan, math.nan)
    if len(by_seed) > 1:
        return t_interval(by_seed)
    error = 0.0
    for rows in zip(*pairs, strict=True):
        share, windows = float(np.mean([float(r["accuracy"]) for r in rows])), int(rows[0]["windows"])
        error += share * (1 - share) / windows
    return Interval(by_seed[0], 196 * math.sqrt(error))


def verdict(found: Interval) -> str:
    """Return a difference in words, as the middle of a sentence: above, below, or not told apart."""
    if math.isnan(found.mean):
        return "cannot be compared with"
    points = f"{abs(found.mean):.1f} points (± {found.half_width:.1f})"
    if abs(found.mean) <= max(found.half_width, 0.05):  # a difference that would be written as 0.0
        return f"cannot be told apart ({found.mean:+.1f} ± {found.half_width:.1f} points) from"
    return f"is {points} {'above' if found.mean > 0 else 'below'}"


def write_report(folder: str | Path, figures: Mapping[str, Path], settings: Mapping[str, Any], *, findings: bool = True) -> Path:
    """Write ``report.html`` into the folder and return its path; the figures are part of the file, so that it opens offline.

    ``settings`` are facts about the run by name, to which the date and the versions of packages are added. Without ``findings``,
    as for a dry run, the page says that its numbers mean nothing, and has no sentences about them.
    """
    folder = Path(folder)
    by_figure = sentences(folder) if findings else {}
    parts = [] if findings else [page.paragraph("A dry run: its numbers and figures mean nothing.", strong=True)]
    for name, file in figures.items():
        parts += [page.heading(TITLES[name]), *map(page.paragraph, by_figure.get(name, []))]
        parts.append(page.image(file.read_bytes(), TITLES[name]))
    installed = ", ".join(f"{name} {version}" for name, version in versions().items())
    facts = {**settings, "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "versions": installed}
    parts += [page.heading("Settings"), page.facts({name: readable(value) for name, value in facts.items()})]
    parts.append(
        page.paragraph(
            "± is half a 95 % interval: over seeds (Student t) where there are several, else of shares of so many windows, which "
            "is rather too narrow, for windows of one recording are not independent.",
            small=True,
        )
    )
    file = folder / "report.html"
    write_atomically(file, page.page("Noise ablation", parts))
    return file


def readable(value: Any) -> str:
    """Return a value of an option as people write it: ``-5, 0, 5`` for a tuple, ``yes`` for True, ``clean`` for infinity."""
    if isinstance(value, tuple | list):
        return ", ".join(map(readable, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "clean" if value == math.inf else f"{value:g}"
    return str(value)


def _levels(rows: Sequence[Row]) -> list[str]:
    texts = []
    for kind in unique(rows, "test_noise"):
        of_kind = [row for row in rows if row["test_noise"] == kind and row["train_noise"] in (kind, "none")]
        single = [level for level in levels(of_kind, "train_snr_db") if ".." not in level and level != "inf"]
        same = [row for row in matched(of_kind) if row["train_snr_db"] in single]
        if len(single) < 2 or not same:
            continue
        shares = [100 * mean(same, "accuracy", train_snr_db=level) for level in single]
        low, high = single[0], single[-1]
        at_low = [row for row in of_kind if float(row["test_snr_db"]) == float(low)]
        other = compare([r for r in at_low if r["train_snr_db"] == high], [r for r in at_low if r["train_snr_db"] == low])
        texts.append(
            f"In {kind} noise, trained and tested at the same level, {shares[0]:.1f} % are right at {label(low)} dB and "
            f"{shares[-1]:.1f} % at {label(high)} dB; at {label(low)} dB, training at {label(high)} dB {verdict(other)} training "
            f"at {label(low)} dB."
        )
    return texts


def _kinds(rows: Sequence[Row]) -> list[str]:
    rows = [row for row in matched(rows) if row["train_noise"] != "none"]
    texts = []
    for kind in unique(rows, "train_noise"):
        for tested in unique(rows, "test_noise"):
            same = [row for row in rows if row["test_noise"] == tested and row["train_noise"] == tested]
            other = [row for row in rows if row["test_noise"] == tested and row["train_noise"] == kind]
            if kind != tested and same and other:
                difference = compare(other, same)
                texts.append(
                    f"Tested in {tested} noise, training in {kind} noise {verdict(difference)} training in {tested} noise."
                )
    return texts


def _range(rows: Sequence[Row]) -> list[str]:
    texts = []
    for kind in unique(rows, "test_noise"):
        noisy = [r for r in rows if r["test_noise"] == kind and math.isfinite(float(r["test_snr_db"]))]
        wide = [row for row in noisy if ".." in row["train_snr_db"] and row["train_noise"] == kind]
        clean = [row for row in noisy if row["train_snr_db"] == "inf"]
        if not wide:
            continue
        name = label(wide[0]["train_snr_db"])
        if clean:
            words = verdict(compare(wide, clean))
            texts.append(f"Over all noisy levels of {kind} noise, training on {name} dB {words} training clean.")
        single = [row for row in noisy if row["train_noise"] == kind and ".." not in row["train_snr_db"]]
        by_level = {level: [r for r in single if r["train_snr_db"] == level] for level in levels(single, "train_snr_db")}
        if by_level:
            best = max(by_level, key=lambda level: mean(by_level[level], "accuracy"))
            texts.append(
                f"Against the single level that does best over all of them, {label(best)} dB, training on {name} dB "
                f"{verdict(compare(wide, by_level[best]))} it."
            )
    return texts


def _rules(rows: Sequence[Row]) -> list[str]:
    others = [row for row in rows if row["rule"] != "soft"]
    texts = []
    for level in levels(others, "train_snr_db"):
        at = matched(rows_of_rules(rows, level))
        for rule in unique(at, "rule"):
            both = {row["seed"] for row in at if row["rule"] == rule} & {row["seed"] for row in at if row["rule"] == NO_RULE}
            if rule != NO_RULE and both:
                chosen, base = ([r for r in at if r["rule"] == name and r["seed"] in both] for name in (rule, NO_RULE))
                where = "clean" if level == "inf" else f"at {label(level)} dB"
                texts.append(
                    f"Trained and tested {where}, the rule {RULE_TITLES[rule]} "
                    f"({100 * mean(chosen, 'accuracy'):.1f} %) {verdict(compare(chosen, base))} no thresholds "
                    f"({100 * mean(base, 'accuracy'):.1f} %)."
                )
    return texts


def _thresholds(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    tested = levels(rows, "test_snr_db")
    zeros = [100 * mean(rows, "zeros", test_snr_db=level) for level in tested]
    alpha = [mean(rows, "alpha", test_snr_db=level) for level in tested]
    collapsed = 100 * mean(rows, "collapsed")
    texts = []
    if len(tested) > 1:
        change = round(zeros[-1], 1) - round(zeros[0], 1)
        word = "falls" if change < 0 else "rises" if change > 0 else "stays: it goes"
        last = label(tested[-1]) + ("" if tested[-1] == "inf" else " dB")
        texts.append(
            f"From {label(tested[0])} dB to {last} the share of features set to zero {word} from {zeros[0]:.1f} to "
            f"{zeros[-1]:.1f} % (mean over units), and the mean α goes from {alpha[0]:.3f} to {alpha[-1]:.3f}."
        )
    texts.append(f"{collapsed:.1f} % of all α have collapsed, that is, lie within 0.02 of 0 or 1.")
    return texts
