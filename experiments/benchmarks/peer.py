"""Runs processes that print JSON lines, and checks that an interpreter has PyTorch."""

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any


def lines_of(command: list[str], **env: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects that a process prints, one per line.

    Args:
        command: the command and its arguments.
        env: additional environment variables.
    """
    found = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **env})
    for line in found.stdout.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def has_pytorch(python: str) -> bool:
    """Return True if an interpreter has PyTorch, and print a message if not."""
    try:
        found = (
            subprocess.run([python, "-c", "import torch"], capture_output=True, check=False).returncode == 0
        )
    except OSError:
        found = False
    if not found:
        print(f"{python} has no PyTorch: nothing is compared with it", flush=True)
    return found
