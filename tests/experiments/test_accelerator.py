"""The benchmark of a new device, at the size that only checks the script."""

import json
from pathlib import Path

import pytest

from experiments.benchmarks import accelerator


@pytest.mark.slow
def test_every_part_runs_at_toy_size(tmp_path: Path) -> None:
    out = tmp_path / "accelerator.json"
    accelerator.main(accelerator.Arguments(toy=True, python="no-such-python", out=out))
    found = json.loads(out.read_text())
    assert set(accelerator.PARTS) <= set(found)
    for name in accelerator.PARTS:
        assert "failed" not in found[name], found[name]
    assert {command: entry["exit code"] for command, entry in found["smoke"].items()} == dict.fromkeys(
        accelerator.COMMANDS, 0
    )
    assert found["transfers"]["64"]["iterations"] == 2
    assert found["training"]["images per second by batch size"]["1"]["nstjax"] > 0


def test_a_part_that_fails_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(arguments: accelerator.Arguments) -> dict[str, object]:
        raise RuntimeError("no memory")

    parts = {"first": broken, "second": lambda arguments: {"side": arguments.large}, "third": broken}
    monkeypatch.setattr(accelerator, "PARTS", parts)
    out = tmp_path / "a.json"
    accelerator.main(accelerator.Arguments(large=7, out=out))
    found = json.loads(out.read_text())
    assert found["first"] == {"failed": "RuntimeError: no memory"}
    assert found["second"] == {"side": 7}
    accelerator.main(accelerator.Arguments(minutes=0, out=out))
    assert json.loads(out.read_text())["second"] == "left out: the time was over"
