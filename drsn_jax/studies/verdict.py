"""The table of a run with what must be said below it: where the best method of a comparison is no network."""

from collections.abc import Collection, Sequence
from pathlib import Path

from drsn_jax.studies.comparison_results import config_of
from drsn_jax.studies.comparison_tables import TITLES, Line, markdown, summarise


def table_and_verdict(folder: Path, networks: Collection[str]) -> str:
    """Return the table of the run in a folder as Markdown and, where that is so, a sentence that no network pays.

    ``networks`` are the names of its networks. Nothing is said of a dry run, whose numbers mean nothing.
    """
    lines = summarise(folder)
    told = "" if config_of(folder).get("dry_run") else simpler_is_better(lines, networks)
    return "\n\n".join(filter(None, (markdown(lines), told)))


def simpler_is_better(lines: Sequence[Line], networks: Collection[str]) -> str:
    """Return a sentence where a method that is no network has the highest mean test accuracy of a comparison, else nothing.

    ``lines`` are those of its table, of which those that are not of ``networks`` are of simpler methods. The test decides nothing
    by this: which network is kept, held-out windows decide.
    """
    trained = [line for line in lines if line.network in networks]
    others = [line for line in lines if line.network not in networks]
    if not trained or not others:
        return ""
    network, other = (max(group, key=lambda line: line.test) for group in (trained, others))
    if not round(other.test, 1) > round(network.test, 1):  # as they are told
        return ""
    return (
        f"No network pays here: {TITLES.get(other.network, other.network)} has {other.test:.1f} % in the mean over the tests, "
        f"{TITLES.get(network.network, network.network)}, the best network, {network.test:.1f} %. More epochs or recordings may "
        "change that; else take the simpler method."
    )
