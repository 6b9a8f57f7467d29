"""Malicious and malformed requests: none reads, writes or crashes anything."""

import contextlib
import json
import socket
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

httpx = pytest.importorskip("httpx", reason="needs the extra web")
pytest.importorskip("gradio", reason="needs the extra web")

pytestmark = pytest.mark.slow

SECRET = "the-secret-of-this-machine"


class Client:
    """Sends what a browser, or an attacker, would send."""

    def __init__(self, address: str) -> None:
        self.http = httpx.Client(base_url=address, timeout=120)
        self.config = self.http.get("/config").json()
        self.numbers = {one["api_name"]: one["id"] for one in self.config["dependencies"]}
        self.inputs = {one["api_name"]: one["inputs"] for one in self.config["dependencies"]}
        self.components = {one["id"]: one for one in self.config["components"]}

    def upload(self, path: Path, name: str | None = None) -> Any:
        with path.open("rb") as file:
            return self.http.post("/gradio_api/upload", files={"files": (name or path.name, file)})

    def picture(self, path: Path) -> dict[str, Any]:
        return file_data(self.upload(path).json()[0])

    def call(
        self,
        name: str,
        data: list[Any],
        session: str = "attack",
        event: Any = None,
        number: int | None = None,
        patience: float = 60,
    ) -> str:
        """Call an event; return every message of the server about it, as text."""
        body = {
            "data": data,
            "fn_index": self.numbers[name] if number is None else number,
            "session_hash": session,
            "event_data": event,
        }
        try:
            joined = self.http.post("/gradio_api/queue/join", json=body)
        except httpx.TransportError:  # the server closes the connection after some malformed requests
            return ""
        if joined.status_code != 200:
            return joined.text
        found: list[str] = []
        url, parameters = "/gradio_api/queue/data", {"session_hash": session}
        with (
            contextlib.suppress(httpx.ReadTimeout),  # nothing is sent about an event that does not exist
            self.http.stream("GET", url, params=parameters, timeout=patience) as lines,
        ):
            for line in lines.iter_lines():
                found.append(line)
                if any(end in line for end in ("process_completed", "unexpected_error", "close_stream")):
                    break
        return "\n".join(found)

    def values(self, name: str, **given: Any) -> list[Any]:
        """Return the values of an event's inputs: those given by the element's ``elem_id``, else empty ones."""
        found: list[Any] = []
        for number in self.inputs[name]:
            component = self.components[number]
            key = (component["props"].get("elem_id") or "").replace("-", "_")
            kind = component["type"]
            empty = {"dropdown": "", "textbox": "", "checkbox": False}.get(kind)
            found.append(given.pop(key, empty))
        assert not given, given
        return found


def refused(answer: str, sentence: str = "") -> bool:
    """True if the server completed the event without success, with a sentence."""
    plain = answer.replace(" ", "")
    return "process_completed" in answer and '"success":false' in plain and sentence in answer


def made(answer: str) -> bool:
    """True if the event succeeded."""
    return "process_completed" in answer and '"success":true' in answer.replace(" ", "")


def file_data(path: Any, **more: Any) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}


@pytest.fixture(scope="module")
def client(server: tuple[str, Path]) -> Iterator[Client]:
    found = Client(server[0])
    yield found
    found.http.close()


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Path:
    """Return a file outside the server's folders: a picture whose metadata contain :data:`SECRET`."""
    path = tmp_path_factory.mktemp("private") / "secret.png"
    content = (images / "photo.png").read_bytes()
    text = b"tEXtComment\x00" + SECRET.encode()
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    path.write_bytes(content[:33] + chunk + content[33:])
    return path


def test_a_proper_request_works_first(client: Client, images: Path) -> None:
    values = client.values("paint", photo=client.picture(images / "photo.png"))
    assert "the style image is missing" in client.call("paint", values)
    values = client.values(
        "paint",
        photo=client.picture(images / "photo.png"),
        painting=client.picture(images / "painting.png"),
    )
    answer = client.call("paint", values)
    assert "picture.png" in answer
    assert made(answer)


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file={secret}",
        "/file={secret}",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=%2Fetc%2Fpasswd",
        "/gradio_api/file=//etc/passwd",
        "/gradio_api/file=file:///etc/passwd",
        "/gradio_api/file={root}/pyproject.toml",
        "/gradio_api/file={folder}",
        "/gradio_api/file=/proc/self/environ",
        "/static/..%2f..%2f..%2f..%2f..%2f..%2fetc/passwd",
        "/assets/..%2f..%2f..%2f..%2f..%2f..%2fetc/passwd",
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/gradio_api/file=http://127.0.0.1:1/x",
        "/gradio_api/file=https://example.com/x.png",
        "/custom_component/x/y/..%2f..%2fetc/passwd",
        "/docs",
        "/openapi.json",
        "/gradio_api/info",
        "/gradio_api/vibe-code",
        "/gradio_api/user",
        "/login_check",
        "/monitoring",
        "/gradio_api/mcp/sse",
    ],
)
def test_no_file_of_the_machine_is_served(
    client: Client, server: tuple[str, Path], secret: Path, path: str
) -> None:
    root = Path(__file__).parents[2]
    answer = client.http.get(path.format(secret=secret, root=root, folder=server[1]))
    assert answer.status_code >= 400 or "<!doctype html>" in answer.text.lower(), answer.status_code
    for private in (SECRET, "root:", "requires-python", "PATH="):
        assert private not in answer.text


def test_a_proper_optimization_works_first(client: Client, images: Path) -> None:
    given = {name: client.picture(images / f"{name}.png") for name in ("photo", "painting")}
    values = client.values("optimize", **given, transfer_size="32", transfer_iterations="1")
    assert "Stopped before it began" in client.call("optimize", values)
    assert made(client.call("request_run", []))
    answer = client.call("optimize", values)
    assert "picture.png.run.json" in answer
    assert made(answer)


def test_paths_with_dots_are_not_resolved(server: tuple[str, Path]) -> None:
    host, port = server[0].removeprefix("http://").split(":")
    for path in ("../" * 9 + "etc/passwd", str(server[1]) + "/../" * 9 + "etc/passwd", "/etc/passwd%00.png"):
        with socket.create_connection((host, int(port)), 20) as connection:
            request = (
                f"GET /gradio_api/file={path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
            )
            connection.sendall(request.encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 4"), answer[:200]
        assert b"root:" not in answer


@pytest.mark.parametrize("role", ["photo", "painting"])
@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        pytest.param(lambda secret: file_data(str(secret)), "", id="path"),
        pytest.param(lambda secret: file_data(f"../../../../../..{secret}"), "", id="relative"),
        pytest.param(lambda secret: file_data(str(secret.parent)), "", id="folder"),
        pytest.param(lambda secret: file_data("/etc/passwd"), "", id="passwd"),
        pytest.param(lambda secret: file_data("x\x00y.png"), "", id="null"),
        pytest.param(lambda secret: file_data("a" * 5000), "", id="long"),
        pytest.param(
            lambda secret: file_data("http://example.com/x.png"), "only uploaded files", id="address"
        ),
        pytest.param(lambda secret: file_data("http://127.0.0.1:1/x.png"), "only uploaded files", id="local"),
        pytest.param(lambda secret: file_data(f"file://{secret}"), "", id="file-address"),
        pytest.param(lambda secret: str(secret), "", id="text"),
        pytest.param(lambda secret: 7, "", id="number"),
        pytest.param(lambda secret: [str(secret)], "", id="list"),
        pytest.param(lambda secret: {"path": {"path": str(secret)}}, "", id="nested"),
    ],
)
def test_no_event_reads_a_file_that_was_not_uploaded(
    client: Client, images: Path, secret: Path, role: str, value: Any, sentence: str
) -> None:
    given = {name: client.picture(images / f"{name}.png") for name in ("photo", "painting")}
    answer = client.call("paint", client.values("paint", **{**given, role: value(secret)}))
    assert refused(answer, sentence), answer[-400:]


def test_the_route_without_a_queue_checks_files_too(client: Client, images: Path, secret: Path) -> None:
    for name in ("canvas", "check"):
        body = {"data": [file_data(str(secret))], "fn_index": client.numbers[name], "session_hash": "attack"}
        answer = client.http.post("/gradio_api/run/predict", json=body)
        assert answer.status_code >= 400, answer.text
        body["data"] = [file_data("http://127.0.0.1:1/x.png")]
        assert client.http.post("/gradio_api/run/predict", json=body).status_code >= 400


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("transfer_style_statistic", "{folder}/evil.py:Name"),
        ("transfer_style_statistic", "os:system"),
        ("transfer_weights", "{secret}"),
        ("transfer_preset", "../x"),
        ("transfer_iterations", "5 --from {secret}"),
        ("transfer_style_layers", "relu1_1 --gif {folder}/evil.gif"),
        ("transfer_style_layers", "../../x"),
        ("transfer_size", "1e999"),
        ("transfer_size", "nan"),
        ("transfer_size", "-5"),
        ("transfer_size", "1000000"),
        ("transfer_size", {"path": "/etc/passwd"}),
        ("transfer_scales", "1 " * 1000),
        ("transfer_seed", "99999999999999999999"),
        ("editor", {"background": None, "layers": [file_data("/etc/passwd")], "composite": None}),
        ("editor", "x"),
    ],
)
def test_options_cannot_name_files_or_code(
    client: Client, images: Path, secret: Path, key: str, value: Any
) -> None:
    folder = secret.parent
    (folder / "evil.py").write_text(f"open({str(folder / 'executed')!r}, 'w')\nclass Name: pass\n")
    if isinstance(value, str):
        value = value.format(folder=folder, secret=secret)
    given = {name: client.picture(images / f"{name}.png") for name in ("photo", "painting")}
    given |= {"transfer_size": "32", "transfer_iterations": "1"}
    client.call("request_run", [])
    answer = client.call("optimize", client.values("optimize", **{**given, key: value}))
    assert refused(answer), answer[-400:]
    assert not (folder / "executed").exists()
    assert not (folder / "evil.gif").exists()
    client.call("stop", [])  # forget the request, if the event did not begin


def test_malformed_events(client: Client, images: Path) -> None:
    photo = client.picture(images / "photo.png")
    for data in ([], [photo], [photo] * 200):
        assert not made(client.call("paint", data, patience=20))
    client.call("paint", [], number=10**6, patience=2)
    client.call("paint", [], number=-1, patience=2)
    values = client.values("paint_gallery", photo=photo)
    for index in (10**9, "../x", [1, 2], None, -3, 16, True):
        answer = client.call("paint_gallery", values, event={"index": index, "value": None}, patience=20)
        assert index is True or refused(answer, "has no such style"), answer[-400:]
    for event in (None, 5, {"index": 3}):
        assert not made(client.call("paint_gallery", values, event=event, patience=20))
    assert made(client.call("paint_gallery", values, event={"index": 3, "value": None}))
    for session in ("../../etc", "x" * 1000):
        client.call("stop", [], session=session, patience=5)
    assert client.http.post("/gradio_api/queue/join", content=b"{").status_code >= 400
    assert client.http.post("/gradio_api/queue/join", content=json.dumps([1]).encode()).status_code >= 400
    assert client.http.post("/gradio_api/queue/join", content=b"1" * (2**20 + 1)).status_code == 413
    assert client.http.post("/gradio_api/queue/join", content=iter([b"{}"])).status_code == 411


def test_uploads_are_bounded_and_decoded_by_the_loader(client: Client, tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(66 * 2**20))
    assert client.upload(tmp_path / "large.png").status_code == 413
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "bomb.png").write_bytes(bomb)
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "vector.svg").write_text(
        '<!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg xmlns="http://www.w3.org/2000/svg">&x;</svg>'
    )
    for name in ("bomb.png", "text.png", "vector.svg"):
        answer = client.call("canvas", [client.picture(tmp_path / name)])
        assert refused(answer, name), answer[-400:]
    stored = client.upload(tmp_path / "text.png", "../../../evil.png").json()[0]
    assert ".." not in stored
    assert "nstjax-web-" in stored


def test_requests_from_elsewhere_are_refused(client: Client) -> None:
    assert client.http.get("/", headers={"Host": "evil.example"}).status_code == 400
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
        assert (
            client.http.post("/gradio_api/queue/join", json={}, headers={"Origin": origin}).status_code == 403
        )
    policy = client.http.get("/").headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy


def test_a_result_belongs_to_one_browser(client: Client, images: Path) -> None:
    given = {name: client.picture(images / f"{name}.png") for name in ("photo", "painting")}
    client.call("paint", client.values("paint", **given), session="first")
    assert "there is no result" in client.call("reuse", [], session="second")
    assert "result-" in client.call("reuse", [], session="first")


def test_the_server_still_works(client: Client, images: Path) -> None:
    test_a_proper_request_works_first(client, images)
