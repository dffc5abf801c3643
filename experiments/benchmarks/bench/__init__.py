"""Speed beside PyTorch on the same machine, in processes that take turns; see ``experiments/benchmarks/throughput.py``."""
