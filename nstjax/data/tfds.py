"""Data sets of TensorFlow Datasets, read from ArrayRecord files without TensorFlow."""

import contextlib
import hashlib
import importlib.util
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nstjax.errors import InputError, first_line
from nstjax.images.io import decode_image, to_bytes

PACKAGES = ("tensorflow_datasets", "array_record")  # installed by the extra "datasets"
ARRAY_RECORD = "array_record"  # the file format with random access
IMAGE, FILENAME = "image", "image/filename"
_VERSION = re.compile(r"[\d.*]+")


def parse_spec(spec: str) -> tuple[str, str]:
    """Parse ``tfds:NAME[/CONFIG][:VERSION][:SPLIT]``.

    Returns:
        The name with its config and version, and the split, ``"train"`` by default.

    Raises:
        InputError: If the name is missing or malformed.
    """
    _, name, *rest = spec.split(":", 2)
    split = rest[0] if rest else ""
    # A slice such as train[:1000] also contains a colon.
    version, _, after = split.partition(":")
    if _VERSION.fullmatch(version):
        name, split = f"{name}:{version}", after
    if not re.fullmatch(r"\w+(/[\w.\-]+)?(:[\d.*]+)?", name):
        raise InputError(
            f"`data.source` {spec} names no data set: write tfds:NAME, tfds:NAME/CONFIG or tfds:NAME:SPLIT"
        )
    return name, split or "train"


def check_installed() -> None:
    """Check that the packages of the extra ``datasets`` are installed.

    Raises:
        InputError: If one of them is not.
    """
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise InputError(
                f"data sets of TensorFlow Datasets need the package {package}: pip install 'nstjax[datasets]', or name "
                f"a folder of photographs"
            )


def data_folder(data_dir: str) -> Path:
    """Return the folder of data sets: ``data_dir``, or TensorFlow Datasets' default if it is empty."""
    import tensorflow_datasets as tfds

    return Path(data_dir or tfds.core.constants.DATA_DIR).expanduser()


# Prefix of the feature classes that TensorFlow Datasets defines itself.
_FEATURES = "tensorflow_datasets.core.features."


@contextlib.contextmanager
def _known_features(place: str) -> Iterator[None]:
    """Refuse feature classes from modules other than TensorFlow Datasets' own while a data set is opened.

    The file ``features.json`` of a data set names the class of each feature. TensorFlow Datasets imports the
    module of any class that it does not know, so opening a data set could run arbitrary code.

    Args:
        place: description of the data set for the message.

    Raises:
        InputError: If a class of another module is named.
    """
    import tensorflow_datasets as tfds

    connector = tfds.features.FeatureConnector
    before, find = connector.__dict__["cls_from_name"], connector.cls_from_name

    def cls_from_name(_: type, name: str) -> Any:
        if not name.startswith(_FEATURES):
            raise InputError(
                f"{place} has a feature of the class {name[:100]!r}, which is not one of TensorFlow Datasets: its module "
                f"was not imported; prepare the data set without this feature"
            )
        return find(name)

    connector.cls_from_name = classmethod(cls_from_name)
    try:
        yield
    finally:
        connector.cls_from_name = before


def _find(name: str, data_dir: str) -> Any:
    """Return a builder for a data set on disk, or None if there is none.

    The builder is made from the files of the data set, so no code of the data set runs.

    Raises:
        InputError: If the data set cannot be opened.
    """
    from tensorflow_datasets.core import read_only_builder, registered

    try:
        with _known_features(f"the data set {name} in {data_folder(data_dir)}"):
            return read_only_builder.builder_from_files(name, data_dir=str(data_folder(data_dir)))
    except registered.DatasetNotFoundError:
        return None
    except InputError:
        raise
    except Exception as error:  # reading damaged files can raise almost anything
        raise InputError(
            f"cannot open the data set {name} in {data_folder(data_dir)}: {first_line(error)}; "
            f"prepare it again in another `data_dir`"
        ) from error


def stock_builder(name: str, data_dir: str = "") -> Any:
    """Return TensorFlow Datasets' builder for a name, which can write ArrayRecord files.

    Args:
        name: a name of TensorFlow Datasets, such as ``coco/2017``.
        data_dir: folder of data sets; empty for TensorFlow Datasets' default.

    Raises:
        InputError: If there is no data set with this name, config or version; it needs TensorFlow or another
            package that is not installed; or the extra ``datasets`` is not installed.
    """
    check_installed()
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import registered

    try:
        # The messages below replace the output of TensorFlow Datasets if TensorFlow is missing.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return tfds.builder(name, data_dir=str(data_folder(data_dir)), file_format=ARRAY_RECORD)
    except registered.DatasetNotFoundError as error:
        raise InputError(
            f"TensorFlow Datasets has no data set called {name}: see tensorflow.org/datasets/catalog for its names"
        ) from error
    except ImportError as error:
        missing = getattr(error, "name", None) or ("tensorflow" if "tensorflow" in str(error) else "")
        if missing.split(".")[0] == "tensorflow" and importlib.util.find_spec("tensorflow") is None:
            raise InputError(
                f"preparing {name} needs TensorFlow, which is not installed: run pip install 'nstjax[coco]' "
                f"(reading it afterwards does not need it)"
            ) from error
        raise InputError(f"cannot prepare {name}: {first_line(error)}; install it") from error
    except (ValueError, AssertionError) as error:
        raise InputError(
            f"TensorFlow Datasets cannot open {name}: {first_line(error)}; check its config and version"
        ) from error


def prepare_dataset(name: str, data_dir: str = "") -> Path:
    """Download a data set and write it as ArrayRecord files, unless they exist.

    Progress is printed to standard error.

    Args:
        name: a name of TensorFlow Datasets, such as ``coco/2017``.
        data_dir: folder of data sets; empty for the default (``~/tensorflow_datasets``, or
            ``$TFDS_DATA_DIR``).

    Returns:
        The folder of the data set.

    Raises:
        InputError: As for :func:`stock_builder`, or the download failed.
    """
    builder = stock_builder(name, data_dir)
    import tensorflow_datasets as tfds

    try:
        with contextlib.redirect_stdout(sys.stderr):
            builder.download_and_prepare(file_format=ARRAY_RECORD)
    except (OSError, tfds.download.DownloadError, ImportError, AssertionError) as error:
        raise InputError(
            f"cannot prepare {name} in {data_folder(data_dir)}: {first_line(error)}; "
            f"check the network and the space there, then try again"
        ) from error
    return Path(str(builder.data_dir))


class Tfds:
    """A :class:`~nstjax.data.source.Source` of one split of a data set with images.

    The encoded bytes of the images are decoded with :func:`nstjax.images.io.decode_image`, so that color
    profiles, orientations and damaged files are handled as in a folder.

    Args:
        spec: ``"tfds:NAME[/CONFIG][:VERSION][:SPLIT]"``.
        data_dir: folder of data sets; empty for TensorFlow Datasets' default.
        download: whether to prepare the data set if it is missing.

    Raises:
        InputError: If the data set is missing, damaged or not in ArrayRecord format, has no such split or no
            feature of images, or the extra ``datasets`` is not installed.
    """

    def __init__(self, spec: str, data_dir: str = "", download: bool = False):
        name, self._split = parse_spec(spec)
        check_installed()
        builder = _find(name, data_dir)
        if builder is None:
            if not download:
                size = " (25 GB)" if name.startswith("coco") else ""
                raise InputError(
                    f"the data set {name} is not in {data_folder(data_dir)}: add `download` to fetch it{size}, "
                    f"or name its folder with `data_dir`"
                )
            prepare_dataset(name, data_dir)
            builder = _find(name, data_dir)
        self.place = f"the data set {name}"
        self._name = f"{builder.info.full_name}:{self._split}"
        self._folder = str(builder.data_dir)
        self._source: Any = None
        self._length = self._open(builder)
        self._check_files(builder)

    def _damaged(self, what: str) -> InputError:
        return InputError(f"{what} is damaged: copy the data set again, or prepare it in another `data_dir`")

    def _check_files(self, builder: Any) -> None:
        """Check that all files of the split are complete.

        Without this check, the records of a missing or truncated file would be silently lost.

        Raises:
            InputError: If a file is missing or truncated.
        """
        from array_record.python.array_record_data_source import ArrayRecordDataSource

        for part in builder.info.splits[self._split].file_instructions:
            file = str(part.filename)
            try:
                whole = len(ArrayRecordDataSource(file)) == part.examples_in_shard
            except Exception as error:  # damaged bytes can raise almost anything
                raise self._damaged(file) from error
            if not whole:
                raise self._damaged(file)

    def _open(self, builder: Any) -> int:
        import tensorflow_datasets as tfds

        features = builder.info.features
        feature = dict(features.items()).get(IMAGE)
        if not isinstance(feature, tfds.features.Image) or feature.np_dtype not in (np.uint8, np.uint16):
            raise InputError(
                f"{self.place} has no feature called {IMAGE} that holds photographs (it has {', '.join(sorted(features))}): "
                f"name another as `data.source`"
            )
        self._has_names = FILENAME in features
        try:
            self._source = builder.as_data_source(
                split=self._split, decoders={IMAGE: tfds.decode.SkipDecoding()}
            )
        except NotImplementedError as error:
            raise InputError(
                f"{self.place} in {self._folder} is not in {ARRAY_RECORD} form, the one that is read without TensorFlow: "
                f"prepare it again in another `data_dir` with `download`"
            ) from error
        except Exception as error:
            if self._split in list(builder.info.splits):
                raise self._damaged(f"{self.place} in {self._folder}") from error
            splits = ", ".join(builder.info.splits)
            raise InputError(f"{self.place} has no split {self._split}: it has {splits}") from error
        return len(self._source)

    def __getstate__(self) -> dict[str, Any]:
        # Each worker process opens the files itself.
        return {**self.__dict__, "_source": None}

    def _example(self, record: int) -> dict[str, Any]:
        if self._source is None:
            import tensorflow_datasets as tfds

            with _known_features(self.place):
                builder = tfds.builder_from_directory(self._folder)
            self._open(builder)
        try:
            example: dict[str, Any] = self._source[record]
        except Exception as error:  # damaged bytes can raise almost anything
            raise self._damaged(f"{self._name}[{record}]") from error
        return example

    def __len__(self) -> int:
        return self._length

    def name(self, record: int) -> str:
        """Return the data set, split and index of an image, with its file name if the data set has one."""
        label = f"{self._name}[{record}]"
        if not self._has_names:
            return label
        try:
            return f"{label} ({self._example(record)[FILENAME].decode()})"
        except (InputError, AttributeError, KeyError, UnicodeDecodeError):
            return label

    def identity(self) -> str:
        """Return a hash of the full name with version, the split and the number of images."""
        return hashlib.sha256(f"{self._name} {self._length}".encode()).hexdigest()

    def decode(self, record: int, at_least: int) -> np.ndarray:
        """Decode one photograph; see :meth:`nstjax.data.source.Source.decode`."""
        encoded = io.BytesIO(self._example(record)[IMAGE])
        return to_bytes(decode_image(encoded, f"{self._name}[{record}]", at_least))
