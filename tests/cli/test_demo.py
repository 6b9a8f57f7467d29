"""``nstjax demo``, on what ships: the embedded network, paintings made by code, photographs of a wheel."""

import json
from pathlib import Path

import numpy as np
import pytest

import nstjax
from nstjax.cli.demo_command import PHOTOGRAPHS, photograph
from nstjax.cli.main import main
from nstjax.cli.synthesis_command import HOW_TO_GET_VGG
from nstjax.paintings import PAINTINGS, paint
from nstjax.weights.store import name_of

QUICK = ["--size", "32", "--iterations", "3"]


@pytest.mark.slow
def test_it_writes_its_pictures_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo", *QUICK, "--paintings", "waves", "knife", "--seed", "1"]) == 0
    folder = tmp_path / "nstjax-demo"
    assert {path.name for path in folder.iterdir()} == {
        "content.png",
        "demo.json",
        "sheet.png",
        *(f"{kind}-{name}.png" for kind in ("style", "result", "loss") for name in ("waves", "knife")),
        *(f"result-{name}.png.run.json" for name in ("waves", "knife")),
    }
    assert "nstjax transfer PHOTO PAINTING" in capsys.readouterr().out
    np.testing.assert_allclose(
        nstjax.load_image(folder / "style-knife.png"), paint("knife", 768, 768, 1), atol=1 / 255
    )
    np.testing.assert_array_equal(
        nstjax.load_image(folder / "content.png"), nstjax.load_image(photograph("coffee"))
    )
    record = json.loads((folder / "result-waves.png.run.json").read_text())
    assert record["weights"]["arch"] == "embedded"
    losses = [entry["loss"] for entry in record["history"]]
    assert losses[-1] < losses[0]
    before = (folder / "result-waves.png").read_bytes()
    assert main(["demo", *QUICK, "--paintings", "waves", "--seed", "1", "-q"]) == 0
    assert (folder / "result-waves.png").read_bytes() == before
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_ship_with_scikit_image(name: str) -> None:
    image = nstjax.load_image(photograph(name))
    assert min(image.shape[1:3]) >= 300
    assert image.std() > 0.1


def test_every_painting_can_be_asked_for() -> None:
    from typing import get_args, get_type_hints

    from nstjax.cli.demo_command import DemoOptions

    hints = get_type_hints(DemoOptions)
    assert set(get_args(get_args(hints["paintings"])[0])) == set(PAINTINGS)
    assert set(get_args(hints["photograph"])) == set(PHOTOGRAPHS)


def test_without_weights_a_transfer_uses_the_embedded_network_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NSTJAX_CACHE", str(tmp_path / "cache"))
    nstjax.save_image("painting.png", paint("knife", 96, 96))
    command = ["transfer", str(photograph("cat")), "painting.png", "-o", "out.png", "--size", "32"]
    command += ["--iterations", "2", "--no-compilation-cache"]
    assert main(command) == 0
    said = capsys.readouterr().err
    assert said.count(HOW_TO_GET_VGG) == 1
    record = json.loads(Path("out.png.run.json").read_text())
    assert record["weights_option"]["weights"] == "embedded"  # so that a repetition is of this network
    assert (
        main(["transfer", "--from", "out.png.run.json", "-o", "again.png", "-q", "--no-compilation-cache"])
        == 0
    )
    np.testing.assert_array_equal(nstjax.load_image("again.png"), nstjax.load_image("out.png"))


def test_a_record_of_the_previous_embedded_network_repeats_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records of earlier versions name it "embedded", and have its hash."""
    monkeypatch.chdir(tmp_path)
    nstjax.save_image("painting.png", paint("knife", 96, 96))
    tiny = ["--size", "32", "--iterations", "2", "-q", "--no-compilation-cache"]
    earlier = [
        "transfer",
        str(photograph("cat")),
        "painting.png",
        "-w",
        "embedded-v1",
        "--pooling",
        "average",
    ]
    assert main([*earlier, "-o", "out.png", *tiny]) == 0
    record = json.loads(Path("out.png.run.json").read_text())
    record["weights_option"]["weights"] = "embedded"
    Path("old.run.json").write_text(json.dumps(record))
    assert main(["transfer", "--from", "old.run.json", "-o", "again.png", *tiny[-2:]]) == 0
    np.testing.assert_array_equal(nstjax.load_image("again.png"), nstjax.load_image("out.png"))
    repeated = json.loads(Path("again.png.run.json").read_text())
    assert repeated["weights"]["sha256"] == record["weights"]["sha256"]
    assert repeated["weights_option"]["weights"] == "embedded-v1"


def test_a_name_that_stands_for_other_weights_now() -> None:
    former, present = (nstjax.load_backbone(name).sha256 for name in ("embedded-v1", "embedded"))
    assert name_of("embedded", former) == "embedded-v1"
    assert name_of("embedded", present) == "embedded"
    assert name_of("embedded", "0" * 64) == "embedded"  # no installed weights have this hash
    assert name_of("a/file.h5", former) == "a/file.h5"
