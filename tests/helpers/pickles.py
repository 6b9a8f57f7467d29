"""Pickles that run code."""

import os
from pathlib import Path


class Evil:
    """An object whose pickle runs a command when Python loads it."""

    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.flag}",)
