"""Malicious and malformed requests: none reads, writes or crashes anything."""

import contextlib
import json
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
    assert '"success":true' in answer.replace(" ", "")


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file={secret}",
        "/file={secret}",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=../../../../../../etc/passwd",
        "/gradio_api/file=%2Fetc%2Fpasswd",
        "/gradio_api/file=//etc/passwd",
        "/gradio_api/file=file:///etc/passwd",
        "/gradio_api/file={root}/pyproject.toml",
        "/gradio_api/file={folder}",
        "/gradio_api/file=/proc/self/environ",
        "/static/..%2f..%2f..%2f..%2f..%2f..%2fetc/passwd",
        "/assets/..%2f..%2f..%2f..%2f..%2f..%2fetc/passwd",
        "/gradio_api/proxy=http://127.0.0.1:1/",
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


@pytest.mark.parametrize("role", ["photo", "painting"])
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(lambda secret: file_data(str(secret)), id="path"),
        pytest.param(lambda secret: file_data(f"../../../../../..{secret}"), id="relative"),
        pytest.param(lambda secret: file_data(str(secret.parent)), id="folder"),
        pytest.param(lambda secret: file_data("/etc/passwd"), id="passwd"),
        pytest.param(lambda secret: file_data("x\x00y.png"), id="null"),
        pytest.param(lambda secret: file_data("a" * 5000), id="long"),
        pytest.param(lambda secret: file_data(None, url="http://127.0.0.1:1/x.png"), id="url"),
        pytest.param(lambda secret: file_data(None, url=f"file://{secret}"), id="file-url"),
        pytest.param(lambda secret: str(secret), id="text"),
        pytest.param(lambda secret: 7, id="number"),
        pytest.param(lambda secret: [str(secret)], id="list"),
        pytest.param(lambda secret: {"path": {"path": str(secret)}}, id="nested"),
    ],
)
def test_no_event_reads_a_file_that_was_not_uploaded(
    client: Client, images: Path, secret: Path, role: str, value: Any
) -> None:
    given = {name: client.picture(images / f"{name}.png") for name in ("photo", "painting")}
    answer = client.call("paint", client.values("paint", **{**given, role: value(secret)}))
    assert '"success":false' in answer.replace(" ", "") or '"success"' not in answer
    assert SECRET not in answer


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
        ("again", "no"),
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
    answer = client.call("optimize", client.values("optimize", **{**given, key: value}))
    if key != "again":
        assert '"success":false' in answer.replace(" ", "") or '"success"' not in answer, answer[-400:]
    assert SECRET not in answer
    assert not (folder / "executed").exists()
    assert not (folder / "evil.gif").exists()


def test_malformed_events(client: Client, images: Path) -> None:
    photo = client.picture(images / "photo.png")
    for data in ([], [photo], [photo] * 200):
        assert '"success":true' not in client.call("paint", data, patience=20).replace(" ", "")
    client.call("paint", [], number=10**6, patience=2)
    client.call("paint", [], number=-1, patience=2)
    values = client.values("paint_gallery", photo=photo)
    for event in ({"index": 10**9}, {"index": "../x"}, {"index": [1, 2]}, None, {"index": -3}, 5):
        assert '"success":true' not in client.call("paint_gallery", values, event=event, patience=20).replace(
            " ", ""
        )
    for session in ("../../etc", "x" * 1000):
        client.call("stop", [], session=session, patience=5)
    assert client.http.post("/gradio_api/queue/join", content=b"{").status_code >= 400
    assert client.http.post("/gradio_api/queue/join", content=json.dumps([1]).encode()).status_code >= 400


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
        assert '"success":true' not in answer.replace(" ", "")
        assert "root:" not in answer
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
    assert "last.png" in client.call("reuse", [], session="first")


def test_the_server_still_works(client: Client, images: Path) -> None:
    test_a_proper_request_works_first(client, images)
