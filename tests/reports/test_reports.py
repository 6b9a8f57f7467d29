"""Records, plots and contact sheets."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nstjax
from nstjax.reports import contact_sheet, environment, file_facts, loss_plot, read_record, write_record

HISTORY = [
    {"scale": i // 5, "loss": 10.0 / (i + 1), "terms": {"tv": 1.0 / (i + 1), "style": 0.0}} for i in range(10)
]


def test_record_round_trip(tmp_path: Path) -> None:
    record = {"config": {"size": 1}, "inputs": {}, "history": HISTORY}
    write_record(tmp_path / "r.json", record)
    assert read_record(tmp_path / "r.json") == {"format": 1, **record}


def test_environment_names_what_decides_a_result() -> None:
    facts = environment()
    assert facts["device"]["platform"] in ("cpu", "gpu", "tpu")
    assert {"nstjax", "jax", "jaxlib", "jaxopt", "scipy"} <= set(facts["versions"])
    json.dumps(facts)


def test_file_facts(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1: the hash of "abc".
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_facts(tmp_path / "a") == {"path": str(tmp_path / "a"), "sha256": digest}
    with pytest.raises(nstjax.InputError, match="cannot read"):
        file_facts(tmp_path / "b")


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_loss_plot(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"loss{suffix}"
    loss_plot(path, HISTORY, "title")
    assert path.read_bytes()[:4] in (b"\x89PNG", b"<?xm", b"%PDF")
    if suffix == ".svg":
        text = path.read_text()
        assert "<!-- weighted loss -->" in text
        assert "<!-- tv -->" in text
        assert "<!-- style -->" not in text  # a term that is always 0 has no place on a logarithmic axis


def test_contact_sheet_shows_every_picture(tmp_path: Path) -> None:
    colours = ([1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0])
    cells = [
        (np.broadcast_to(np.array(c, np.float32), (1, 20, 30, 3)), f"picture {i}")
        for i, c in enumerate(colours)
    ]
    contact_sheet(tmp_path / "s.png", [cells[:2], [(None, "text"), cells[2]]], "title")
    with Image.open(tmp_path / "s.png") as image:
        found = np.array(image.convert("RGB")).reshape(-1, 3)
    for colour in colours:
        share = (found == np.array(colour) * 255).all(1).mean()
        assert share > 0.05
