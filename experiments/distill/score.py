"""The score of feature networks by what they make: ``python -m experiments.distill.score --students NAMES``.

The teacher-loss ratio of a network: L(picture made with it) / L(picture made with the teacher), L being the
teacher's objective, same start, iterations and weights. The pairs are of photographs and paintings that
the training never saw.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro

import nstjax
from experiments import common
from experiments.common import Lab, fit
from nstjax import TransferConfig
from nstjax.losses import make_targets, objective
from nstjax.nn.student import init_student, make_student
from nstjax.optim import Lbfgs
from nstjax.reports import contact_sheet, environment
from nstjax.synthesis.loss import FeatureExtractor
from nstjax.synthesis.pyramid import content_at, style_at
from nstjax.typing import Backbone

# Not among these: rhone_night, the_scream and udnie, on which the students are trained.
STYLES = ("starry_night", "wheatfield", "woman_with_hat", "great_wave", "shipwreck")
CONTENTS = ("golden_gate", "tubingen", "timber_houses", "chelsea")
SKIMAGE = {"chelsea": "chelsea.png"}  # in its wheel
CONFIG = TransferConfig(size=256, optimizer=Lbfgs(iterations=150))


def photograph(lab: Lab, name: str) -> np.ndarray:
    """A photograph of the images' folder, or of scikit-image's wheel."""
    import skimage

    if name not in SKIMAGE:
        return lab.picture("content", name)
    return nstjax.load_image(Path(skimage.__file__).parent / "data" / SKIMAGE[name])


_evaluate = jax.jit(lambda fun, image: fun(image))


def teacher_terms(
    image: np.ndarray, content: np.ndarray, style: np.ndarray, teacher: Backbone, config: TransferConfig
) -> dict[str, float]:
    """The teacher's weighted terms of a picture at its size, and their sum as ``"total"``."""
    config = config.for_backbone(teacher)
    record, side = config.objective, max(image.shape[1:3])
    apply = FeatureExtractor(config.pooling, config.pooling_scale, config.padding)
    targets = make_targets(
        record,
        apply(teacher, content_at(content, side), record.used_content_layers),
        apply(teacher, style_at(style, side, config), record.used_style_layers),
    )
    total, terms = _evaluate(objective(record, apply, teacher, targets), image)
    return {"total": float(total), **{name: float(term) for name, term in terms.items()}}


@dataclasses.dataclass(frozen=True)
class Pair:
    """A photograph, a painting, the teacher's picture of them and its terms there."""

    name: str
    content: np.ndarray
    style: np.ndarray
    image: np.ndarray
    terms: dict[str, float]


def teacher_runs(
    lab: Lab, contents: tuple[str, ...] = CONTENTS, styles: tuple[str, ...] = STYLES
) -> list[Pair]:
    """The teacher's own pictures of all pairs; kept by the lab."""
    found = []
    for content_name in contents:
        content = photograph(lab, content_name)
        for style_name in styles:
            name, style = f"{content_name}_{style_name}", lab.picture("style", style_name)
            run = lab.run(f"teacher_{name}", content, style, CONFIG)
            terms = teacher_terms(run.image, content, style, lab.backbone, CONFIG)
            found.append(Pair(name, content, style, run.image, terms))
            print(f"{name}: the teacher's loss is {terms['total']:.4g}", flush=True)
    return found


def _style(terms: dict[str, float]) -> float:
    return sum(term for name, term in terms.items() if name.startswith("style/"))


def score(lab: Lab, pairs: list[Pair], label: str, network: Backbone) -> dict[str, Any]:
    """Ratios of a network on all pairs.

    Returns:
        ``"mean"``, ``"worst"``, and ``"pairs"``: of the whole loss; ``"style_mean"``: of its style terms alone.
    """
    ratios, style_ratios = {}, []
    for pair in pairs:
        run = lab.run(f"{label}_{pair.name}", pair.content, pair.style, CONFIG, network)
        terms = teacher_terms(run.image, pair.content, pair.style, lab.backbone, CONFIG)
        ratios[pair.name] = terms["total"] / pair.terms["total"]
        style_ratios.append(_style(terms) / _style(pair.terms))
        print(f"{label}, {pair.name}: {ratios[pair.name]:.3f} (style {style_ratios[-1]:.3f})", flush=True)
    values = list(ratios.values())
    return {
        "mean": round(float(np.mean(values)), 3),
        "worst": round(max(values), 3),
        "style_mean": round(float(np.mean(style_ratios)), 3),
        "pairs": {name: round(value, 3) for name, value in ratios.items()},
    }


def random_twin(network: Backbone, seed: int = 0) -> Backbone:
    """A network of the same shape with random weights."""
    widths = {name: layer["bias"].shape[0] for name, layer in network.params.items()}
    heads = {name: layer["head"].shape[1] for name, layer in network.params.items() if "head" in layer}
    params = init_student(jax.random.key(seed), widths, heads, head_scale=1.0)
    return make_student(params, source="random weights", sha256=f"seed {seed}, {widths}, {heads}")


@dataclasses.dataclass(frozen=True)
class Arguments(common.Arguments):
    """What is scored."""

    students: tuple[str, ...] = ("embedded",)
    """Installed names, or folders of stores."""
    shown: tuple[str, ...] = (
        "golden_gate_starry_night",
        "tubingen_wheatfield",
        "timber_houses_great_wave",
        "chelsea_woman_with_hat",
    )
    """Pairs of the figure."""


def main(arguments: Arguments) -> None:
    """Score students on all pairs and their random twins on those shown; write ``score.json``, ``score.jpg``."""
    lab = Lab(arguments, Path(__file__).parent)
    pairs = teacher_runs(lab)
    shown = [pair for pair in pairs if pair.name in arguments.shown]
    if len({Path(name).name for name in arguments.students}) < len(arguments.students):
        raise nstjax.InputError("two --students end in one name: give their folders different names")
    networks: dict[str, Backbone] = {}
    found: dict[str, Any] = {}
    for name in arguments.students:
        label, network = Path(name).name, nstjax.load_backbone(name)
        for each, weights, on in ((label, network, pairs), (f"{label}, random", random_twin(network), shown)):
            networks[each], found[each] = weights, score(lab, on, each, weights)
            print(f"{each}: mean {found[each]['mean']}, worst {found[each]['worst']}", flush=True)
    settings = {"size": CONFIG.size, "scales": CONFIG.pyramid(), "iterations": CONFIG.optimizer.iterations}
    (lab.out / "score.json").write_text(
        json.dumps({**settings, **found, "environment": environment()}, indent=1)
    )
    rows = []
    for pair in shown:
        row = [(fit(pair.content, 256), pair.name), (fit(pair.style, 256), ""), (pair.image, "VGG-19: 1")]
        for label, network in networks.items():
            run = lab.run(f"{label}_{pair.name}", pair.content, pair.style, CONFIG, network)
            row.append((run.image, f"{label}: {found[label]['pairs'][pair.name]:.2f}"))
        rows.append(row)
    contact_sheet(
        lab.out / "score.jpg", rows, "Teacher-loss ratios on pairs that the training never saw", cell=2.4
    )


if __name__ == "__main__":
    main(tyro.cli(Arguments))
