# %% [markdown]
# # Soft threshold
#
# What lies within the threshold τ becomes zero, and what lies beyond it comes nearer to zero by τ. This script shows the
# function, its two derivatives, and what the derivative at the kink is.

# %%
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import drsn_jax as d

x = jnp.linspace(-3, 3, 601)
tau = 1.0
y = d.soft_threshold(x, tau)
print("of", x.size, "values", int((y == 0).sum()), "are zero, from", x[y == 0].min(), "to", x[y == 0].max())

# %% [markdown]
# The derivative for x is 1 outside and 0 inside, so that what is kept passes its gradient unchanged. The derivative for τ is
# the negative sign of x outside and 0 inside: τ is pushed by what is kept, and never by what is zero already.

# %%
by_x = jax.vmap(jax.grad(d.soft_threshold), in_axes=(0, None))(x, tau)
by_tau = jax.vmap(jax.grad(d.soft_threshold, argnums=1), in_axes=(0, None))(x, tau)
for value in (-2.0, 0.5, 2.0):
    i = int(jnp.argmin(jnp.abs(x - value)))
    print(f"x = {value:4}: y = {y[i]:5.2f}, dy/dx = {by_x[i]:2.0f}, dy/dτ = {by_tau[i] + 0.0:2.0f}")

# %% [markdown]
# At the kink itself the two sides disagree, and a program must choose. The paper has 0 there, and so has this function. The
# same formula, written as `sign(x) · max(|x| - τ, 0)` and left to automatic differentiation, has a half:


# %%
def formula(x, tau):
    return jnp.sign(x) * jnp.maximum(jnp.abs(x) - tau, 0)


print(
    "at x = τ = 1: ", float(jax.grad(d.soft_threshold)(1.0, 1.0)), "here,", float(jax.grad(formula)(1.0, 1.0)), "by the formula"
)

# %% [markdown]
# The other rules differ in what they do to large values. The soft rule takes τ from all of them, which is a constant bias; the
# garrote takes less the larger they are, and the firm and the hard rule leave the largest alone.

# %%
rules = {"soft": d.soft_threshold, "garrote": d.garrote_threshold, "firm": d.firm_threshold, "hard": d.hard_threshold}
for name, rule in rules.items():
    print(f"{name:8}", [round(float(rule(value, 1.0)), 2) for value in (0.9, 1.1, 1.5, 3.0, 10.0)])

# %% [markdown]
# Why shrink at all? A signal of a few large values in noise: with a threshold near the size of the noise, the error is a small
# part of what it was. Here the share of the noise's power that is left, for several τ in units of the noise's standard
# deviation.

# %%
rng = np.random.default_rng(0)
clean = np.zeros(10_000, np.float32)
clean[::100] = 8.0
noisy = clean + rng.normal(size=clean.size).astype(np.float32)
left = {level: float(jnp.mean((d.soft_threshold(noisy, level) - clean) ** 2)) for level in (0.0, 0.5, 1.0, 2.0, 3.0, 4.0)}
for level, power in left.items():
    print(f"τ = {level:.1f}: {100 * power:5.1f} % of the noise's power is left")
assert left[2.0] < left[0.0] / 10

# %% [markdown]
# A figure is drawn where the environment variable `DRSN_JAX_FIGURES` names a folder for it.

# %%
if folder := os.environ.get("DRSN_JAX_FIGURES"):
    from drsn_jax.core.plotting import COLOURS, save_figure, subplots

    figure, (value, slopes, others) = subplots(1, 3, figsize=(8.4, 2.8))
    value.plot(x, x, color="0.75", linewidth=1, label="unchanged")
    value.plot(x, y, color=COLOURS["drsn_cw"], label="soft threshold")
    value.axvspan(-tau, tau, color=COLOURS["resnet"], alpha=0.2, linewidth=0)
    value.set_title("y, for τ = 1", loc="left", fontsize=10)
    slopes.plot(x, by_x, color=COLOURS["drsn_cw"], label="∂y/∂x")
    slopes.plot(x, by_tau, color=COLOURS["band_energy"], linestyle="--", label="∂y/∂τ")
    slopes.axvspan(-tau, tau, color=COLOURS["resnet"], alpha=0.2, linewidth=0)
    slopes.set_title("its derivatives", loc="left", fontsize=10)
    colours = ("drsn_cw", "senet", "resnet", "band_energy_linear")
    for (name, rule), colour in zip(rules.items(), colours, strict=True):
        others.plot(x, rule(x, tau), color=COLOURS[colour], linewidth=1.2, label=name)
    others.set_title("other rules", loc="left", fontsize=10)
    for panel in (value, slopes, others):
        panel.set_xlabel("x")
        panel.legend(fontsize=8, frameon=False)
        panel.spines[["top", "right"]].set_visible(False)
    print(save_figure(figure, Path(folder) / "soft_threshold.png"))
