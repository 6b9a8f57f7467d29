"""Where published weights come from, and their download."""

import dataclasses
from pathlib import Path

from nstjax.errors import InputError
from nstjax.files import file_digest

_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
_TORCH = "https://download.pytorch.org/models"
_VGG_LICENCE = "CC BY 4.0, K. Simonyan and A. Zisserman (VGG, Oxford)"


@dataclasses.dataclass(frozen=True)
class Published:
    """A published weights file.

    Attributes:
        name: what ``nstjax weights fetch`` and ``--weights`` call it.
        arch: ``"vgg16"`` or ``"vgg19"``.
        url: where it is downloaded from.
        algorithm: of ``digest``: ``"md5"`` or ``"sha256"``.
        digest: the hash, or its beginning where the publisher gives no more.
        licence: of the weights.
        note: one line on what is special about them.
    """

    name: str
    arch: str
    url: str
    algorithm: str
    digest: str
    licence: str
    note: str

    @property
    def filename(self) -> str:
        """The last part of the address."""
        return self.url.rsplit("/", 1)[-1]


REGISTRY: dict[str, Published] = {
    entry.name: entry
    for entry in (
        Published(
            "vgg19",
            "vgg19",
            f"{_KERAS}/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "md5",
            "253f8cb515780f3b799900260a226db6",
            _VGG_LICENCE,
            "the original weights, by way of Keras; 80 MB; the ones to prefer",
        ),
        Published(
            "vgg16",
            "vgg16",
            f"{_KERAS}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "md5",
            "6d6bbae143d832006294945121d1f1fc",
            _VGG_LICENCE,
            "the original weights, by way of Keras; 59 MB",
        ),
        Published(
            "vgg19-torchvision",
            "vgg19",
            f"{_TORCH}/vgg19-dcbb9e9d.pth",
            "sha256",
            "dcbb9e9d",
            "BSD-3-Clause (torchvision)",
            "trained anew by torchvision: other pictures than the original's; 548 MB",
        ),
        Published(
            "vgg16-torchvision",
            "vgg16",
            f"{_TORCH}/vgg16-397923af.pth",
            "sha256",
            "397923af",
            "BSD-3-Clause (torchvision)",
            "trained anew by torchvision: other pictures than the original's; 528 MB",
        ),
    )
}


def published(name: str) -> Published:
    """The registry's entry of a name.

    Raises:
        InputError: there is none of that name.
    """
    if name not in REGISTRY:
        raise InputError(f"no published weights are called {name!r}: the names are {', '.join(REGISTRY)}")
    return REGISTRY[name]


def download(entry: Published, folder: Path, url: str | None = None, progressbar: bool = False) -> Path:
    """Download a published file into ``folder`` and check its hash before anything uses it.

    The bytes go to a temporary name, which takes the final one only when the download is whole, so
    that a broken download leaves nothing behind and the next attempt starts afresh. A file already
    there whose hash is right is not fetched again.

    Args:
        entry: from :data:`REGISTRY`.
        folder: made if missing.
        url: another address of the same file (a mirror); the hash must be the same.
        progressbar: whether to show one on standard error.

    Raises:
        InputError: the server cannot be reached or refuses, the folder cannot be written, or the hash
            is wrong, in which case the file is deleted.
    """
    import pooch
    import requests

    url = url or entry.url
    target = folder / entry.filename
    pooch.get_logger().setLevel("WARNING")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if target.exists() and not file_digest(target, entry.algorithm).startswith(entry.digest):
            target.unlink()
        fetcher = pooch.HTTPDownloader(progressbar=progressbar, timeout=30)
        pooch.retrieve(url, None, entry.filename, folder, downloader=fetcher)
    except (requests.RequestException, ValueError) as error:
        reason = (
            type(error).__name__
            if not isinstance(error, requests.HTTPError)
            else str(error).split(" for url")[0]
        )
        raise InputError(
            f"cannot download {url} ({reason}): check the network, or download it elsewhere and name the file "
            f"with --weights"
        ) from error
    except OSError as error:
        raise InputError(
            f"cannot write to {folder}: {error.strerror}; free some space or set NSTJAX_CACHE"
        ) from error
    digest = file_digest(target, entry.algorithm)
    if not digest.startswith(entry.digest):
        target.unlink()
        raise InputError(
            f"{url} has the {entry.algorithm} {digest} where {entry.digest} is expected: it was deleted; fetch "
            f"it again, from elsewhere if that does not help"
        )
    return target
