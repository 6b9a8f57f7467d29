"""The run record of a picture: written beside it, and read by ``--from`` and ``--resume``."""

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np

from nstjax.cli.commands import Sources, from_sources, name_of, to_sources
from nstjax.cli.jobs import Job
from nstjax.cli.options import NetworkOptions, RunOptions
from nstjax.errors import InputError
from nstjax.files import file_digest
from nstjax.images import save_image
from nstjax.plain import checked
from nstjax.reports import FileFacts, NetworkFacts, environment, read_record, write_record
from nstjax.synthesis import TransferConfig
from nstjax.typing import Backbone
from nstjax.weights.store import resolve


class Output(TypedDict):
    """The picture: its path, how it was saved, and its hash."""

    path: str
    bits: int
    quality: int
    median_filter: bool
    sha256: NotRequired[str]  # not in records of earlier versions


class RunRecord(TypedDict):
    """The parts of a run record that are read back."""

    command: NotRequired[str]
    config: dict[str, Any]
    sources: NotRequired[Sources]
    inputs: dict[str, FileFacts]
    weights: NetworkFacts
    weights_option: NetworkOptions
    output: Output
    status: NotRequired[str]


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
    """Return whether the picture exists with the record of an equal run that came to its end."""
    if not job.output.exists():
        return False
    try:
        plain = read_record(record_path(job.output))
        found: RunRecord = checked(plain, RunRecord, "the record")
        sources = to_sources(from_sources(job.options, found.get("sources", {})), paths=False)
    except InputError:
        return False  # without a readable record nothing is known of the picture
    left = {
        "command": found.get("command"),
        "config": found["config"],
        "sources": sources,
        "inputs": {name: facts["sha256"] for name, facts in found["inputs"].items()},
        "weights": plain["weights"],
    }
    output = {name: value for name, value in found["output"].items() if name != "sha256"}
    ended = found.get("status") not in ("stopped", "failed")
    return ended and left == identity and output == _output_settings(job)


def check_replaceable(path: Path, record: RunRecord) -> None:
    """Raise :class:`InputError` unless a record's output is free, or is the picture that this record describes.

    A record that comes from elsewhere may name any file as its output.

    Args:
        path: of the record, for the message.
        record: the record.
    """
    output = Path(record["output"]["path"])
    if output.exists() and not (output.is_file() and file_digest(output) == record["output"].get("sha256")):
        raise InputError(
            f"{path} names the output {output}, which exists and is not the picture that this record describes: name "
            f"an output with -o"
        )


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
    record["output"] = {**_output_settings(job), "sha256": file_digest(job.output)}
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
