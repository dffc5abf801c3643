"""Signals in files: one module for each family of formats.

How a format is added:

1. Write a function ``read_x(file: Path, channel: str) -> Signal`` in a module of its own here, beside ``matlab`` and ``text``.
   ``common`` holds what readers share: ``Signal``, ``RecordingError``, ``damage`` (errors of a library in one sentence),
   ``check_promise`` (a damaged header must not fill the memory), ``library`` (an import that names the missing extra).
   A file of several arrays is listed as ``arrays.Held``, and ``arrays.signal_of`` does the rest: it finds what the user's channel
   means, refuses what is in doubt, and reads the rate beside the signal. ``structs`` names the arrays in structs and cells.
   ``channels`` finds the signals that the user's channel means: ``choose`` among named variables, ``numbered`` without names.
   ``looks`` says what is no signal, ``rates`` which sampling rates a file mentions.
2. Enter its suffix in ``open_signal.READERS``, and the first bytes of such a file in ``content.SIGNATURES``, by which it is known
   under any name. All else follows from these tables: folders, messages, scripts.
3. Enter a function that writes such a file in ``KINDS`` of ``tests/signal_files.py``. The tests of ``test_formats``,
   ``test_formats_damage`` and ``test_formats_fuzz`` then cover the format. What only this format can get wrong has a test in
   ``tests/data/test_formats_x.py``.
4. Name the library that it needs in an extra of ``pyproject.toml``, and that extra in ``core.errors.EXTRAS``: ``experiments`` for
   one that brings little with it, ``formats`` for others.
"""
