"""The five networks of the paper in plain NumPy and double precision, loop by loop, for comparison.

Written from the equations and the table of the paper; nothing here calls the library. It reads the variables of a
``drsn_jax.nn.networks.Network`` as nested dicts. Arrays are ``(batch, *positions, channels)``.
"""

import itertools
from typing import Any

import numpy as np

EPSILON, DECAY = 1e-5, 0.9
NETWORKS = ("convnet", "resnet", "senet", "drsn_cs", "drsn_cw")


def forward(name: str, variables: dict[str, Any], windows: np.ndarray, train: bool, shortcut: str = "zeros") -> dict[str, Any]:
    """Everything that the network of that name computes: ``logits``, ``features``, the ``outputs`` of the first convolution
    and of every unit, the ``alphas`` and ``thresholds`` of every unit by its name, the ``batch_stats`` after the call."""
    params, stats = double(variables["params"]), double(variables["batch_stats"])
    units = sorted((key for key in params if key.startswith("stages_")), key=lambda key: [int(n) for n in key.split("_")[1:]])
    assert set(params) == {"stem_conv", "last_norm", "classifier", *units}
    record: dict[str, Any] = {"outputs": {}, "alphas": {}, "thresholds": {}, "batch_stats": {}}

    x = convolution(np.float64(windows), params["stem_conv"], stride=2)
    record["outputs"]["stem_conv"] = x
    for key in units:
        first_of_its_stage = key.endswith("_0")
        x = unit(name, key, params[key], stats[key], x, 2 if first_of_its_stage else 1, train, shortcut, record)
        record["outputs"][key] = x
    x, record["batch_stats"]["last_norm"] = normalisation(x, params["last_norm"], stats["last_norm"], train)
    record["features"] = positions_mean(relu(x))
    record["logits"] = connected(record["features"], params["classifier"])
    return record


def unit(name, key, params, stats, x, stride, train, shortcut, record):
    """BN → ReLU → convolution → BN → ReLU → convolution → attention → + shortcut."""
    after = record["batch_stats"][key] = {}
    y, after["norm_1"] = normalisation(x, params["norm_1"], stats["norm_1"], train)
    y = convolution(relu(y), params["conv_1"], stride)
    y, after["norm_2"] = normalisation(y, params["norm_2"], stats["norm_2"], train)
    y = convolution(relu(y), params["conv_2"], stride=1)

    own = {"norm_1", "conv_1", "norm_2", "conv_2"}
    if name in ("senet", "drsn_cs", "drsn_cw"):
        own.add("attention")
        if name == "senet":
            y = excited(y, params["attention"])
        else:
            alpha, threshold, norm = thresholds(name, y, params["attention"], stats["attention"], train)
            y = shrunk(y, threshold)
            record["alphas"][key], record["thresholds"][key], after["attention"] = alpha, threshold, {"norm": norm}
    if name == "convnet":
        assert set(params) == own
        return y

    if shortcut == "projection" and (stride != 1 or x.shape[-1] != y.shape[-1]):
        own.add("projection")
        x = convolution(x, params["projection"], stride)
    elif shortcut == "zeros":
        x = padded(every(x, stride), y.shape[-1])
    assert set(params) == own
    return y + x


def convolution(x, params, stride):
    """y[i] = bias + Σ over taps t of kernel[t] · x[i·stride + t - centre], zeros outside."""
    kernel, bias = params["kernel"], params["bias"]
    sizes, lengths = kernel.shape[:-2], x.shape[1:-1]
    outputs = [-(-n // stride) for n in lengths]
    y = np.zeros((len(x), *outputs, kernel.shape[-1])) + bias
    for place in itertools.product(*map(range, outputs)):
        for tap in itertools.product(*map(range, sizes)):
            source = [i * stride + t - (size - 1) // 2 for i, t, size in zip(place, tap, sizes, strict=True)]
            if all(0 <= s < n for s, n in zip(source, lengths, strict=True)):
                y[:, *place] += x[:, *source] @ kernel[tap]
    return y


def normalisation(x, params, stats, train):
    """Batch normalisation and its running averages afterwards."""
    flat = x.reshape(-1, x.shape[-1])
    mean, var = stats["mean"], stats["var"]
    if train:
        mean = flat.sum(0) / len(flat)
        var = ((flat - mean) ** 2).sum(0) / len(flat)
        if len(flat) > 1:  # one value has no variance
            stats = {
                "mean": DECAY * stats["mean"] + (1 - DECAY) * mean,
                "var": DECAY * stats["var"] + (1 - DECAY) * var,
            }
    return params["scale"] * (x - mean) / np.sqrt(var + EPSILON) + params["bias"], stats


def thresholds(name, x, params, stats, train):
    """α and τ, ``(batch, channels)`` channel-wise and ``(batch, 1)`` channel-shared."""
    average = positions_mean(np.abs(x))
    hidden, norm = normalisation(connected(average, params["dense_1"]), params["norm"], stats["norm"], train)
    alpha = sigmoid(connected(relu(hidden), params["dense_2"]))
    if name == "drsn_cs":
        assert alpha.shape == (len(x), 1)
        average = average.mean(axis=1, keepdims=True)
    return alpha, alpha * average, norm


def shrunk(x, threshold):
    """Soft thresholding, case by case."""
    threshold = threshold.reshape(len(x), *[1] * (x.ndim - 2), -1) + 0 * x
    y = np.zeros_like(x)
    above, below = x > threshold, x < -threshold
    y[above] = x[above] - threshold[above]
    y[below] = x[below] + threshold[below]
    return y


def excited(x, params):
    """Squeeze and excitation."""
    assert set(params) == {"dense_1", "dense_2"}
    weight = sigmoid(connected(relu(connected(positions_mean(x), params["dense_1"])), params["dense_2"]))
    return x * weight.reshape(len(x), *[1] * (x.ndim - 2), -1)


def every(x, stride):
    """Every stride-th position."""
    for axis in range(1, x.ndim - 1):
        x = np.take(x, range(0, x.shape[axis], stride), axis=axis)
    return x


def padded(x, channels):
    """Zero channels half in front and half behind, an odd one behind."""
    missing = channels - x.shape[-1]
    front = np.zeros((*x.shape[:-1], missing // 2))
    behind = np.zeros((*x.shape[:-1], missing - missing // 2))
    return np.concatenate([front, x, behind], axis=-1)


def connected(x, params):
    return x @ params["kernel"] + params["bias"]


def positions_mean(x):
    return x.reshape(len(x), -1, x.shape[-1]).mean(axis=1)


def relu(x):
    return np.where(x > 0, x, 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def double(tree):
    """The tree in double precision."""
    return {key: double(value) if isinstance(value, dict) else np.float64(value) for key, value in tree.items()}
