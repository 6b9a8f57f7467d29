"""Losses of the one pass by the number of scales: ``python -m experiments.one_pass.scales``.

It needs ``--weights`` with VGG-19 and ``--images``, and writes ``scales.json``.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import tyro

import nstjax
from experiments import common
from experiments.common import Lab, fit
from experiments.distill.score import photograph, teacher_terms
from experiments.one_pass.compare import SIDE, pairs_of
from nstjax import TransferConfig
from nstjax.arbitrary.apply import prepare_style, stylize_arbitrary
from nstjax.arbitrary.store import load_decoder
from nstjax.digests import tree_digest
from nstjax.reports import environment


@dataclasses.dataclass(frozen=True)
class Arguments(common.Arguments):
    """Command-line arguments."""

    pairs: int = 5
    """Number of pairs."""
    decoder: Path | None = None
    """Folder of the decoder's store; by default the one that comes with nstjax."""


def main(arguments: Arguments) -> None:
    """Measure the pictures with 1, 2 and 3 scales."""
    lab = Lab(arguments, Path(__file__).parent)
    decoder, embedded = load_decoder(arguments.decoder), nstjax.load_backbone("embedded")
    found: dict[str, list[dict[str, float]]] = {}
    for photo_name, painting_name in pairs_of(arguments.pairs):
        photo, painting = fit(photograph(lab, photo_name), SIDE), lab.picture("style", painting_name)
        style = prepare_style(embedded, painting)
        for count in (1, 2, 3):
            image = stylize_arbitrary(decoder, embedded, photo, style, scale_count=count)
            terms = teacher_terms(image, photo, painting, lab.backbone, TransferConfig(size=SIDE))
            found.setdefault(str(count), []).append(terms)
    mean = {
        count: {term: round(float(np.mean([of[term] for of in all_])), 3) for term in all_[0]}
        for count, all_ in found.items()
    }
    for scales, terms in mean.items():
        print(scales, terms)
    record = {"mean": mean, "decoder": tree_digest(decoder.params), "environment": environment()}
    (lab.out / "scales.json").write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main(tyro.cli(Arguments))
