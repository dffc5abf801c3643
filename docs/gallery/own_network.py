# %% [markdown]
# # A network of your own
#
# A shrinkage is a Flax module. This script puts one into a small network, trains the network with it and without it on tones in
# noise, and looks at the thresholds that it sets.

# %%
import os
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np

import drsn_jax as d

QUICK = "DRSN_JAX_QUICK" in os.environ  # a short form, for tests
LENGTH, CLASSES = 256, 3
EPOCHS = 3 if QUICK else 30
LEVELS = (-15.0, -10.0, -5.0, 0.0)  # of the test, dB


def tones(count, seed):
    """Windows (count, 256, 1) of one of three tones, each at a phase of its own, and the number of the tone."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(CLASSES, size=count)
    angles = 2 * np.pi * np.array([9, 21, 40])[labels][:, None] * np.arange(LENGTH) / LENGTH + rng.uniform(0, 7, (count, 1))
    return np.asarray(jax.vmap(d.remove_mean)(np.sin(angles)[..., None]), np.float32), labels


# %% [markdown]
# The network: one convolution, one shrinkage, the mean over time of what is left. `classes` and `axis_name` are the two fields
# that the training step asks for; `shrink` is our own.


# %%
class Small(nn.Module):
    classes: int
    shrink: bool = True
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.Conv(16, (15,), strides=4)(x)
        if self.shrink:
            x = d.ChannelWiseShrinkage(axis_name=self.axis_name)(x, train)
        return nn.Dense(self.classes)(nn.relu(x).mean(1))


def accuracies_of(network, variables):
    """The share of the test windows that are recognised, at each level. The level is data, so that one compilation serves all."""

    @jax.jit
    def evaluate(variables, batch, snr_db):
        return d.make_eval_step(network, noise=d.Noise("gaussian", snr_db))(variables, batch, jax.random.key(2))

    batch = {"windows": test_windows, "labels": test_labels, "weights": np.ones(len(test_labels))}
    found = [evaluate(variables, batch, snr_db) for snr_db in LEVELS]
    return np.array([float(metrics["correct"] / metrics["count"]) for metrics in found])


# %% [markdown]
# Trained in noise of -10 to 10 dB that is drawn anew for every window, tested on windows that were not trained on. One seed:
# take the difference for an example of how to compare and not for a result.

# %%
windows, labels = tones(96 if QUICK else 480, seed=0)
test_windows, test_labels = tones(96 if QUICK else 960, seed=1)
batches = d.Batches(windows, labels, batch_size=32)
trained, accuracies = {}, {}
for shrink in (False, True):
    network: Any = Small(CLASSES, shrink)  # the annotations of the steps name the package's own Network
    optimizer = d.one_cycle_optimizer(EPOCHS * batches.steps, 1e-2)
    step = jax.jit(d.make_train_step(network, optimizer, noise=d.Noise("gaussian", (-10.0, 10.0))), donate_argnums=0)
    state = d.create_state(network, optimizer, jax.random.key(0), windows)
    for epoch in d.fit(step, state, batches, epochs=EPOCHS):
        state = epoch.state
    name = "with thresholds" if shrink else "without"
    accuracies[name] = accuracies_of(network, state.variables)
    trained[name] = network, state.variables
    print(f"{name:16}", d.parameter_count(state.params), "parameters, accuracy at -15, -10, -5, 0 dB:", accuracies[name].round(3))

# %% [markdown]
# What it does to a window: asked for the collection `thresholds`, a shrinkage stores τ, α and the share of features that became
# zero.

# %%
network, variables = trained["with thresholds"]
noisy = jax.vmap(d.Noise("gaussian", -5.0))(jax.random.split(jax.random.key(1), 32), test_windows[:32])
_, stored = jax.jit(lambda v, x: network.apply(v, x, train=False, mutable=["thresholds"]))(variables, noisy)
found = {name: np.asarray(values[0]) for name, values in stored["thresholds"]["ChannelWiseShrinkage_0"].items()}
print({name: values.shape for name, values in found.items()})
alpha, zeros = found["alpha"], found["zeros"]
print(f"α from {alpha.min():.2f} to {alpha.max():.2f}, {zeros.mean():.0%} of the features are zero")
assert (found["threshold"] >= 0).all()
assert ((alpha > 0) & (alpha < 1)).all()

# %%
if folder := os.environ.get("DRSN_JAX_FIGURES"):
    from drsn_jax.core.plotting import COLOURS, save_figure, subplots

    figure, (panel,) = subplots(1, 1, figsize=(5.6, 2.8))
    for (name, accuracy), colour in zip(accuracies.items(), ("resnet", "drsn_cw"), strict=True):
        panel.plot(LEVELS, 100 * accuracy, "o-", color=COLOURS[colour], label=name)
    panel.set_xlabel("SNR, dB")
    panel.set_ylabel("test accuracy, %")
    panel.legend(frameon=False)
    print(save_figure(figure, Path(folder) / "own_network.png"))
