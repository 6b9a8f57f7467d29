"""The compilation cache, for scripts."""

import sys

from nstjax.programs import enable_compilation_cache


def keep_programs() -> None:
    """Keep compiled programs in the user's cache.

    If that is not possible, print the reason on standard error.
    """
    refused = enable_compilation_cache()
    if refused is not None:
        print(f"note: {refused}", file=sys.stderr)
