"""Lines that the synthesis commands print about a run."""

from collections.abc import Iterator
from typing import Any

from nstjax.cli.pictures import Pictures
from nstjax.synthesis import TransferConfig
from nstjax.typing import Backbone


def differences(
    record: dict[str, Any], config: TransferConfig, backbone: Backbone, pictures: Pictures
) -> Iterator[str]:
    """Yield the differences between a run and the record that it repeats, other than the options given."""
    if not record:
        return
    for name, facts in record["inputs"].items():
        if name not in pictures.facts or pictures.facts[name]["sha256"] != facts["sha256"]:
            yield f"the {name} image is not the one of the record"
    if record["weights"]["sha256"] != backbone.sha256:
        yield "the weights are not those of the record"
    if config.style_strength and record["config"].get("objective", {}).get("style_weight") is None:
        yield "the record's style strength had another scale"


def announcement(backbone: Backbone, config: TransferConfig) -> str:
    """Return a line with the weights and layers that the run uses."""
    objective = config.objective
    used = [
        f"{what} {', '.join(layers)}"
        for what, layers, weight in (
            ("style", objective.style_layers, objective.beta),
            ("content", objective.content_layers, objective.content_weight),
        )
        if weight
    ]
    return f"{backbone.arch} ({backbone.source}): {'; '.join(used)}"
