# %% [markdown]
# # Noise at an exact SNR, and what the thresholds do with it
#
# Five kinds of noise are added to a window of a simulated drivetrain, each at the SNR that is asked for. Then a small DRSN-CW
# is trained in noise, and its thresholds are read at several levels.

# %%
import os
from pathlib import Path

import jax
import numpy as np

import drsn_jax as d

QUICK = "DRSN_JAX_QUICK" in os.environ  # a short form, for tests
STATES = ("healthy", "outer race", "broken tooth")
LENGTH = 512 if QUICK else 2048
EPOCHS = 2 if QUICK else 30

recordings = d.data.drivetrain_recordings(recordings=2, windows=2 if QUICK else 8, window_length=LENGTH)
recordings = [recording for recording in recordings if recording.label in STATES]
fold = d.data.make_folds(recordings, "recording", window_length=LENGTH, train_stride=LENGTH, folds=2)[0]()
print(len(fold.train.windows), "windows to train on,", len(fold.test.windows), "to test on, of other recordings")

# %% [markdown]
# The order is always the same: first the mean is removed (as `make_folds` has done), because the SNR counts the power of the
# window as it is given and an offset would count as signal; then the noise is added. Each window gets exactly the SNR that is
# asked for.

# %%
window = fold.test.windows[fold.test.labels == 2][0]
noisy = {}
for kind in d.functional.NOISE_KINDS:
    noisy[kind] = np.asarray(d.add_noise(jax.random.key(1), window, -5.0, kind))
    noise = noisy[kind] - window
    peak = np.abs(noise).max() / noise.std()
    measured = float(d.measure_snr_db(window, noise))
    print(f"{kind:16} asked -5 dB, measured {measured:.3f} dB, largest value {peak:4.1f} standard deviations")
    assert abs(measured + 5) < 0.01

# %% [markdown]
# A network of four units, trained in Gaussian noise of -10 to 10 dB, which is drawn anew for every window and step.

# %%
network = d.drsn_cw(classes=3, widths=(8, 16), units=(2, 2), standardise=True)
batches = d.Batches(fold.train.windows, fold.train.labels, batch_size=24)
optimizer = d.one_cycle_optimizer(EPOCHS * batches.steps, 1e-2)
step = jax.jit(d.make_train_step(network, optimizer, noise=d.Noise("gaussian", (-10.0, 10.0))), donate_argnums=0)
state = d.create_state(network, optimizer, jax.random.key(0), fold.train.windows)
for epoch in d.fit(step, state, batches, epochs=EPOCHS):
    state = epoch.state
print(f"after {EPOCHS} epochs: loss {epoch.loss:.3f}, accuracy {epoch.accuracy:.3f} on the training windows in noise")

# %% [markdown]
# What the thresholds do: the share α of the mean magnitude that becomes the threshold, and the share of features that it sets
# to zero, as means over all units, for the same windows in more and more noise.

# %%
LEVELS = (np.inf, 10.0, 5.0, 0.0, -5.0, -10.0)
table = []
for snr_db in LEVELS:
    windows = fold.test.windows if np.isinf(snr_db) else d.add_noise_once(jax.random.key(2), fold.test.windows, snr_db)
    units = d.evaluation.thresholds(network, state.variables, np.asarray(windows))
    logits = np.asarray(network.apply(state.variables, windows, train=False))
    right = np.mean(logits.argmax(-1) == fold.test.labels)
    table.append((np.mean([u.alpha.mean() for u in units]), np.mean([u.zeros.mean() for u in units]), right))
    print(f"{snr_db:5} dB: α {table[-1][0]:.2f}, zeros {100 * table[-1][1]:.0f} %, accuracy {100 * right:.0f} %")

# %%
if folder := os.environ.get("DRSN_JAX_FIGURES"):
    from drsn_jax.core.plotting import COLOURS, save_figure, subplots

    shown = 256
    figure, panels = subplots(2, 3, figsize=(7.2, 3.2), sharex=True, sharey=True)
    milliseconds = 1e3 * np.arange(shown) / recordings[0].sampling_rate
    for panel, (name, signal) in zip(panels, {"without noise": window, **noisy}.items(), strict=True):
        panel.plot(milliseconds, signal[:shown, 0] / window.std(), color="0.6", linewidth=0.6)
        panel.plot(milliseconds, window[:shown, 0] / window.std(), color=COLOURS["drsn_cw"], linewidth=0.9)
        panel.set_title(name if signal is window else f"{name.replace('_', ' ')}, -5 dB", loc="left", fontsize=9)
        panel.set_ylim(-9, 9)
        panel.tick_params(labelsize=8)
    for panel in panels[3:]:
        panel.set_xlabel("time, ms", fontsize=9)
    print(save_figure(figure, Path(folder) / "noise.png"))

    figure, (shares,) = subplots(1, 1, figsize=(5.6, 2.6))
    for number, (name, colour) in enumerate((("α", "drsn_cw"), ("zeros", "resnet"), ("accuracy", "senet"))):
        shares.plot([100 * row[number] for row in table], "o-", color=COLOURS[colour], label=name)
    shares.set_xticks(range(len(LEVELS)), ["clean", *(f"{level:g}" for level in LEVELS[1:])])
    shares.set_xlabel("SNR, dB")
    shares.set_ylabel("%")
    shares.set_ylim(0, 102)
    shares.legend(fontsize=8, frameon=False, ncols=3)
    print(save_figure(figure, Path(folder) / "thresholds.png"))

    import soundfile

    # without noise, then in Gaussian noise of 10, 0 and -10 dB, all equally loud
    stretch = recordings[-1].signal[:8_000]
    stretch = stretch - stretch.mean()
    heard = [stretch] + [np.asarray(d.add_noise(jax.random.key(3), stretch, level)) for level in (10.0, 0.0, -10.0)]
    sound = np.concatenate([0.12 * part[:, 0] / part.std() for part in heard])
    soundfile.write(Path(folder) / "noise.wav", sound.clip(-1, 1), int(recordings[-1].sampling_rate))
    print(Path(folder) / "noise.wav")
