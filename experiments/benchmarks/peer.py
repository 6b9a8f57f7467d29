"""Processes that print JSON lines, and whether an interpreter has PyTorch."""

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any


def lines_of(command: list[str], **env: str) -> Iterator[dict[str, Any]]:
    """What a process prints, one JSON object a line."""
    found = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **env})
    for line in found.stdout.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def has_pytorch(python: str) -> bool:
    """Whether PyTorch can be measured with an interpreter; says so if not."""
    try:
        found = (
            subprocess.run([python, "-c", "import torch"], capture_output=True, check=False).returncode == 0
        )
    except OSError:
        found = False
    if not found:
        print(f"{python} has no PyTorch: nothing is compared with it", flush=True)
    return found
