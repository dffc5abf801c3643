"""Signals in files: one module for each family of formats."""
