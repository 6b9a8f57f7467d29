"""A folder of photographs written as a data set of TensorFlow Datasets, without TensorFlow."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nstjax.data.folder import find_photographs
from nstjax.data.tfds import ARRAY_RECORD, FILENAME, IMAGE, data_folder


def prepare_folder(folder: Path, name: str, data_dir: str) -> Path:
    """Write a folder's photographs as the data set ``tfds:NAME`` with one split, ``train``.

    The bytes of the files are stored unchanged, in the order of their names, including damaged files.

    Returns:
        The folder of the data set.
    """
    import tensorflow_datasets as tfds

    paths = find_photographs(folder)

    class Photographs(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
        def __init__(self) -> None:
            self.name = name
            self.VERSION = tfds.core.Version("1.0.0")
            super().__init__(data_dir=str(data_folder(data_dir)), file_format=ARRAY_RECORD)

        def _info(self) -> Any:
            features = {IMAGE: tfds.features.Image(), FILENAME: tfds.features.Text()}
            return tfds.core.DatasetInfo(
                builder=self,
                description=f"{len(paths)} photographs.",
                features=tfds.features.FeaturesDict(features),
                disable_shuffling=True,
            )

        def _split_generators(self, _downloads: Any) -> dict[str, Any]:
            return {"train": self._generate_examples()}

        def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
            for number, path in enumerate(paths):
                yield number, {IMAGE: str(folder / path), FILENAME: path}

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        builder = Photographs()
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    return Path(str(builder.data_dir))
