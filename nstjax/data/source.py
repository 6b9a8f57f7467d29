"""The interface of a source of photographs."""

from typing import Protocol

import numpy as np


class Source(Protocol):
    """A numbered collection of photographs; small, since worker processes are sent a copy.

    Attributes:
        place: what it is, in the words of a message: ``"the folder holiday"``.
    """

    place: str

    def __len__(self) -> int:
        """Return the number of photographs."""

    def name(self, record: int) -> str:
        """Return the name of a photograph for messages."""

    def identity(self) -> str:
        """A hash that changes when the photographs or their order do."""

    def decode(self, record: int, at_least: int) -> np.ndarray:
        """One photograph.

        Args:
            record: which, from 0.
            at_least: a short side that is enough; one far larger may be decoded at a fraction of its size.

        Returns:
            ``(h, w, 3)`` uint8, sRGB.

        Raises:
            InputError: it is damaged.
        """
