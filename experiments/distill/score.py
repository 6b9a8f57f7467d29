"""Scores of feature networks by their transfers: ``python -m experiments.distill.score --students NAMES``.

The teacher-loss ratio of a network is L(result with the network) / L(result with VGG-19). L is the default
objective computed with VGG-19: five style layers, content at relu4_2, and total variation. Both transfers
have the same initial image, iterations and loss weights. The training used none of the photographs and
paintings. The command writes ``score.json``, ``pairs.jpg``, ``score.jpg`` and ``large.jpg``.
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
from experiments.common import EQUAL_WEIGHTS, Lab, fit
from nstjax import TransferConfig
from nstjax.losses import make_targets, objective
from nstjax.nn.student import init_student, make_student
from nstjax.optim import Lbfgs
from nstjax.reports import contact_sheet, environment
from nstjax.synthesis.loss import FeatureExtractor
from nstjax.synthesis.pyramid import content_at, style_at
from nstjax.typing import Backbone

# rhone_night, the_scream and udnie are left out because they are used for training.
STYLES = ("starry_night", "wheatfield", "woman_with_hat", "great_wave", "shipwreck")
CONTENTS = ("golden_gate", "tubingen", "timber_houses", "chelsea")
SKIMAGE = {
    **{name: f"{name}.png" for name in ("chelsea", "astronaut", "coffee", "motorcycle_left")},
    "rocket": "rocket.jpg",
}
"""Photographs in scikit-image's wheel."""
PHOTOGRAPHS = (
    *("golden_gate", "tubingen", "timber_houses"),  # of --images
    *("chelsea", "astronaut", "coffee", "rocket", "motorcycle_left"),
)
"""Names for :func:`photograph`; none of them is used in a training."""
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
    """Load a photograph from the image folder or scikit-image; return ``(1, h, w, 3)`` in [0, 1]."""
    import skimage

    if name not in SKIMAGE:
        return lab.picture("content", name)
    return nstjax.load_image(Path(skimage.__file__).parent / "data" / SKIMAGE[name])


_evaluate = jax.jit(lambda fun, image: fun(image))


def teacher_terms(
    image: np.ndarray, content: np.ndarray, style: np.ndarray, teacher: Backbone, config: TransferConfig
) -> dict[str, float]:
    """Compute the teacher's objective for the result of a transfer, at the size of the result.

    Args:
        image: the result, ``(1, h, w, 3)``.
        content: the photograph, ``(1, h', w', 3)`` in [0, 1].
        style: the painting, ``(1, h'', w'', 3)`` in [0, 1].
        teacher: VGG-19.
        config: settings of the transfer.

    Returns:
        The weighted terms by name, and their sum as ``"total"``.
    """
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
    """A photograph and a painting, with the result of VGG-19's transfer.

    Attributes:
        name: names of the photograph and the painting, and the size of the result in pixels.
        content: the photograph, ``(1, h, w, 3)`` in [0, 1].
        style: the painting, ``(1, h', w', 3)`` in [0, 1].
        config: settings of the transfers.
        image: result of the transfer with VGG-19, ``(1, h'', w'', 3)`` in [0, 1].
        terms: terms of ``image`` from :func:`teacher_terms`.
        layer_weights: weights of relu1_1 to relu5_1 in transfers with students; by default those of the network.
    """

    name: str
    content: np.ndarray
    style: np.ndarray
    config: TransferConfig
    image: np.ndarray
    terms: dict[str, float]
    layer_weights: tuple[float, ...] = ()


def all_pairs() -> tuple[tuple[str, str], ...]:
    """Return the names of all pairs: each photograph with each painting."""
    return tuple((content, style) for content in CONTENTS for style in STYLES)


def teacher_runs(
    lab: Lab,
    pairs: Sequence[tuple[str, str]],
    config: TransferConfig = CONFIG,
    layer_weights: tuple[float, ...] = (),
) -> dict[tuple[str, str], Pair]:
    """Run the transfers of pairs with VGG-19, or read their results from the lab's cache.

    Args:
        lab: the lab; its network is VGG-19.
        pairs: names of the photographs and paintings.
        config: settings of the transfers.
        layer_weights: as in :class:`Pair`.

    Returns:
        The pairs by their names.
    """
    found = {}
    for content_name, style_name in pairs:
        content, style = photograph(lab, content_name), lab.picture("style", style_name)
        name = f"{content_name}_{style_name}_{config.size}"
        run = lab.run(f"teacher_{name}", content, style, config)
        terms = teacher_terms(run.image, content, style, lab.backbone, config)
        found[content_name, style_name] = Pair(name, content, style, config, run.image, terms, layer_weights)
        print(f"{name}: VGG-19's loss is {terms['total']:.4g}", flush=True)
    return found


def _style(terms: dict[str, float]) -> float:
    return sum(term for name, term in terms.items() if name.startswith("style/"))


def picture_of(lab: Lab, pair: Pair, label: str, network: Backbone) -> np.ndarray:
    """Return the result of a pair's transfer with a network, ``(1, h, w, 3)`` in [0, 1].

    Args:
        lab: the lab, which caches the result.
        pair: the photograph and the painting.
        label: name of the network, for the cache.
        network: the feature network.
    """
    config = pair.config
    if pair.layer_weights:
        record = dataclasses.replace(EQUAL_WEIGHTS, style_layer_weights=pair.layer_weights)
        config = dataclasses.replace(config, objective=record)
    return lab.run(f"{label}_{pair.name}", pair.content, pair.style, config, network).image


def score(lab: Lab, pairs: Iterable[Pair], label: str, network: Backbone) -> dict[str, Any]:
    """Compute the teacher-loss ratios of a network on pairs.

    Args:
        lab: the lab; its network is the teacher.
        pairs: from :func:`teacher_runs`.
        label: name of the network, for the cache and the output.
        network: the feature network.

    Returns:
        ``"mean"``, ``"worst"`` (the largest) and ``"pairs"`` (by name) of the ratios of the whole loss;
        ``"style_mean"``, the mean ratio of the sum of the style terms; and ``"terms"``, the terms of the objective as
        means over the pairs: of the teacher's pictures (``"teacher"``) and the network's (``"network"``), computed by
        the teacher; and of the network's pictures, computed by the network (``"network, by itself"``) at its layers,
        with the teacher's equal weights of the style layers.
    """
    ratios, style_ratios = {}, []
    seen: dict[str, list[dict[str, float]]] = {"teacher": [], "network": [], "network, by itself": []}
    for pair in pairs:
        image = picture_of(lab, pair, label, network)
        terms = teacher_terms(image, pair.content, pair.style, lab.backbone, pair.config)
        equal = dataclasses.replace(pair.config, objective=pair.config.objective.for_layers(network.layers))
        own = teacher_terms(image, pair.content, pair.style, network, equal)
        for key, found in zip(seen, (pair.terms, terms, own), strict=True):
            seen[key].append(found)
        ratios[pair.name] = terms["total"] / pair.terms["total"]
        style_ratios.append(_style(terms) / _style(pair.terms))
        print(f"{label}, {pair.name}: {ratios[pair.name]:.3f} (style {style_ratios[-1]:.3f})", flush=True)
    values = list(ratios.values())
    return {
        "mean": round(float(np.mean(values)), 3),
        "worst": round(max(values), 3),
        "style_mean": round(float(np.mean(style_ratios)), 3),
        "terms": {
            key: {name: round(float(np.mean([terms[name] for terms in found])), 4) for name in found[0]}
            for key, found in seen.items()
        },
        "pairs": {name: round(value, 3) for name, value in ratios.items()},
    }


def random_twin(network: Backbone, seed: int = 0) -> Backbone:
    """Return a network with the shapes of another one and random weights."""
    widths = {name: layer["bias"].shape[0] for name, layer in network.params.items()}
    heads = {name: layer["head"].shape[1] for name, layer in network.params.items() if "head" in layer}
    params = init_student(jax.random.key(seed), widths, heads, head_scale=1.0)
    return make_student(params, source="random weights", sha256=f"seed {seed}, {widths}, {heads}")


@dataclasses.dataclass(frozen=True)
class Arguments(common.Arguments):
    """Command-line arguments."""

    students: tuple[str, ...] = ("embedded",)
    """Networks to score: names of installed weights, or folders of stores."""
    large: bool = True
    """Also score five pairs at 512 pixels. VGG-19's transfers then take 15 minutes more."""
    layer_weights: tuple[float, ...] = ()
    """Weights of relu1_1 to relu5_1 in the transfers with the students; by default those of `nstjax transfer`."""


def _sheet(lab: Lab, path: Path, pairs: list[Pair], networks: dict[str, Backbone], title: str) -> None:
    """Write a sheet with a row for each pair: photograph, painting, results of VGG-19 and of the networks."""
    rows = []
    for pair in pairs:
        side = pair.config.size
        row = [(fit(pair.content, side), pair.name), (fit(pair.style, side), ""), (pair.image, "VGG-19")]
        row += [(picture_of(lab, pair, label, network), label) for label, network in networks.items()]
        rows.append(row)
    contact_sheet(path, rows, title, cell=2.4)


def main(arguments: Arguments) -> None:
    """Score students, and random networks of the same shapes; write ``score.json`` and the sheets."""
    lab = Lab(arguments, Path(__file__).parent)
    if len({Path(name).name for name in arguments.students}) < len(arguments.students):
        raise nstjax.InputError("two --students end in one name: give their folders different names")
    students = {Path(name).name: nstjax.load_backbone(name) for name in arguments.students}
    networks = students | {f"{name}, random": random_twin(network) for name, network in students.items()}
    weights = arguments.layer_weights
    pairs = teacher_runs(lab, all_pairs(), layer_weights=weights)
    found: dict[str, Any] = {"size": CONFIG.size, "scales": CONFIG.pyramid(), "iterations": 150}
    if weights:
        found["layer weights"] = weights
    for label, network in networks.items():
        found[label] = score(lab, pairs.values(), label, network)
        print(f"{label}: mean {found[label]['mean']}, worst {found[label]['worst']}", flush=True)
    title = "Pictures of pairs that the training never saw"
    _sheet(lab, lab.out / "pairs.jpg", [pairs[names] for names in SHEET_PAIRS], students, title)
    _sheet(lab, lab.out / "score.jpg", [pairs[names] for names in SHEET_PAIRS[:4]], networks, title)
    if arguments.large:
        large = teacher_runs(lab, LARGE_PAIRS, LARGE, weights)
        found["at 512 px"] = {
            label: score(lab, large.values(), label, network) for label, network in students.items()
        }
        _sheet(lab, lab.out / "large.jpg", list(large.values()), students, f"{title}, 512 px")
    found["environment"] = environment()
    (lab.out / "score.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(tyro.cli(Arguments))
