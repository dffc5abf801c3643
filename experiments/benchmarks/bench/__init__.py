"""Speed beside PyTorch, onnxruntime, OpenVINO and IREE on the same machine, in processes that take turns; see
``experiments/benchmarks/throughput.py``."""
