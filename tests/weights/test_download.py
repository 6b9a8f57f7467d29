"""Downloads, against a server on 127.0.0.1."""

import dataclasses
import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import nstjax
from nstjax.weights import registry, store
from tests.helpers.networks import random_params
from tests.helpers.server import Quiet, serving
from tests.helpers.weight_files import write_keras_old


class Handler(Quiet):
    content = b""
    requests = 0

    def do_GET(self) -> None:
        type(self).requests += 1
        if self.path == "/missing.h5":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        body = self.content[: len(self.content) // 2] if self.path == "/broken.h5" else self.content
        self.wfile.write(body)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving(Handler) as address:
        yield address


@pytest.fixture
def entry(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> registry.Published:
    """VGG-19's entry, as if the server's file were the published one."""
    monkeypatch.setenv("NSTJAX_CACHE", str(tmp_path / "cache"))
    write_keras_old(tmp_path / "w.h5", random_params("vgg19", 8))
    Handler.content, Handler.requests = (tmp_path / "w.h5").read_bytes(), 0
    digest = hashlib.md5(Handler.content).hexdigest()
    published = dataclasses.replace(registry.REGISTRY["vgg19"], url=f"{server}/vgg19.h5", digest=digest)
    monkeypatch.setitem(registry.REGISTRY, "vgg19", published)
    return published


def test_fetch_checks_converts_and_installs(entry: registry.Published, tmp_path: Path) -> None:
    path = store.fetch("vgg19")
    assert path == tmp_path / "cache" / "weights" / "vgg19"
    backbone = nstjax.load_backbone("vgg19")
    assert backbone.arch == "vgg19"
    assert backbone.sha256 == hashlib.sha256(Handler.content).hexdigest()
    assert "CC BY 4.0" in backbone.source
    assert not list((tmp_path / "cache" / "downloads").iterdir())
    assert store.fetch("vgg19", tmp_path / "ckpts") == tmp_path / "ckpts" / "vgg19"


def test_a_wrong_hash_is_never_used(
    entry: registry.Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.REGISTRY, "vgg19", dataclasses.replace(entry, digest="0" * 32))
    with pytest.raises(
        nstjax.InputError, match=r"has the md5 \w{32} where 0{32} is expected: it was deleted"
    ):
        store.fetch("vgg19")
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_a_broken_download_leaves_nothing_and_the_next_one_works(
    entry: registry.Published, server: str, tmp_path: Path
) -> None:
    with pytest.raises(nstjax.InputError, match="cannot download"):
        store.fetch("vgg19", url=f"{server}/broken.h5")
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]
    assert store.fetch("vgg19").is_dir()


def test_a_whole_file_already_there_is_not_fetched_again(entry: registry.Published, tmp_path: Path) -> None:
    folder = tmp_path / "d"
    registry.download(entry, folder)
    registry.download(entry, folder)
    assert Handler.requests == 1
    (folder / entry.filename).write_bytes(b"half")
    registry.download(entry, folder)
    assert Handler.requests == 2


def test_hashes_given_by_their_beginning(entry: registry.Published, tmp_path: Path) -> None:
    digest = hashlib.sha256(Handler.content).hexdigest()
    short = dataclasses.replace(entry, algorithm="sha256", digest=digest[:8])
    assert registry.download(short, tmp_path / "d").exists()
    with pytest.raises(nstjax.InputError, match="sha256"):
        registry.download(dataclasses.replace(short, digest="00000000"), tmp_path / "e")


def test_servers_that_refuse_or_are_not_there(entry: registry.Published, server: str) -> None:
    with pytest.raises(nstjax.InputError, match=r"cannot download .*missing.h5 \(404"):
        store.fetch("vgg19", url=f"{server}/missing.h5")
    with pytest.raises(nstjax.InputError, match=r"ConnectionError.*check the network"):
        store.fetch("vgg19", url="http://127.0.0.1:9/vgg19.h5")
    with pytest.raises(nstjax.InputError, match="no published weights are called 'vgg11'"):
        store.fetch("vgg11")


def test_a_download_that_grows_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server packs 3 MB of zeros into 3 KB, whether that is asked for or not."""

    class Packed(Quiet):
        def do_GET(self) -> None:
            body = gzip.compress(bytes(3_000_000))
            self.send_response(200)
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with serving(Packed) as address:
        small = dataclasses.replace(registry.REGISTRY["vgg16"], url=f"{address}/w.h5", megabytes=1)
        with pytest.raises(
            nstjax.InputError, match=r"/w\.h5 sends more than the 1 MB of vgg16: nothing was kept"
        ):
            registry.download(small, tmp_path / "d")
    assert list((tmp_path / "d").iterdir()) == []


def test_an_address_that_is_none_and_a_folder_in_the_way(entry: registry.Published, tmp_path: Path) -> None:
    with pytest.raises(nstjax.InputError, match="`url` /tmp is not an address: it must begin with https://"):
        store.fetch("vgg19", url="/tmp")
    (tmp_path / "d" / entry.filename).mkdir(parents=True)
    with pytest.raises(nstjax.InputError, match=r"vgg19\.h5 is a folder where the download goes: remove it"):
        registry.download(entry, tmp_path / "d")


def test_an_unwritable_cache_is_told(
    entry: registry.Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NSTJAX_CACHE", str(tmp_path / "file"))
    with pytest.raises(nstjax.InputError, match="cannot write to"):
        store.fetch("vgg19")
