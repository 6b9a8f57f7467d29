"""The HTTP server of the page: what it accepts, and what the browser may load."""

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

from nstjax.web.command import UPLOADS
from nstjax.web.page import CSS, THEME, make_page
from nstjax.web.session import MAX_UPLOAD_BYTES, Sessions

LOOPBACK = ("127.0.0.1", "::1", "localhost")
# Gradio's page has inline scripts and styles. Everything must come from this server: no fonts, scripts or requests
# elsewhere.
# Gradio has more routes, among them some that edit the application or fetch other addresses; the page needs these only.
SERVED = re.compile(
    r"/(config/?|theme\.css|favicon\.ico|manifest\.json|(static|assets|svelte)/.*|gradio_api/"
    r"(upload/?|upload_progress/?|queue/(join|data)/?|file=.*|heartbeat/[^/]*/?|startup-events/?|app_id/?|cancel/?|reset/?))?"
)
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
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received = Headers(scope=scope)
        origin = received.get("origin")
        if origin is not None and urlsplit(origin).netloc != received.get("host"):
            await PlainTextResponse("requests from other websites are refused", 403)(scope, receive, send)
            return

        if not SERVED.fullmatch(scope["path"]):
            await PlainTextResponse("not found", 404)(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, with_headers)


def make_app(root: Path, host: str) -> tuple[FastAPI, Sessions]:
    """Return the application and its sessions.

    A request is refused if its ``Host`` is not this machine (a website could otherwise point its own name to
    127.0.0.1), or if its ``Origin`` is another website.

    Args:
        root: folder for temporary files.
        host: the address that the server listens on; only for a loopback address the ``Host`` is checked.
    """
    files = root / "sessions"
    files.mkdir(parents=True, exist_ok=True)
    sessions = Sessions(files, root / UPLOADS)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    app.add_middleware(Guard)
    if host in LOOPBACK:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK, "[::1]"])
    page = make_page(sessions, root / "examples")
    page.has_launched = True  # otherwise Gradio 6 lets a mounted page read any path that a browser sends
    gradio.mount_gradio_app(
        app,
        page,
        path="/",
        allowed_paths=[str(files)],
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
