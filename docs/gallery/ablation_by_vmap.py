# %% [markdown]
# # An ablation by vmap
#
# What does it matter at which level of noise a network was trained? Five trainings and every level of the test answer it, in
# two compiled programs: an `Ensemble` is the training step under `jax.vmap`, and `noise_grid` maps an evaluation over levels
# and repeats.

# %%
import operator
import os
from pathlib import Path

import jax
import numpy as np

import drsn_jax as d

QUICK = "DRSN_JAX_QUICK" in os.environ  # a short form, for tests
LENGTH = 512 if QUICK else 2048
STATES = ("healthy", "outer race", "root crack", "broken tooth")
EPOCHS = 1 if QUICK else 30

recordings = d.data.drivetrain_recordings(recordings=2, windows=2 if QUICK else 6, window_length=LENGTH)
recordings = [recording for recording in recordings if recording.label in STATES]
fold = d.data.make_folds(recordings, "recording", window_length=LENGTH, train_stride=LENGTH, folds=2)[0]()
print(len(fold.train.windows), "windows to train on,", len(fold.test.windows), "to test on")

# %% [markdown]
# The members differ in nothing but the noise of their training: the same seed gives them the same first weights and the same
# order of windows.

# %%
TRAINED = {
    "at -5 dB": d.Noise("gaussian", -5.0),
    "at 0 dB": d.Noise("gaussian", 0.0),
    "at 5 dB": d.Noise("gaussian", 5.0),
    "clean": d.Noise(),
    "-5 to 5 dB": d.Noise("gaussian", (-5.0, 5.0)),
}
members = [d.Member(seed=0, noise=noise) for noise in TRAINED.values()]
network = d.drsn_cw(classes=len(STATES), widths=(8, 16), units=(1, 1), standardise=True)
ensemble = d.Ensemble(
    network, members, examples=len(fold.train.windows), epochs=EPOCHS, batch_size=32, optimizer=d.one_cycle_optimizer
)
for epoch in ensemble.fit(fold.train.windows, fold.train.labels):
    variables, losses = epoch.state.variables, epoch.loss
print("loss of each member after", EPOCHS, "epochs:", np.round(losses, 2))

# %% [markdown]
# Every member in noise of every level. The variables of the members lie behind one another, so that `array[i]` is that of
# member i; the evaluation is compiled for the first of them.

# %%
LEVELS = (-10.0, -5.0, 0.0, 5.0, 10.0)
accuracy = []
for i, name in enumerate(TRAINED):
    own = jax.tree.map(operator.itemgetter(i), variables)
    grid = d.noise_grid(network, own, fold.test.windows, fold.test.labels, snr_db=LEVELS, repeats=2)
    accuracy.append(100 * grid.accuracy[0].mean(-1))
    print(f"trained {name:11} tested at", dict(zip(LEVELS, accuracy[-1].round(1).tolist(), strict=True)))
accuracy = np.array(accuracy)
assert accuracy.shape == (5, 5)

# %% [markdown]
# One seed on a simulated machine: see it as an example of the method. A comparison that is meant has several seeds,
# `Member(seed=1)` and so on, and its differences with an interval, as `experiments/noise_ablation.py` makes them.

# %%
if folder := os.environ.get("DRSN_JAX_FIGURES"):
    from drsn_jax.core.plotting import save_figure, subplots

    figure, (panel,) = subplots(1, 1, figsize=(5.6, 3.0))
    panel.imshow(accuracy, vmin=25, vmax=100, cmap="Blues", aspect="auto")
    for (row, column), value in np.ndenumerate(accuracy):
        panel.text(column, row, f"{value:.0f}", ha="center", va="center", color="white" if value > 70 else "black", fontsize=9)
    panel.set_xticks(range(len(LEVELS)), [f"{level:g} dB" for level in LEVELS])
    panel.set_yticks(range(len(TRAINED)), list(TRAINED))
    panel.set_xlabel("tested in Gaussian noise of")
    panel.set_ylabel("trained")
    panel.set_title("test accuracy, %", loc="left", fontsize=10)
    print(save_figure(figure, Path(folder) / "ablation.png"))
