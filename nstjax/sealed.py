"""A private folder whose files carry a keyed hash, so that forged files are not used.

Compiled programs are machine code, so a user who can write to the cache can run code in the next process. The folder
has mode 0700, and each file begins with an HMAC-SHA256 (RFC 2104) of its name and content. The random key is stored in
another folder. A file is used only if its hash is correct, which also detects damage.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from nstjax.files import replacing, state_folder
from nstjax.private import Refused, is_own, private_folder

KEY_NAME = "sealing-key"
KEY_BYTES = TAG_BYTES = 32
_OTHERS_CAN_WRITE = stat.S_IWGRP | stat.S_IWOTH


def _read_own(path: Path, forbidden: int) -> bytes | None:
    """Return the content of a file, or None if it is not safe to use.

    It is safe if it is a regular file of the current user, not a symbolic link, and its mode has none of the bits
    ``forbidden``. The result is also None if the file is missing or cannot be read.
    """
    flags = (
        os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            facts = os.fstat(file.fileno())
            exposed = os.name != "nt" and facts.st_mode & forbidden
            if exposed or not stat.S_ISREG(facts.st_mode) or not is_own(facts):
                return None
            return file.read()
    except OSError:
        return None


def _replace(path: Path, content: bytes) -> None:
    """Write a file with mode 0600, without waiting for the disk: the hash detects a file that was cut off."""
    with replacing(path, private=True) as temporary:
        temporary.write_bytes(content)


def _key(folder: Path) -> bytes:
    """Return the user's key, which is created on first use. A key that other users can read or write is replaced.

    Args:
        folder: the private folder of the key.

    Raises:
        Refused: If the key cannot be created or kept private.
    """
    private_folder(folder)
    path = folder / KEY_NAME
    for _ in range(3):  # another process may create or replace it at the same time
        key = _read_own(path, forbidden=0o077)
        if key is not None and len(key) == KEY_BYTES:
            return key
        try:
            _replace(path, secrets.token_bytes(KEY_BYTES))
        except OSError as error:
            raise Refused(f"{path}: {error.strerror}") from error
    raise Refused(f"{path} cannot be kept private")


class SealedFolder:
    """A private folder of files that each begin with a keyed hash; see the module's docstring.

    The name of a file is itself a keyed hash of the name that the caller uses. So a file cannot be read under another
    name, and users with different keys do not replace each other's files.

    Args:
        path: the folder, which is created if it is missing.

    Attributes:
        path: the folder.

    Raises:
        Refused: If this folder or the key's folder is not private and cannot be made private.
    """

    def __init__(self, path: Path) -> None:
        self._key = _key(state_folder())
        private_folder(path)
        self.path = path

    def _mac(self, *parts: bytes) -> bytes:
        """Return the HMAC-SHA256 of a sequence of byte strings."""
        mac = hmac.new(self._key, digestmod=hashlib.sha256)
        for part in parts:  # prefixed with its length, so that different sequences never give the same bytes
            mac.update(len(part).to_bytes(8, "little"))
            mac.update(part)
        return mac.digest()

    def place(self, name: str) -> Path:
        """Return the path of the file that stores ``name``."""
        return self.path / f"nstjax-{self._mac(b'name', name.encode()).hex()}"

    def read(self, name: str) -> bytes | None:
        """Return the content stored under ``name``, or None if there is none with a correct hash.

        A file that is damaged, that another user owns, or that other users can write counts as missing and is deleted.
        """
        path = self.place(name)
        content = _read_own(path, _OTHERS_CAN_WRITE)
        if content is not None:
            tag, body = content[:TAG_BYTES], content[TAG_BYTES:]
            if hmac.compare_digest(tag, self._mac(b"content", name.encode(), body)):
                with contextlib.suppress(OSError):
                    os.utime(path)  # nstjax.programs uses the modification time as the time of the last use
                return body
        with contextlib.suppress(OSError):
            path.unlink()
        return None

    def write(self, name: str, content: bytes) -> None:
        """Store content under ``name``, completely or not at all.

        A symbolic link at the file's path is replaced, not followed.

        Raises:
            OSError: If the file cannot be written.
        """
        _replace(self.place(name), self._mac(b"content", name.encode(), content) + content)
