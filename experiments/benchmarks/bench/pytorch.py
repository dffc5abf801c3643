"""The side of PyTorch: a step as its users write it, eager or compiled."""
# pyright: reportMissingImports=false

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from bench import torch_network
from bench.cases import CHECKED, LEARNING_RATE, Case


class TorchSide:
    """A network with the given weights and a function ``step`` that does its task once; the first call compiles it if asked.

    ``given`` is what ``given.write`` made.
    """

    def __init__(self, case: Case, given: dict[str, np.ndarray], threads: int, compiled: bool) -> None:
        torch.set_num_threads(threads)
        self.case = case
        self._weights = {path: array for path, array in given.items() if not path.startswith("logits/")}
        self.network = self._build()
        self._called: Any = torch.compile(self.network) if compiled else self.network
        windows, labels = case.data()
        self._windows, self._labels = torch_network.channels_first(windows), torch.tensor(labels, dtype=torch.long)
        if case.task == "train":
            self.network.train()
            self._optimizer = torch_network.optimizer(self.network, LEARNING_RATE)
            self.step = self._train
        else:
            self.network.eval()
            self.step = self._infer

    def _train(self) -> np.ndarray:
        self._optimizer.zero_grad()
        loss = F.cross_entropy(self._called(self._windows), self._labels)
        loss.backward()
        self._optimizer.step()
        return loss.detach().numpy()

    def _infer(self) -> np.ndarray:
        with torch.inference_mode():
            return self._called(self._windows).numpy()

    def logits(self) -> dict[str, np.ndarray]:
        """Those of ``case.data(CHECKED)`` with the given weights, with running statistics and with those of the batch."""
        windows = torch_network.channels_first(self.case.data(CHECKED)[0])
        with torch.no_grad():
            modes = {"running": self._build().eval(), "batch": self._build().train()}
            return {name: network(windows).numpy() for name, network in modes.items()}

    def _build(self) -> torch_network.Network:
        network = torch_network.Network(channels=self.case.window[-1], **self.case.fields)
        torch_network.copy_weights(network, self._weights)
        return network
