"""Score feature networks by the pictures they make: ``python -m experiments.distill.score --students NAMES``.

The teacher-loss ratio of a network is L(picture made with it) / L(picture made with VGG-19), where L is VGG-19's
default objective (five style layers, content at relu4_2, total variation), with the same start, iterations and
weights. No photograph and no painting was used in the training.
"""

import dataclasses
import json
from collections.abc import Iterable, Sequence
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

# Without rhone_night, the_scream and udnie, on which the students are trained.
STYLES = ("starry_night", "wheatfield", "woman_with_hat", "great_wave", "shipwreck")
CONTENTS = ("golden_gate", "tubingen", "timber_houses", "chelsea")
SKIMAGE = {"chelsea": "chelsea.png"}  # in its wheel
CONFIG = TransferConfig(size=256, optimizer=Lbfgs(iterations=150))
LARGE = TransferConfig(size=512, optimizer=Lbfgs(iterations=150))
LARGE_PAIRS = (
    ("golden_gate", "starry_night"),
    ("tubingen", "wheatfield"),
    ("timber_houses", "great_wave"),
    ("chelsea", "woman_with_hat"),
    ("golden_gate", "shipwreck"),
)
SHEET_PAIRS = (
    *LARGE_PAIRS,
    *(
        ("tubingen", "starry_night"),
        ("timber_houses", "shipwreck"),
        ("chelsea", "starry_night"),
        ("golden_gate", "woman_with_hat"),
        ("tubingen", "great_wave"),
    ),
)


def photograph(lab: Lab, name: str) -> np.ndarray:
    """A photograph of the images' folder, or one that comes with scikit-image."""
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
    """A photograph, a painting, VGG-19's picture of them and its terms there.

    Attributes:
        name: of both.
        content: the photograph.
        style: the painting.
        config: of the transfers.
        image: VGG-19's picture.
        terms: from :func:`teacher_terms`.
    """

    name: str
    content: np.ndarray
    style: np.ndarray
    config: TransferConfig
    image: np.ndarray
    terms: dict[str, float]


def all_pairs() -> tuple[tuple[str, str], ...]:
    """Every photograph with every painting."""
    return tuple((content, style) for content in CONTENTS for style in STYLES)


def teacher_runs(
    lab: Lab, pairs: Sequence[tuple[str, str]], config: TransferConfig = CONFIG
) -> dict[tuple[str, str], Pair]:
    """VGG-19's own pictures of pairs; the lab keeps them."""
    found = {}
    for content_name, style_name in pairs:
        content, style = photograph(lab, content_name), lab.picture("style", style_name)
        name = f"{content_name}_{style_name}_{config.size}"
        run = lab.run(f"teacher_{name}", content, style, config)
        terms = teacher_terms(run.image, content, style, lab.backbone, config)
        found[content_name, style_name] = Pair(name, content, style, config, run.image, terms)
        print(f"{name}: VGG-19's loss is {terms['total']:.4g}", flush=True)
    return found


def _style(terms: dict[str, float]) -> float:
    return sum(term for name, term in terms.items() if name.startswith("style/"))


def picture_of(lab: Lab, pair: Pair, label: str, network: Backbone) -> np.ndarray:
    """A network's picture of a pair."""
    return lab.run(f"{label}_{pair.name}", pair.content, pair.style, pair.config, network).image


def score(lab: Lab, pairs: Iterable[Pair], label: str, network: Backbone) -> dict[str, Any]:
    """Ratios of a network on pairs.

    Returns:
        ``"mean"``, ``"worst"`` and ``"pairs"`` of the whole loss; ``"style_mean"`` of its style terms alone.
    """
    ratios, style_ratios = {}, []
    for pair in pairs:
        image = picture_of(lab, pair, label, network)
        terms = teacher_terms(image, pair.content, pair.style, lab.backbone, pair.config)
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
    large: bool = True
    """Also score five pairs at 512 pixels, which takes 15 minutes for VGG-19."""


def _sheet(lab: Lab, path: Path, pairs: list[Pair], networks: dict[str, Backbone], title: str) -> None:
    """A row for each pair: photograph, painting, VGG-19's picture and those of the networks."""
    rows = []
    for pair in pairs:
        side = pair.config.size
        row = [(fit(pair.content, side), pair.name), (fit(pair.style, side), ""), (pair.image, "VGG-19")]
        row += [(picture_of(lab, pair, label, network), label) for label, network in networks.items()]
        rows.append(row)
    contact_sheet(path, rows, title, cell=2.4)


def main(arguments: Arguments) -> None:
    """Score students and their random twins; write ``score.json`` and the sheets."""
    lab = Lab(arguments, Path(__file__).parent)
    if len({Path(name).name for name in arguments.students}) < len(arguments.students):
        raise nstjax.InputError("two --students end in one name: give their folders different names")
    students = {Path(name).name: nstjax.load_backbone(name) for name in arguments.students}
    networks = students | {f"{name}, random": random_twin(network) for name, network in students.items()}
    pairs = teacher_runs(lab, all_pairs())
    found: dict[str, Any] = {"size": CONFIG.size, "scales": CONFIG.pyramid(), "iterations": 150}
    for label, network in networks.items():
        found[label] = score(lab, pairs.values(), label, network)
        print(f"{label}: mean {found[label]['mean']}, worst {found[label]['worst']}", flush=True)
    title = "Pictures of pairs that the training never saw"
    _sheet(lab, lab.out / "pairs.jpg", [pairs[names] for names in SHEET_PAIRS], students, title)
    _sheet(lab, lab.out / "score.jpg", [pairs[names] for names in SHEET_PAIRS[:4]], networks, title)
    if arguments.large:
        large = teacher_runs(lab, LARGE_PAIRS, LARGE)
        found["at 512 px"] = {
            label: score(lab, large.values(), label, network) for label, network in students.items()
        }
        _sheet(lab, lab.out / "large.jpg", list(large.values()), students, f"{title}, 512 px")
    found["environment"] = environment()
    (lab.out / "score.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(tyro.cli(Arguments))
