"""Peak memory of the current process."""

import re
import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_gib() -> float:
    """Return the largest resident set size so far, in GiB.

    On Linux this is ``VmHWM``. ``ru_maxrss``, used elsewhere, would also count the memory of the parent
    process at the time when it started this one, which survives ``exec``.
    """
    if _STATUS.exists():
        found = re.search(r"^VmHWM:\s*(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
        if found:
            return int(found[1]) / 2**20
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
