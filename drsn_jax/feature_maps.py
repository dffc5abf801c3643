"""Pooled features of the test windows in two dimensions, by t-SNE, beside those of other networks (the paper's Fig. 9); needs
scikit-learn and matplotlib (extra ``experiments``)."""

from pathlib import Path

import numpy as np

from drsn_jax.figures import save_figure, subplots
from drsn_jax.records import feature_files
from drsn_jax.tables import TITLES

# Okabe & Ito; beyond eight classes the marker tells them apart
COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
MARKERS = ("o", "s", "^", "v", "D", "P", "X", "*")


def draw(folder: str | Path) -> list[Path]:
    """A panel for each network whose features were kept, by class; returns the file, nothing where there are none or too few
    windows.

    Source: van der Maaten and Hinton, JMLR 9, 2008; distances between far groups, and their sizes, mean nothing.
    """
    files = feature_files(folder)
    if not files:
        return []
    columns = min(3, len(files))
    rows = -(-len(files) // columns)
    figure, panels = subplots(rows, columns, figsize=(3.6 * columns + 0.4, 3.5 * rows + 0.9))
    for panel in panels[len(files) :]:
        panel.set_axis_off()
    for panel, (network, file) in zip(panels, sorted(files.items(), key=_order), strict=False):
        with np.load(file, allow_pickle=False) as arrays:
            features, labels, names = arrays["features"], arrays["labels"], [str(name) for name in arrays["classes"]]
        if len(features) < 3:
            return []
        places = embed(features)
        for number, name in enumerate(names):
            x, y = places[labels == number].T
            style = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
            panel.scatter(x, y, s=9, linewidth=0, alpha=0.8, label=name, **style)
        panel.set_title(TITLES.get(network, network), fontsize=11)
        panel.set_xticks([])
        panel.set_yticks([])
    handles, labels_ = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels_, loc="outside lower center", ncols=min(8, len(labels_)), frameon=False, markerscale=2, fontsize=9
    )
    figure.suptitle("Pooled features of the test windows, t-SNE", fontsize=11)
    return [save_figure(figure, Path(folder) / "features.png")]


def embed(features: np.ndarray) -> np.ndarray:
    """``(n, channels)`` → ``(n, 2)`` by t-SNE, with a fixed seed; at least three windows."""
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(features) - 1) / 3)
    # channels that are the same for all windows, and none that counts for more because its numbers are large
    spread = features.std(0)
    scaled = (features - features.mean(0))[:, spread > 0] / spread[spread > 0]
    if scaled.shape[1] < 2:  # of one channel or none there is nothing to embed
        return np.pad(scaled, ((0, 0), (0, 2 - scaled.shape[1])))
    return TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(scaled)


def _order(item: tuple[str, Path]) -> tuple[int, str]:
    names = list(TITLES)
    return (names.index(item[0]) if item[0] in names else len(names), item[0])
