"""Python code in a process that may mount file systems, which are visible only to it."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

TINY_DISK = """
    import os, subprocess
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", "disk"], check=True)

    def fill(path, room):
        facts = os.statvfs(path)
        with open(f"{path}/filler", "wb") as file:
            file.write(bytes(max(0, facts.f_bavail * facts.f_frsize - room)))
"""  # mounts a file system of 2 MB on the folder "disk"; fill() leaves only ``room`` bytes free


def run_with_mounts(code: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a folder, in a user namespace where it may mount file systems.

    The test is skipped if user namespaces are not available.
    """
    usable = (
        shutil.which("unshare")
        and subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode == 0
    )
    if not usable:
        pytest.skip("mounting needs user namespaces")
    command = ["unshare", "-rm", sys.executable, "-c", textwrap.dedent(code), *arguments]
    cache = str(Path(os.environ["NSTJAX_TEST_CACHE"]) / "xla")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_COMPILATION_CACHE_DIR": cache}
    environment |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
