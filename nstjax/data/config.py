"""The frozen config of the training photographs: their source and how they are cropped."""

import dataclasses

from nstjax.errors import InputError, check_tuples

TFDS, FAKE = "tfds", "fake"
MAX_SIZE, MAX_ZOOM, MAX_WORKERS, MAX_PREFETCH = 4096, 8.0, 256, 64


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Photographs, and how a batch is made of them.

    Attributes:
        source: a folder, searched with its subfolders; ``tfds:NAME[/CONFIG][:SPLIT]``, a data set of
            TensorFlow Datasets that has images (``tfds:coco/2017``; the split is ``train`` unless named); or
            ``fake[:COUNT]``, synthetic pictures for tests and benchmarks (a folder of this name is ``./fake``).
        size: side of the square crops, pixels.
        batch_size: photographs a step, of all processes together.
        seed: of the order, the crops and the flips; 0 … 2³² − 1.
        zoom: least and greatest factor, ≥ 1. A photograph is resized so that its short side is ``size`` times
            a factor drawn between them, then a crop is drawn. Smaller photographs are enlarged.
        flip: mirror half of the crops, left to right.
        shuffle: a new order every epoch; otherwise by name.
        workers: processes that decode; 0 decodes in threads of this one, which is enough for most sets.
        prefetch: batches made ahead (in each worker), each by a thread of its own; 0 makes them when asked.
        cache: keep decoded, resized photographs in memory, as many as fit into
            :data:`nstjax.data.share.CACHE_BYTES`; the batches are the same.
        data_dir: where TensorFlow Datasets keeps its data sets; empty for its own choice.
        download: let TensorFlow Datasets download and prepare a data set that is not there.
    """

    source: str
    size: int = 256
    batch_size: int = 4
    seed: int = 0
    zoom: tuple[float, float] = (1.0, 1.0)
    flip: bool = True
    shuffle: bool = True
    workers: int = 0
    prefetch: int = 4
    cache: bool = True
    data_dir: str = ""
    download: bool = False

    def __post_init__(self) -> None:
        check_tuples(self)
        if not self.source:
            raise InputError("`data.source` is empty: name a folder of photographs, or tfds:NAME")
        for name, value, least, most in (
            ("data.size", self.size, 1, MAX_SIZE),
            ("batch_size", self.batch_size, 1, 2**20),
            ("data.seed", self.seed, 0, 2**32 - 1),
            ("workers", self.workers, 0, MAX_WORKERS),
            ("prefetch", self.prefetch, 0, MAX_PREFETCH),
        ):
            if not least <= value <= most:
                raise InputError(f"`{name}` is {value}: it must be from {least} to {most}")
        if len(self.zoom) != 2 or not 1.0 <= self.zoom[0] <= self.zoom[1] <= MAX_ZOOM:
            raise InputError(
                f"`zoom` is {' '.join(map(str, self.zoom))}: it must be two factors, the smaller first, between 1 and "
                f"{MAX_ZOOM:g}"
            )

    @property
    def kind(self) -> str:
        """``"tfds"``, ``"fake"`` or ``"folder"``."""
        prefix = self.source.partition(":")[0]
        if prefix == TFDS and ":" in self.source:
            return TFDS
        return FAKE if prefix == FAKE else "folder"

    @property
    def side(self) -> int:
        """Short side to which photographs are brought once decoded: the greatest that a crop needs."""
        return max(self.size, round(self.size * self.zoom[1]))
