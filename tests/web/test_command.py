"""``nstjax web``: its options, and what happens without Gradio."""

import builtins
import socket
from pathlib import Path
from typing import Any

import pytest

from nstjax.cli.main import main
from nstjax.web.command import listen


def test_an_address_in_use_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["web", "--port", str(port)]) == 2
    said = capsys.readouterr().err
    assert f"--port {port}" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["--port", "70000"], ["--host", "no.such.host.invalid"], ["--port", "x"]]
)
def test_bad_options(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["web", *arguments]) == 2
    assert arguments[0] in capsys.readouterr().err


def test_without_gradio_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    plain = builtins.__import__

    def without(name: str, *arguments: Any, **named: Any) -> Any:
        if name.split(".")[0] == "gradio":
            raise ImportError(name)
        return plain(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for name in ("GRADIO_ANALYTICS_ENABLED", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "GRADIO_TEMP_DIR"):
        monkeypatch.setenv(name, "")  # restored at the end
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "")
    assert main(["web", "--port", "0"]) == 2
    assert "pip install 'nstjax[web]'" in capsys.readouterr().err


def test_port_zero_is_a_free_port() -> None:
    with listen("127.0.0.1", 0) as one, listen("127.0.0.1", 0) as two:
        assert one.getsockname()[1] != two.getsockname()[1]
