"""Compiled programs in the user's cache, for scripts."""

import sys

from nstjax.programs import enable_compilation_cache


def keep_programs() -> None:
    """Keep compiled programs for the next run, or say on standard error why they are not kept."""
    refused = enable_compilation_cache()
    if refused is not None:
        print(f"note: {refused}", file=sys.stderr)
