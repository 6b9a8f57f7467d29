"""A folder of one's own photographs as a data set of TensorFlow Datasets."""

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nstjax.data.folder import find_photographs
from nstjax.data.tfds import ARRAY_RECORD, FILENAME, IMAGE, data_folder
from nstjax.errors import InputError

VERSION = "1.0.0"


def prepare_folder(folder: str | Path, name: str, data_dir: str = "") -> Path:
    """Write a folder's photographs as the data set ``tfds:NAME``, with one split, ``train``.

    A few large files in place of many small ones: for file systems on which many are slow. The photographs'
    bytes are kept as they are, in the order of their names, damaged ones too; these are skipped when read.
    TensorFlow is not needed.

    Args:
        folder: searched with its subfolders.
        name: of the data set: small letters, digits and underscores.
        data_dir: where; empty for TensorFlow Datasets' own choice.

    Returns:
        The folder of the data set.

    Raises:
        InputError: the folder has no photograph, the name is not such a one or is taken, or the data set cannot
            be written.
    """
    import tensorflow_datasets as tfds

    top = Path(folder)
    paths = find_photographs(top)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise InputError(f"{name!r} cannot name a data set: use small letters, digits and underscores")
    where = data_folder(data_dir)
    if (where / name).exists():
        raise InputError(f"{where / name} exists: delete it first, or choose another name")

    class Photographs(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
        def __init__(self) -> None:
            self.name = name
            self.VERSION = tfds.core.Version(VERSION)
            super().__init__(data_dir=str(where), file_format=ARRAY_RECORD)

        def _info(self) -> Any:
            features = {IMAGE: tfds.features.Image(), FILENAME: tfds.features.Text()}
            return tfds.core.DatasetInfo(
                builder=self,
                description=f"{len(paths)} photographs.",
                features=tfds.features.FeaturesDict(features),
                disable_shuffling=True,  # by name; batches are shuffled when they are read
            )

        def _split_generators(self, _downloads: Any) -> dict[str, Any]:
            return {"train": self._generate_examples()}

        def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
            for number, path in enumerate(paths):
                yield number, {IMAGE: str(top / path), FILENAME: path}

    try:
        # Its messages and its bar; what goes wrong is raised.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            builder = Photographs()
            builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    except OSError as error:
        raise InputError(
            f"cannot write the data set {name} in {where}: {error}; free some space or choose another place"
        ) from error
    return Path(str(builder.data_dir))
