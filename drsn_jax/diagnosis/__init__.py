"""Diagnosis: a trained network on disk, and what it says about a recording.

- ``bundle``: a network with all that is needed to use it. ``bundle_files`` saves and loads it, ``weights`` checks what it loads.
- ``description``: ``model.json`` of a bundle. A new fact about a model goes into ``description.FACTS`` and the fields of
  ``bundle.Bundle``.
- ``diagnosis``: from the probabilities of windows to one answer.
- ``doubts``: what speaks against an answer. A new warning goes into ``doubts.warnings_of``.
- ``evidence``: what physics says of a bearing, without a network, and ``gears`` of a gear. ``shaft_speed`` finds the speed that
  they need, and ``physics`` draws it and compares it with a class.
- ``streams``: windows as they come, and streams of samples. ``messages``: samples in messages, as of MQTT.
- ``answer_lines``: what ``diagnose.py`` prints of a file.
- ``export``: a bundle as a file that runs without this package. ``onnx_files`` converts and checks, on ``trial_windows``.
- ``pictures``: the figure of a diagnosis. ``report``: the page of many.
"""

from drsn_jax.diagnosis.bundle import Bundle as Bundle
from drsn_jax.diagnosis.bundle_files import fingerprint as fingerprint
from drsn_jax.diagnosis.bundle_files import load as load
from drsn_jax.diagnosis.bundle_files import save as save
from drsn_jax.diagnosis.description import BundleError as BundleError
from drsn_jax.diagnosis.diagnosis import Diagnosis as Diagnosis
from drsn_jax.diagnosis.diagnosis import diagnose as diagnose
from drsn_jax.diagnosis.diagnosis import diagnose_parts as diagnose_parts
from drsn_jax.diagnosis.evidence import FaultEvidence as FaultEvidence
from drsn_jax.diagnosis.evidence import bearing_evidence as bearing_evidence
from drsn_jax.diagnosis.gears import GearEvidence as GearEvidence
from drsn_jax.diagnosis.gears import gear_evidence as gear_evidence
from drsn_jax.diagnosis.messages import Listener as Listener
from drsn_jax.diagnosis.shaft_speed import ShaftSpeed as ShaftSpeed
from drsn_jax.diagnosis.shaft_speed import shaft_speed as shaft_speed
from drsn_jax.diagnosis.streams import diagnose_windows as diagnose_windows
