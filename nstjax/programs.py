"""Compiled programs, kept from one run to the next."""

import contextlib
import tempfile

from nstjax.files import cache_folder


def enable_compilation_cache() -> None:
    """Keep every compiled program in the user's cache, so that the next run need not compile it.

    Where the cache cannot be written, nothing is kept: the run does not depend on it.
    """
    import jax

    folder = cache_folder() / "xla"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
