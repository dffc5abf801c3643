"""Panels of the figure of a diagnosis that show what physics says: spectra over the orders of the shaft."""

from typing import Any

import numpy as np

from drsn_jax.diagnosis.gears import sidebands
from drsn_jax.diagnosis.physics import GearPhysics, Physics
from drsn_jax.functional.gears import GearOrders

FAULT_COLOURS = {"inner race": "#D55E00", "outer race": "#0072B2", "ball": "#009E73"}
MESH_COLOUR = "#CC79A7"


def bearing_panel(panel: Any, physics: Physics) -> None:
    """Draw the spectrum of the envelope over the orders of the shaft, with the lines of each fault."""
    panel.plot(physics.orders, physics.above_db, color="0.2", linewidth=0.7)
    panel.axhline(0, color="0.7", linewidth=0.6, zorder=0)
    for one in physics.evidence:
        for number in range(1, len(one.above_db) + 1):
            label = f"{one.fault} (1 to {len(one.above_db)}× {one.name}){', stands out' if one.sure else ''}"
            style = "-" if one.sure else ":"
            place = number * one.order * (1 + one.slip)
            colour, label = FAULT_COLOURS[one.fault], label if number == 1 else None
            panel.axvline(place, color=colour, linestyle=style, linewidth=2, alpha=0.6, label=label, zorder=1)  # below the curve
    panel.set_xlim(0, physics.orders[-1])
    panel.set_ylim(bottom=min(0.0, float(np.min(physics.above_db))))
    panel.set_xlabel("order of the envelope's spectrum (multiples of the shaft's speed)")
    panel.set_ylabel("above the\nnoise around, dB", fontsize=9)
    panel.legend(fontsize=8, loc="upper right", ncols=len(physics.evidence), framealpha=0.9)


def mesh_panel(panel: Any, gear: GearPhysics) -> None:
    """Draw the spectrum of the vibration over the orders of the shaft, with the lines of the mesh and their sidebands."""
    panel.plot(gear.orders, gear.above_db, color="0.2", linewidth=0.7)
    panel.axhline(0, color="0.7", linewidth=0.6, zorder=0)
    found = gear.evidence
    beside = sidebands(GearOrders(found.mesh, found.tooth))
    first = (found.mesh + beside[0]) * (1 + found.slip)
    for number in range(1, len(found.above_db) + 1):
        label = f"mesh ({number} to {len(found.above_db)}× {found.mesh:.4g})" if number == 1 else None
        panel.axvline(number * found.mesh * (1 + found.slip), color=MESH_COLOUR, linewidth=2, alpha=0.6, label=label, zorder=1)
        for place in (number * found.mesh + beside) * (1 + found.slip):
            label = f"sidebands ({found.tooth:.3g} apart)" if number == 1 and place == first else None
            panel.axvline(place, color=MESH_COLOUR, linestyle=":", linewidth=1.2, alpha=0.7, label=label, zorder=1)
    panel.set_xlim(0, gear.orders[-1])
    panel.set_ylim(bottom=min(0.0, float(np.min(gear.above_db))))
    panel.set_xlabel("order of the vibration's spectrum (multiples of the shaft's speed)")
    panel.set_ylabel("above the\nnoise around, dB", fontsize=9)
    panel.legend(fontsize=8, loc="upper right", ncols=2, framealpha=0.9)
