"""Speed measured against PyTorch on the same machine, in processes that take turns; see ``experiments/throughput.py``."""
