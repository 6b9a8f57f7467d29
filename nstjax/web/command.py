"""``nstjax web``: serves the page."""

import contextlib
import errno
import os
import shutil
import socket
import tempfile
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from nstjax.cli.options_web import WebOptions
from nstjax.cli.parse import parse
from nstjax.errors import InputError, within

UPLOADS = "uploads"  # Gradio's folder for uploads and for the pictures that it serves
_MOST_PORT = 65535


def prepare_gradio(root: Path) -> None:
    """Import Gradio with settings that keep it offline, and with its temporary files in ``root``.

    Gradio reads the environment when it is imported.

    Raises:
        InputError: If it is not installed.
    """
    for name, value in (
        ("GRADIO_ANALYTICS_ENABLED", "False"),
        ("HF_HUB_OFFLINE", "1"),
        ("HF_HUB_DISABLE_TELEMETRY", "1"),
        ("GRADIO_TEMP_DIR", str(root / UPLOADS)),
        # This process and those of the optimizations share the memory of a GPU.
        ("XLA_PYTHON_CLIENT_PREALLOCATE", "false"),
    ):
        os.environ[name] = value
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise InputError("nstjax web needs the package gradio: pip install 'nstjax[web]'") from error


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address.

    Raises:
        InputError: If the address is not valid or is in use.
    """
    within("port", port, 0, _MOST_PORT)
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InputError(f"--host {host} is not an address of this machine: leave it out") from error
    if os.name != "nt":  # on Windows the option would let two servers share a port
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise InputError(f"--host {host} is not an address of this machine: leave it out") from error
        raise InputError(
            f"cannot listen on --host {host} --port {port} ({error.strerror}): choose another --port"
        ) from error
    return listening


def _is_local(host: str) -> bool:
    return host not in ("", "0.0.0.0", "::")


def run_web(arguments: Sequence[str]) -> int:
    """Run ``nstjax web``.

    Args:
        arguments: the arguments after the command's name.

    Returns:
        The exit code.

    Raises:
        InputError: If an option is not valid, the address is in use, or Gradio is not installed.
    """
    options = parse(WebOptions, arguments, "nstjax web")
    listening = listen(options.host, options.port)
    root = Path(tempfile.mkdtemp(prefix="nstjax-web-"))
    try:
        prepare_gradio(root)
        from nstjax.web.server import serve  # imports Gradio

        port = listening.getsockname()[1]
        shown = options.host if _is_local(options.host) else "127.0.0.1"
        address = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"

        def started() -> None:
            if not options.quiet:
                others = (
                    "" if _is_local(options.host) else f", or port {port} of this machine from another one"
                )
                print(f"nstjax web: open {address} in a browser{others}; Ctrl-C ends it", flush=True)
            if options.open:
                webbrowser.open(address)

        with contextlib.suppress(KeyboardInterrupt):
            serve(root, listening, options.host, started)
    finally:
        listening.close()
        shutil.rmtree(root, ignore_errors=True)
    return 0
