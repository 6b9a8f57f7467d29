"""What a transfer leaves beside its picture, and how it is known again."""

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nstjax.cli.commands import from_sources, name_of, to_sources
from nstjax.cli.jobs import Job
from nstjax.cli.options import RunOptions
from nstjax.errors import InputError
from nstjax.images import save_image
from nstjax.reports import environment, read_record, write_record
from nstjax.synthesis import TransferConfig
from nstjax.typing import Backbone
from nstjax.weights.store import resolve


def record_path(output: Path) -> Path:
    """``OUT.run.json``, beside it."""
    return output.with_name(f"{output.name}.run.json")


def identity_of(
    job: Job, config: TransferConfig, backbone: Backbone, inputs: dict[str, Any]
) -> dict[str, Any]:
    """What must be equal for two runs to end in the same picture, as JSON would give it back."""
    identity = {
        "command": name_of(job.options),
        "config": config.to_json(),
        "sources": to_sources(job.options, paths=False),
        "inputs": {name: facts["sha256"] for name, facts in inputs.items()},
        "weights": backbone.describe(),
    }
    plain: dict[str, Any] = json.loads(json.dumps(identity))
    return plain


def _output_settings(job: Job) -> dict[str, Any]:
    options = job.options
    settings = {"bits": options.bits, "quality": options.quality, "median_filter": options.median_filter}
    return {"path": str(job.output.absolute()), **settings}


def is_finished(job: Job, identity: dict[str, Any]) -> bool:
    """Whether the picture is there with the record of an equal run that came to its end."""
    if not job.output.exists():
        return False
    try:
        found = read_record(record_path(job.output))
        left = {name: found[name] for name in ("command", "config", "weights")}
        left["sources"] = to_sources(from_sources(job.options, found["sources"]), paths=False)
        left["inputs"] = {name: facts["sha256"] for name, facts in found["inputs"].items()}
        ended = found["status"] not in ("stopped", "failed")
        return ended and left == identity and found["output"] == _output_settings(job)
    except (InputError, KeyError, TypeError, AttributeError):
        return False  # without a readable record nothing is known of the picture


def write_outputs(
    job: Job,
    config: TransferConfig,
    backbone: Backbone,
    inputs: dict[str, Any],
    image: np.ndarray,
    history: Sequence[Any],
    status: str,
    began: float,
) -> None:
    """Write the picture, then its record.

    Raises:
        InputError: one of them cannot be written; the picture comes first, so that it is not lost.
    """
    options = job.options
    settings = {
        "command": name_of(options),
        "config": config.to_json(),
        "sources": to_sources(options),
        "weights": backbone.describe(),
        "inputs": inputs,
    }
    record = {
        **settings,
        "seed": config.seed,
        "weights_option": _weights_option(options),
        "output": _output_settings(job),
        "status": status,
        "seconds": {"this_process": round(time.perf_counter() - began, 3)},
        "environment": environment(),
        "history": [_finite(dataclasses.asdict(entry)) for entry in history],
    }
    # A picture is passed on; where its sources lie on this machine is nobody's business.
    named = {name: {**facts, "path": Path(facts["path"]).name} for name, facts in inputs.items()}
    save_image(
        job.output,
        image,
        {**settings, "sources": to_sources(options, paths=False), "inputs": named},
        options.bits,
        options.quality,
    )
    write_record(record_path(job.output), record)


def _weights_option(options: RunOptions) -> dict[str, Any]:
    """The network's options; a file's path is made absolute, an installed name stays one, ``auto`` is told."""
    network = dataclasses.asdict(options.network)
    network["weights"] = str(resolve(network["weights"], network["network"]))
    path = Path(network["weights"])
    if path.exists() and (path.name != network["weights"] or path.suffix):
        network["weights"] = str(path.absolute())
    return network


def _finite(entry: dict[str, Any]) -> dict[str, Any]:
    """Non-finite numbers are no JSON; a failed run's last entries may hold one."""
    terms = {name: value if np.isfinite(value) else None for name, value in entry["terms"].items()}
    return {**entry, "terms": terms}
