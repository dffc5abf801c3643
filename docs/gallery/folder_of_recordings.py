# %% [markdown]
# # A folder of recordings
#
# From files to a diagnosis, in Python: WAV files in a folder for each class are read, split by recording, and a small network
# of band energies is trained in noise. It is kept as a bundle, loaded again, and asked about a file that it has not seen. The
# files are those of a simulated drivetrain, written on the spot. `experiments/fault_diagnosis.py` and `experiments/diagnose.py`
# do the same from the command line, with calibration, checks of the files and a report.

# %%
import os
import tempfile
from pathlib import Path

import jax
import numpy as np
import soundfile

import drsn_jax as d

QUICK = "DRSN_JAX_QUICK" in os.environ  # a short form, for tests
LENGTH = 512 if QUICK else 2048
EPOCHS = 1 if QUICK else 30
STATES = ("healthy", "inner race", "missing tooth")

# %% [markdown]
# The files, `healthy/0.wav` and so on. The last recording of each class at one speed and load is kept apart as the new file.

# %%
folder = Path(tempfile.mkdtemp())
made = d.data.drivetrain_recordings(recordings=3, windows=2 if QUICK else 6, window_length=LENGTH)
new = {}
for number, recording in enumerate(recording for recording in made if recording.label in STATES):
    samples = 0.1 * (recording.signal - recording.signal.mean()) / recording.signal.std()
    file = folder / ("data" if number % 3 < 2 else "new") / recording.label / f"{number}.wav"
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file, samples, int(recording.sampling_rate), subtype="FLOAT")
    if number % 3 == 2:
        new[recording.label] = file
print(sum(1 for _ in folder.glob("data/*/*.wav")), "files in", sorted(path.name for path in (folder / "data").iterdir()))

# %% [markdown]
# Read and split. The sampling rate stands in the files; a folder of files that hold none needs `sampling_rate=`. The split by
# recording tests on recordings that were not trained on.

# %%
recordings = d.data.read_folder(folder / "data")
fold = d.data.make_folds(recordings, "recording", window_length=LENGTH, train_stride=LENGTH // 2, folds=3)[0]()
classes = tuple(sorted({recording.label for recording in recordings}))
print(len(recordings), "recordings at", recordings[0].sampling_rate, "Hz;", len(fold.train.windows), "windows to train on")

# %%
network = d.band_energy_tiny(classes=len(classes), standardise=True)
batches = d.Batches(fold.train.windows, fold.train.labels, batch_size=32)
optimizer = d.one_cycle_optimizer(EPOCHS * batches.steps)
step = jax.jit(d.make_train_step(network, optimizer, noise=d.Noise("gaussian", (-5.0, 20.0))), donate_argnums=0)
state = d.create_state(network, optimizer, jax.random.key(0), fold.train.windows)
for epoch in d.fit(step, state, batches, epochs=EPOCHS):
    state = epoch.state
metrics = d.evaluation.evaluate(jax.jit(d.make_eval_step(network)), state.variables, fold.test.windows, fold.test.labels)
right = metrics["correct"] / metrics["count"]
print(f"{100 * epoch.accuracy:.1f} % of the training windows in noise, {100 * right:.1f} % of the test windows")

# %% [markdown]
# Kept, loaded and asked. A bundle holds the network, its variables, the names of the classes and what the windows were.

# %%
rate = recordings[0].sampling_rate
bundle = d.Bundle(network, state.variables, classes, window_length=LENGTH, sampling_rate=rate, stride=LENGTH)
d.save(folder / "model", bundle)
model = d.load(folder / "model")
for label, file in new.items():
    signal, sampling_rate = d.data.read_file(file)
    found = model.diagnose(signal, sampling_rate)
    print(f"{file.name}, in truth {label}: {found.label}, probability {found.probability:.0%}, {found.agreement:.0%} agree")
    noisy = np.asarray(d.add_noise(jax.random.key(1), signal - signal.mean(), 0.0))
    print(f"    in noise of 0 dB: {model.diagnose(noisy, sampling_rate).label}")
assert set(model.classes) == set(STATES)
