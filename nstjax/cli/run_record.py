"""What a transfer leaves beside its picture, and how it is known again."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nstjax.cli.jobs import Job
from nstjax.cli.options import TransferOptions
from nstjax.images import save_image
from nstjax.reports import environment, read_record, write_record
from nstjax.synthesis import TransferConfig
from nstjax.typing import Backbone


def record_path(output: Path) -> Path:
    """``OUT``'s stem with ``.run.json``, beside it."""
    return output.with_name(f"{output.stem}.run.json")


def identity_of(
    job: Job, config: TransferConfig, backbone: Backbone, inputs: dict[str, Any]
) -> dict[str, Any]:
    """What must be equal for two runs to end in the same picture."""
    return {
        "config": config.to_json(),
        "content": inputs["content"]["sha256"],
        "style": inputs["style"]["sha256"],
        "init": inputs.get("init", {}).get("sha256"),
        "weights": backbone.describe(),
    }


def is_finished(output: Path, identity: dict[str, Any]) -> bool:
    """Whether the output is there with the record of a run of the same identity that came to its end."""
    path = record_path(output)
    if not output.exists() or not path.exists():
        return False
    found = read_record(path)
    same = found["config"] == _plain(identity["config"]) and found["weights"] == _plain(identity["weights"])
    hashes = all(
        found["inputs"].get(k, {}).get("sha256") == identity[k] for k in ("content", "style", "init")
    )
    return same and hashes and found["status"] not in ("stopped", "failed")


def _plain(data: Any) -> Any:
    """As JSON would give it back."""
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items()}
    return [_plain(value) for value in data] if isinstance(data, tuple | list) else data


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
    settings = {"config": config.to_json(), "weights": backbone.describe(), "inputs": inputs}
    record = {
        **settings,
        "seed": config.seed,
        "weights_option": _weights_option(options),
        "output": {
            "path": str(job.output.absolute()),
            "bits": options.bits,
            "quality": options.quality,
            "median_filter": options.median_filter,
        },
        "status": status,
        "seconds": {"this_process": round(time.perf_counter() - began, 3)},
        "environment": environment(),
        "history": [_finite(dataclasses.asdict(entry)) for entry in history],
    }
    # A picture is passed on; where its sources lie on this machine is nobody's business.
    named = {name: {**facts, "path": Path(facts["path"]).name} for name, facts in inputs.items()}
    save_image(job.output, image, {**settings, "inputs": named}, options.bits, options.quality)
    write_record(record_path(job.output), record)


def _weights_option(options: TransferOptions) -> dict[str, Any]:
    network = dataclasses.asdict(options.network)
    if Path(network["weights"]).exists():
        network["weights"] = str(Path(network["weights"]).absolute())
    return network


def _finite(entry: dict[str, Any]) -> dict[str, Any]:
    """Non-finite numbers are no JSON; a failed run's last entries may hold one."""
    terms = {name: value if np.isfinite(value) else None for name, value in entry["terms"].items()}
    return {**entry, "terms": terms}
