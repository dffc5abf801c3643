"""Internal: what all other rooms stand on. It knows nothing of networks or recordings, and may change without notice.

- ``arrays``: checks and conversions of arrays at the beginning of a public function.
- ``distributed``: several devices and several processes; the only module that calls ``jax.pmap`` and ``jax.distributed``.
- ``errors``: ``UserError``, the base of all errors that a user can mend, and the import of optional packages.
- ``files``: files that are written as a whole or not at all, and lock files.
- ``plotting``: colours and helpers that all figures share.
- ``runtime``: the setting of the process before JAX starts (memory, devices, compilation cache).
- ``storage``: arrays that lie in a file because memory cannot hold them, and work on them in parts.

A new helper belongs here if rooms on different floors need it; an optional package goes into ``errors.EXTRAS``.
"""
