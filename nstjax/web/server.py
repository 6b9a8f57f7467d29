"""The HTTP server of the page: what it accepts, and what the browser may load."""

import ipaddress
import re
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import gradio
import uvicorn
from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nstjax.files import folder_bytes
from nstjax.web.command import UPLOADS
from nstjax.web.page import CSS, THEME, make_page
from nstjax.web.session import MAX_UPLOAD_BYTES, Sessions

LOOPBACK = ("127.0.0.1", "::1", "localhost")
# Gradio has more routes, among them some that edit the application or fetch other addresses; the page needs these only.
SERVED = re.compile(
    r"/(config/?|theme\.css|favicon\.ico|manifest\.json|(static|assets|svelte)/.*|gradio_api/"
    r"(upload/?|upload_progress/?|queue/(join|data)/?|run/predict/?|file=.*|heartbeat/[^/]*/?|startup-events/?|app_id/?))?"
)
FILE, UPLOAD = "/gradio_api/file=", "/gradio_api/upload"
MAX_BODY_BYTES = 2**20  # of a request that is not an upload
MAX_UPLOADS_BYTES = 4 * 2**30  # of all uploads and results together
# Gradio's page has inline scripts and styles. Everything must come from this server: no fonts, scripts or requests
# elsewhere.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
        "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Guard:
    """ASGI middleware that serves the page and nothing else.

    It refuses requests from other websites and routes other than :data:`SERVED`, and adds the headers that keep the page
    offline.

    Args:
        app: the application.
        uploads: Gradio's folder of uploads, the only one from which files are served.
    """

    def __init__(self, app: ASGIApp, uploads: Path) -> None:
        self._app, self._uploads = app, uploads.resolve()

    def _refusal(self, scope: Scope) -> tuple[str, int] | None:
        """Return why a request is refused, with the HTTP status; None if it is not."""
        headers, path = Headers(scope=scope), str(scope["path"])
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            return "requests from other websites are refused", 403
        if not SERVED.fullmatch(path):
            return "not found", 404
        if path.startswith(FILE):
            # Gradio would fetch an address, and return what is there.
            name = Path(path.removeprefix(FILE))
            try:
                own = name.is_absolute() and name.resolve().is_relative_to(self._uploads)
            except (OSError, ValueError):  # too long, or with a null character
                own = False
            if not own:
                return "not found", 404
        if scope["method"] == "POST":
            length = headers.get("content-length", "")
            upload = path.startswith(UPLOAD)
            if not length.isdigit():
                return "the length of the request is missing", 411
            if int(length) > (2 * MAX_UPLOAD_BYTES if upload else MAX_BODY_BYTES):
                return "the request is too large", 413
            if upload and folder_bytes(self._uploads) > MAX_UPLOADS_BYTES:
                return "the uploads of all pages are too large: close some pages", 413
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await PlainTextResponse(*refusal)(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, with_headers)


def _is_loopback(host: str) -> bool:
    """Return True if only this machine can reach an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _refuse_address(*_: object, **__: object) -> str:
    """Replace Gradio's download of an address that a browser names in place of an upload."""
    raise gradio.Error("only uploaded files are read: upload the file", print_exception=False)


def make_app(root: Path, host: str) -> tuple[FastAPI, Sessions]:
    """Return the application and its sessions.

    A request is refused if its ``Origin`` is another website. If ``host`` is a loopback address, a request is also refused
    if its ``Host`` is another name, because a website can point its own name to 127.0.0.1.

    Args:
        root: folder for temporary files.
        host: the address that the server listens on.
    """
    uploads = root / UPLOADS
    uploads.mkdir(parents=True, exist_ok=True)
    sessions = Sessions(uploads)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard, uploads=uploads)
    if _is_loopback(host):
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK, host, "[::1]"])
    gradio.processing_utils.async_ssrf_protected_download = _refuse_address
    page = make_page(sessions, root / "examples")
    page.has_launched = True  # otherwise Gradio 6 lets a mounted page read any path that a browser sends
    gradio.mount_gradio_app(
        app,
        page,
        path="/",
        max_file_size=MAX_UPLOAD_BYTES,
        show_error=True,
        footer_links=[],
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        theme=THEME,
        css=CSS,
    )
    return app, sessions


def serve(root: Path, listening: socket.socket, host: str, started: Callable[[], None]) -> None:
    """Serve the page until Ctrl-C.

    Args:
        root: folder for temporary files.
        listening: the socket.
        host: the address it listens on.
        started: called when the page can be opened.
    """
    app, sessions = make_app(root, host)
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=2)
    started()  # the socket listens already, and the first request waits for the start
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        sessions.close_all()
