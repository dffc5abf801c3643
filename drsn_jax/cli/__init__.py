"""Internal: options, terminal and data options of the scripts. May change without notice."""
