"""What is said below the table of a run, from hand-written files."""

import json

import pytest

from drsn_jax.studies.comparison_tables import Line, markdown, summarise
from drsn_jax.studies.verdict import simpler_is_better, table_and_verdict

NETWORKS = ("resnet", "drsn_cw")


def run(folder, accuracies, **config):
    """Write what a run with these test accuracies leaves."""
    head = "network,parameters,noise,snr_db,fold,seed,train_accuracy,test_accuracy\n"
    rows = [
        f"{name},9,gaussian,{snr_db},0,0,1.0,{share}\n" for name, pair in accuracies.items() for snr_db, share in pair.items()
    ]
    (folder / "results.csv").write_text(head + "".join(rows))
    for name, columns in (("by_recording", "recording,windows,correct"), ("timings", "training_seconds")):
        (folder / f"{name}.csv").write_text(f"network,noise,snr_db,fold,seed,{columns}\n")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_simpler_method_that_is_ahead_in_the_mean_is_named_with_both_figures(tmp_path):
    spectrum, drsn, resnet = {-5: 0.7, 5: 0.9}, {-5: 0.8, 5: 0.78}, {-5: 0.5, 5: 0.5}
    folder = run(tmp_path, {"spectrum_logistic": spectrum, "resnet": resnet, "drsn_cw": drsn})
    table, told = table_and_verdict(folder, NETWORKS).rsplit("\n\n", 1)
    assert table == markdown(summarise(folder))
    assert told.startswith("No network pays here: spectrum + logistic regression has 80.0 % in the mean over the tests, DRSN-CW")
    assert "the best network, 79.0 %" in told


@pytest.mark.parametrize("share", [0.8, 0.79, 0.8004])
def test_nothing_is_said_where_a_network_is_as_good(tmp_path, share):
    folder = run(tmp_path, {"spectrum_logistic": {-5: share}, "resnet": {-5: 0.5}, "drsn_cw": {-5: 0.8}})
    assert table_and_verdict(folder, NETWORKS) == markdown(summarise(folder))


def test_nothing_is_said_of_a_dry_run(tmp_path):
    folder = run(tmp_path, {"spectrum_logistic": {-5: 0.9}, "resnet": {-5: 0.5}}, dry_run=True)
    assert table_and_verdict(folder, NETWORKS) == markdown(summarise(folder))


def test_one_kind_of_method_alone_is_compared_with_nothing(tmp_path):
    lines: list[Line] = summarise(run(tmp_path, {"spectrum_logistic": {-5: 0.9}, "drsn_cw": {-5: 0.5}}))
    assert simpler_is_better(lines, NETWORKS)
    assert (
        simpler_is_better(lines[:1], NETWORKS) == simpler_is_better(lines[1:], NETWORKS) == simpler_is_better([], NETWORKS) == ""
    )
