"""The figure of the pooled features of test windows, by t-SNE (extra ``experiments``)."""

import warnings
from pathlib import Path

import numpy as np

from drsn_jax.core.errors import FileWarning, UserError
from drsn_jax.core.plotting import save_figure, subplots
from drsn_jax.studies.comparison_results import feature_files, read_features
from drsn_jax.studies.comparison_tables import TITLES, noise_name
from drsn_jax.studies.figure_titles import about, add_title, results_of

LEGEND = 64  # classes that a legend names: so many can be told apart by colour and marker
# the palette of Okabe & Ito, and as many markers
CLASS_COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
MARKERS = ("o", "s", "^", "v", "D", "P", "X", "*")


def _class_style(number: int) -> dict[str, str]:
    """Return the colour and the marker of a class. The colours repeat after eight classes, each time with the next marker, so
    that 64 classes can be told apart."""
    turn, colour = divmod(number, len(CLASS_COLOURS))
    return {"color": CLASS_COLOURS[colour], "marker": MARKERS[(colour + turn) % len(MARKERS)]}


def tsne_figure(folder: str | Path, iterations: int = 1000) -> list[Path]:
    """Draw the pooled features of test windows by t-SNE, a panel for each network whose features were kept, coloured by class.

    Distances between far groups, and the sizes of groups, mean nothing in such a figure. ``iterations`` are those of t-SNE.
    Return the file in a list, which is empty if no features were kept or there are fewer than three windows.

    Source: van der Maaten and Hinton, JMLR 9, 2008.
    """
    files, found = feature_files(folder), {}
    for network, file in sorted(files.items(), key=_order):
        try:
            found[network] = read_features(file)
        except UserError as error:
            warnings.warn(f"{error}; the picture of the features is drawn without it", FileWarning, stacklevel=2)
    if not found:
        return []
    columns = min(3, len(found))
    rows = -(-len(found) // columns)
    width = 3.6 * columns + 0.4
    every_class = next(iter(found.values()))[2]
    named = every_class[:LEGEND]
    # a name takes about 0.085 inch a letter beside its marker and gap; a legend of more columns than fit would be cut
    fitting = max(1, min(8, len(named), int(width / (0.6 + 0.085 * max(map(len, named))))))
    below = 0.22 * -(-len(named) // fitting)
    figure, panels = subplots(rows, columns, figsize=(width, 3.5 * rows + 0.7 + below))
    for panel in panels[len(found) :]:
        panel.set_axis_off()
    for panel, (network, (features, labels, names)) in zip(panels, found.items(), strict=False):
        if len(features) < 3:
            return []
        places = tsne(features, iterations)
        for number, name in enumerate(names):
            x, y = places[labels == number].T
            panel.scatter(x, y, s=9, linewidth=0, alpha=0.8, label=name, **_class_style(number))
        panel.set_title(TITLES.get(network, network), fontsize=11)
        panel.set_xticks([])
        panel.set_yticks([])
    handles = list(panels[0].collections)[:LEGEND]
    shown = [str(number) for number in range(len(handles))]
    options = {"ncols": fitting, "frameon": False, "markerscale": 2, "fontsize": 9}
    legend = figure.legend(handles, shown, loc="outside lower center", **options)
    # named afterwards, because matplotlib leaves out what begins with "_"
    for text, name in zip(legend.get_texts(), named, strict=False):
        text.set_text(name)
    if len(every_class) > LEGEND:
        legend.set_title(f"the first {LEGEND} of {len(every_class)} classes")
    tested = list(dict.fromkeys(map(noise_name, results := results_of(folder))))[:1]
    title = f"Pooled features of test windows, t-SNE{f', {tested[0]}' if tested else ''}"
    add_title(figure, title, about(folder, results), width)
    return [save_figure(figure, Path(folder) / "features.png")]


def tsne(features: np.ndarray, iterations: int = 1000) -> np.ndarray:
    """Embed features ``(n, channels)`` of at least three windows in the plane by t-SNE, ``(n, 2)``.

    The seed is fixed; ``iterations`` must be at least 250. Needs scikit-learn (extra ``experiments``).
    """
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(features) - 1) / 3)
    # every channel is scaled to unit variance, so that none counts for more than others; constant channels are left out
    spread = features.std(0)
    scaled = (features - features.mean(0))[:, spread > 0] / spread[spread > 0]
    if scaled.shape[1] < 2:  # with one channel or none there is nothing to embed
        return np.pad(scaled, ((0, 0), (0, 2 - scaled.shape[1])))
    return TSNE(2, perplexity=perplexity, init="pca", max_iter=iterations, random_state=0).fit_transform(scaled)


def _order(item: tuple[str, Path]) -> tuple[int, str]:
    names = list(TITLES)
    return (names.index(item[0]) if item[0] in names else len(names), item[0])
