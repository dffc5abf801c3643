"""Internal: the run folder and the experiments that are more than one training. May change without notice."""
