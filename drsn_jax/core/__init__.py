"""Internal: arrays, files, storage, devices and processes, what a script asks of its machine. May change without notice."""
