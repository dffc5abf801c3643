# %% [markdown]
# # Two splits
#
# The same recordings and the same methods, split in two ways. Random windows put windows of one recording on both sides, so
# that a method is tested on machines that it has seen. A split by recording does not. The difference is what such a test
# flatters.

# %%
import os
from pathlib import Path

import jax
import numpy as np

import drsn_jax as d

QUICK = "DRSN_JAX_QUICK" in os.environ  # a short form, for tests
LENGTH = 512 if QUICK else 2048
EPOCHS = 1 if QUICK else 40
BATCH_SIZE = 32

# %% [markdown]
# A simulated drivetrain in 8 health states at one speed and load: 4 recordings of each state, each of a machine and a sensor of
# its own.

# %%
recordings = d.data.drivetrain_recordings(recordings=4, windows=4 if QUICK else 8, window_length=LENGTH)
recordings = [recording for recording in recordings if recording.condition == "30 Hz, 6 lb·ft"]
folds = {}
for split in ("random-windows", "recording"):
    fold = d.data.make_folds(recordings, split, window_length=LENGTH, train_stride=LENGTH, folds=4)[0]()
    shared = np.isin(fold.test.recordings, fold.train.recordings).mean()
    folds[split] = fold
    print(f"{split:14}: {len(fold.train.windows)} windows to train on, {len(fold.test.windows)} to test on,", end=" ")
    print(f"{100 * shared:.0f} % of which are of recordings that were trained on")
accuracies = {}

# %% [markdown]
# A method that learns nothing but what it was shown: the class of the training window whose average spectrum is nearest.


# %%
def spectrum(windows):
    """The average log spectrum of windows (n, length, 1) over stretches of 256 samples."""
    stretches = (windows / windows.std(1, keepdims=True)).reshape(len(windows), -1, 256) * np.hanning(256)
    return np.log(np.abs(np.fft.rfft(stretches)) ** 2 + 1e-6).mean(1)


for split, fold in folds.items():
    near = np.linalg.norm(spectrum(fold.test.windows)[:, None] - spectrum(fold.train.windows), axis=-1).argmin(1)
    accuracies["nearest spectrum", split] = float(np.mean(fold.train.labels[near] == fold.test.labels))

# %% [markdown]
# Two networks: a small DRSN-CW, which sees raw windows, and one of energies in frequency bands. Both are trained in Gaussian
# noise of 0 to 20 dB, and tested without noise. One compiled step serves both splits, because their batches have one shape.

# %%
networks = {
    "DRSN-CW, small": (d.drsn_cw(classes=8, widths=(8, 16), units=(1, 1), standardise=True), 1e-2),
    "band energies, tiny": (d.band_energy_tiny(classes=8, standardise=True), 3e-3),
}
for name, (network, rate) in networks.items():
    optimizer = d.one_cycle_optimizer(EPOCHS * len(folds["recording"].train.windows) // BATCH_SIZE, rate)
    step = jax.jit(d.make_train_step(network, optimizer, noise=d.Noise("gaussian", (0.0, 20.0))), donate_argnums=0)
    evaluate = jax.jit(d.make_eval_step(network))
    for split, fold in folds.items():
        state = d.create_state(network, optimizer, jax.random.key(0), fold.train.windows)
        for epoch in d.fit(step, state, d.Batches(fold.train.windows, fold.train.labels, BATCH_SIZE), epochs=EPOCHS):
            state = epoch.state
        metrics = d.evaluation.evaluate(evaluate, state.variables, fold.test.windows, fold.test.labels)
        accuracies[name, split] = float(metrics["correct"] / metrics["count"])

# %% [markdown]
# The accuracies. One seed and eight test recordings, so that their size is that of this example. What holds beyond it: a leak
# does not flatter all methods alike, so it changes which one seems best.

# %%
for name in ("nearest spectrum", *networks):
    leaking, honest = (100 * accuracies[name, split] for split in folds)
    print(f"{name:20} random windows {leaking:5.1f} %, by recording {honest:5.1f} %, flattered by {leaking - honest:.1f} points")
assert not np.isin(folds["recording"].test.recordings, folds["recording"].train.recordings).any()

# %%
if folder := os.environ.get("DRSN_JAX_FIGURES"):
    from drsn_jax.core.plotting import COLOURS, save_figure, subplots

    figure, panels = subplots(1, 2, figsize=(8.4, 2.6), sharey=True)
    titles = {"random-windows": "random windows", "recording": "by recording"}
    for panel, (split, fold) in zip(panels, folds.items(), strict=True):
        for row in range(8):
            sides = [False] * int((fold.train.recordings == row).sum()) + [True] * int((fold.test.recordings == row).sum())
            # random windows lie anywhere in a recording; where they lie does not matter for the picture
            for place, tested in enumerate(np.random.default_rng(row).permutation(sides)):
                panel.barh(row, 0.94, left=place, color=COLOURS["resnet" if tested else "drsn_cs"], height=0.7)
        panel.set_title(titles[split], loc="left", fontsize=10)
        panel.set_xlabel("its windows (blue: trained on, orange: tested)", fontsize=9)
        panel.set_xticks([])
        panel.set_yticks(range(8), [f"recording {number + 1}" for number in range(8)], fontsize=8)
        panel.spines[["top", "right", "bottom"]].set_visible(False)
    panels[0].invert_yaxis()
    print(save_figure(figure, Path(folder) / "two_splits.png"))
