"""What the process is told before any work: the compilation cache."""

from nstjax.weights.store import cache_folder


def enable_compilation_cache() -> None:
    """Keep every compiled program in the user's cache, so that the next run need not compile it."""
    import jax

    jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
