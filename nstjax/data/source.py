"""The interface of a source of photographs."""

from typing import Protocol

import numpy as np


class Source(Protocol):
    """An indexed collection of photographs. It must be small, because worker processes receive a copy.

    Attributes:
        place: description of the source for messages, such as ``"the folder holiday"``.
    """

    place: str

    def __len__(self) -> int:
        """Return the number of photographs."""

    def name(self, record: int) -> str:
        """Return the name of a photograph for messages."""

    def identity(self) -> str:
        """Return a string, such as a hash, that changes when the photographs or their order change."""

    def decode(self, record: int, at_least: int) -> np.ndarray:
        """Decode one photograph.

        Args:
            record: index of the photograph, from 0.
            at_least: shorter side in pixels that is sufficient; a much larger photograph may be decoded at a
                fraction of its size.

        Returns:
            ``(h, w, 3)`` uint8, sRGB.

        Raises:
            InputError: If the photograph is damaged.
        """
