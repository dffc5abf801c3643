"""Tiny models of every kind that is exported, with weights and statistics as a training leaves them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tiny

from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.functional.mel import LogMel
from drsn_jax.nn.band_energy import band_energy, band_energy_linear
from drsn_jax.nn.image_networks import drsn18
from drsn_jax.nn.networks import convnet, drsn_cs, drsn_cw, resnet, senet

CLASSES = ("healthy", "inner race", "Außenring")
SMALL: Any = {"classes": 3, "widths": (4, 6), "units": (1, 1)}
TWO: Any = {**SMALL, "units": (1, 2)}  # and a unit without a stride behind another; a unit takes half a second to compile
BANDS: Any = {**SMALL, "bands": 8, "frame": 16, "hop": 4}
MEL = LogMel(8000, frame=32, hop=16, mels=8)
# name → the network, the shape of a window; networks that scale their windows are told by other tests than those that do not
KINDS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "convnet": (convnet(**SMALL, standardise=True), (64, 1)),
    "resnet": (resnet(**TWO, shortcut="projection", padding="SAME"), (64, 1)),
    "senet": (senet(**SMALL, standardise="together"), (64, 2)),
    "drsn_cs": (drsn_cs(**TWO, scale=2.0), (64, 2)),
    "drsn_cw": (drsn_cw(**TWO, standardise=True), (64, 1)),
    "drsn_cw 16": (drsn_cw(classes=3, widths=(16,), units=(1,), standardise=True), (64, 3)),
    "garrote": (drsn_cw(**SMALL, threshold_rule="garrote", standardise=True), (64, 1)),
    "bfloat16": (drsn_cw(**SMALL, dtype=jnp.bfloat16, standardise=True), (64, 1)),
    "band_energy": (band_energy(**BANDS, standardise=True), (128, 1)),
    "band_energy not scaled": (band_energy(**BANDS), (128, 2)),
    "band_energy short": (band_energy(**BANDS, standardise=True), (12, 1)),
    "band_energy_linear": (band_energy_linear(classes=3, bands=8, frame=16, hop=4, standardise="together"), (128, 2)),
    "drsn_cw with levels": (drsn_cw(**SMALL, offset=(1.0, -2.0), scale=(2.0, 0.5)), (64, 2)),
    "band_energy with levels": (band_energy(**BANDS, offset=0.3, scale=(2.0, 0.5)), (128, 2)),
    "images": (drsn_cw(**SMALL, kernel=(3, 3), standardise=True), (8, 8, 1)),
    "log-mel": (drsn_cw(**SMALL, kernel=(3, 3), standardise=True, front_end=MEL), (200, 2)),
    "drsn18": (drsn18(**SMALL, standardise=True), (16, 16, 3)),
}


def model(kind: str, negative: bool = False, **facts: Any) -> Bundle:
    """A model of a kind; ``negative`` gives its norms gains of both signs. Those with levels keep the mean of their windows."""
    network, window = KINDS[kind]
    rng = np.random.default_rng(0)

    def trained(path: Any, leaf: Any) -> np.ndarray:
        name = jax.tree_util.keystr(path)
        drawn = rng.normal(size=np.shape(leaf))
        if "'var'" in name:
            changed = np.exp(drawn / 2)
        elif "'scale'" in name:
            changed = drawn if negative else np.exp(drawn / 2)
        else:
            changed = np.asarray(leaf) + 0.2 * drawn
        return changed.astype(np.float32)

    plain = network.clone(implementation="modules", standardise=False, scale=1.0, dtype=None)
    variables = jax.tree_util.tree_map_with_path(trained, dict(tiny.variables(plain, (1, *window))))
    length = window[0] if len(window) == 2 else window[:-1]
    rate = 12_000.0 if len(window) == 2 else None
    facts = {"remove_mean": "levels" not in kind, **facts}
    return Bundle(network, variables, CLASSES, length, rate, channels=window[-1], temperature=1.7, **facts)
