"""The run record of a picture: written beside it, and read by ``--from`` and ``--resume``."""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np

from nstjax.cli.commands import Sources, from_sources, name_of, to_sources
from nstjax.cli.frames import Frames
from nstjax.cli.jobs import Job, record_path
from nstjax.cli.options import NetworkOptions, RunOptions
from nstjax.errors import InputError, OutputError
from nstjax.files import file_digest, save_elsewhere
from nstjax.images import save_image
from nstjax.plain import checked
from nstjax.reports import FileFacts, NetworkFacts, environment, loss_plot, read_record, write_record
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
    """Return whether all outputs exist, with the record of an equal run that was completed."""
    wanted = (job.output, job.options.gif, job.options.plot)
    if not all(path.exists() for path in wanted if path is not None):
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
    frames: Frames,
) -> None:
    """Write the picture, the animation and the plot, and last the record, which says that all are there.

    Raises:
        OutputError: some of them cannot be written; the message says where they are saved instead.
    """
    options = job.options
    settings = {
        "command": name_of(options),
        "config": config.to_json(),
        "sources": to_sources(options),
        "weights": backbone.describe(),
        "inputs": inputs,
    }
    losses = [dataclasses.asdict(entry) for entry in history]
    record = {
        **settings,
        "seed": config.seed,
        "weights_option": _weights_option(options),
        "status": status,
        "seconds": {"this_process": round(time.perf_counter() - began, 3)},
        "environment": environment(),
        "history": losses,
    }
    # A picture is passed on; it does not say where its sources are on this machine.
    named = {name: {**facts, "path": Path(facts["path"]).name} for name, facts in inputs.items()}
    inside = {**settings, "sources": to_sources(options, paths=False), "inputs": named}
    outputs: list[tuple[str, Path | None, Callable[[Path], None]]] = [
        (
            "the picture",
            job.output,
            lambda path: save_image(path, image, inside, options.bits, options.quality),
        ),
        ("the animation", options.gif, lambda path: frames.write_gif(path, image)),
    ]
    if history:
        outputs.append(("the plot", options.plot, lambda path: loss_plot(path, losses, job.output.name)))
    failures = []
    for what, where, write in outputs:
        if where is not None:
            try:
                save_elsewhere(where, write, what)
            except OutputError as error:
                failures.append(str(error))
    if failures:
        raise OutputError("; ".join(failures))
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
