"""Pickles that run code."""

import os
from pathlib import Path


class Evil:
    """A pickle that runs a command when it is loaded as Python loads pickles."""

    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.flag}",)
