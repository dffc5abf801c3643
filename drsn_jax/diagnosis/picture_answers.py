"""What a network that was trained on pictures says of one picture."""

from typing import NamedTuple

import numpy as np

from drsn_jax.core.errors import UserError
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.diagnosis import COVERAGE, Ranked
from drsn_jax.diagnosis.doubts import SURE_PROBABILITY
from drsn_jax.evaluation.conformal import prediction_sets

SHOWN = 3  # classes that an answer names


class PictureAnswer(NamedTuple):
    """What a model says of a picture.

    Fields:
      best: the most probable classes, the first of them the answer.
      sure: whether it is the only class in the prediction set of the picture, or, of a model that can make none, whether its
        probability reaches ``SURE_PROBABILITY``.
    """

    best: tuple[Ranked, ...]
    sure: bool


def answer_picture(model: Bundle, picture: np.ndarray) -> PictureAnswer:
    """Ask a model about a picture ``(height, width, channels)`` with values from 0 to 1; errors as ``on_canvas``."""
    probabilities = model.predict_proba(on_canvas(model, picture)[None])[0]
    order = np.argsort(-probabilities, kind="stable")[:SHOWN]
    best = tuple(Ranked(model.classes[int(number)], float(probabilities[number])) for number in order)
    if model.surprises is None:
        return PictureAnswer(best, best[0].probability >= SURE_PROBABILITY)
    inside = prediction_sets(probabilities[None], model.surprises, COVERAGE)[0]
    return PictureAnswer(best, bool(inside[order[0]]) and int(inside.sum()) == 1)


def on_canvas(model: Bundle, picture: np.ndarray) -> np.ndarray:
    """Return a picture as large as those that a model was trained on: a smaller one in the middle of a black canvas.

    Raises UserError for a picture that is larger, and for a grey one where the model takes colour, or the other way round.
    """
    height, width, channels = model.window_shape
    found = f"the picture has {picture.shape[0]} × {picture.shape[1]} pixels"
    if picture.shape[2] != channels:
        names = {1: "grey", 3: "coloured"}
        own, wanted = (names.get(count, f"of {count} channels") for count in (picture.shape[2], channels))
        raise UserError(f"the picture is {own} and those that the model was trained on are {wanted}: convert it")
    if picture.shape[0] > height or picture.shape[1] > width:
        raise UserError(f"{found}, more than the {height} × {width} of the model: scale it down, or cut out the object")
    top, left = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    canvas = np.zeros((height, width, channels), np.float32)
    canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas
