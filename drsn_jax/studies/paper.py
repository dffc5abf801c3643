"""Test accuracies of the paper's networks, to draw beside ours.

They are read off its bar charts (Figs 6-8), to about 0.3 points. The paper trained and tested in the same kind and level of
noise, on eight classes and 28,800 windows of recordings that are not public, in ten folds of random windows.

Source: Zhao et al., IEEE Trans. Ind. Informatics 16(7), 2020.
"""

LEVELS_DB = tuple(float(level) for level in range(-5, 6))
PROTOCOL = "by random-windows"  # the split of the paper; only runs with this split are comparable

# kind of noise → network → accuracy in % at each of LEVELS_DB
TEST_ACCURACY: dict[str, dict[str, tuple[float, ...]]] = {
    "gaussian": {
        "convnet": (64.2, 69.2, 72.2, 72.9, 79.5, 81.3, 83.9, 85.2, 85.9, 88.7, 90.7),
        "resnet": (70.4, 75.5, 78.9, 82.7, 85.8, 89.2, 90.9, 92.4, 93.3, 95.0, 95.7),
        "drsn_cs": (74.9, 78.7, 81.6, 85.6, 88.6, 91.3, 93.3, 94.3, 95.5, 96.1, 97.0),
        "drsn_cw": (76.1, 80.4, 84.6, 87.2, 88.7, 92.1, 94.1, 95.0, 95.8, 96.7, 97.5),
    },
    "laplacian": {
        "convnet": (42.6, 54.9, 64.8, 72.4, 79.3, 82.8, 85.8, 88.3, 90.0, 91.6, 94.4),
        "resnet": (61.1, 69.2, 74.6, 80.2, 85.0, 89.0, 92.0, 94.4, 96.4, 97.7, 97.7),
        "drsn_cs": (64.5, 72.1, 79.2, 83.5, 88.4, 91.6, 94.1, 96.0, 97.8, 97.8, 98.4),
        "drsn_cw": (66.2, 74.2, 80.4, 85.6, 89.5, 92.1, 94.3, 96.7, 97.5, 98.0, 98.6),
    },
    "pink": {
        "convnet": (35.3, 57.3, 54.8, 71.0, 77.7, 84.1, 89.0, 90.4, 94.6, 94.4, 96.0),
        "resnet": (60.7, 70.5, 77.6, 83.6, 89.5, 92.7, 94.9, 96.9, 97.5, 98.4, 98.3),
        "drsn_cs": (60.2, 74.7, 81.8, 87.5, 92.1, 94.7, 96.7, 97.8, 98.1, 98.6, 99.0),
        "drsn_cw": (66.1, 76.2, 83.3, 89.0, 93.0, 95.3, 97.0, 97.5, 98.7, 98.7, 98.9),
    },
}


def paper_accuracy(kind: str, network: str, snr_db: float) -> float | None:
    """Return the paper's test accuracy in %, or None if the paper has none for this noise and network."""
    accuracies = TEST_ACCURACY.get(kind, {}).get(network)
    return None if accuracies is None or snr_db not in LEVELS_DB else accuracies[LEVELS_DB.index(snr_db)]
