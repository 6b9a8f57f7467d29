"""The run record of a picture, which is written beside it and read by ``--from`` and ``--resume``."""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np

from nstjax.cli.frames import Frames
from nstjax.cli.job import Arrangement, Job
from nstjax.cli.options import NetworkOptions
from nstjax.errors import InputError, OutputError
from nstjax.files import file_digest, save_elsewhere
from nstjax.images import save_image
from nstjax.images.flow import opencv
from nstjax.plain import checked
from nstjax.reports import FileFacts, NetworkFacts, environment, loss_plot, read_record, write_record
from nstjax.synthesis import TransferConfig, VideoConfig
from nstjax.typing import Backbone
from nstjax.weights.store import name_of, resolve


class RecordedOutput(TypedDict):
    """The picture: its path, its format, and the hash of the file."""

    path: str
    bits: int
    quality: int
    median_filter: bool
    sha256: NotRequired[str]  # not in records of earlier versions


class RunRecord(TypedDict):
    """The fields of a run record that are read back."""

    command: NotRequired[str]
    config: dict[str, Any]
    sources: NotRequired[Arrangement]
    inputs: dict[str, FileFacts]
    weights: NetworkFacts
    weights_option: NetworkOptions
    output: RecordedOutput
    status: NotRequired[str]
    video: NotRequired[VideoConfig]


def identity_of(
    job: Job, config: TransferConfig, backbone: Backbone, inputs: dict[str, Any]
) -> dict[str, Any]:
    """Return, as parsed JSON, everything that must be equal for two runs to give the same picture.

    Args:
        job: the job.
        config: the config, with all layers named.
        backbone: the feature network.
        inputs: path and hash of every input file, by its role.
    """
    identity = {
        "command": job.command,
        "config": config.to_json(),
        "sources": job.sources.describe(paths=False),
        "inputs": {name: facts["sha256"] for name, facts in inputs.items()},
        "weights": backbone.describe(),
    }
    if job.video is not None:
        identity |= _of_video(job.video, job.output.median_filter)
    plain: dict[str, Any] = json.loads(json.dumps(identity))
    return plain


def _of_video(video: VideoConfig, median_filter: bool) -> dict[str, Any]:
    """Return what a video's identity has besides: its saved frames are filtered."""
    return {"video": dataclasses.asdict(video), "median_filter": median_filter}


def is_finished(job: Job, identity: dict[str, Any]) -> bool:
    """Return True if all outputs exist, together with the record of an equal run that was completed.

    Args:
        job: the job.
        identity: the result of :func:`identity_of`.
    """
    wanted = (job.output.path, job.output.gif, job.output.plot)
    if not all(path.exists() for path in wanted if path is not None):
        return False
    try:
        plain = read_record(job.output.record)
        found: RunRecord = checked(plain, RunRecord, "the record")
        sources = job.sources.describe(found.get("sources", Arrangement()), paths=False)
    except InputError:
        return False  # without a readable record nothing is known about the picture
    left = {
        "command": found.get("command"),
        "config": found["config"],
        "sources": sources,
        "inputs": {name: facts["sha256"] for name, facts in found["inputs"].items()},
        "weights": plain["weights"],
    }
    if "video" in found:
        left |= _of_video(found["video"], found["output"]["median_filter"])
    output = {name: value for name, value in found["output"].items() if name != "sha256"}
    ended = found.get("status") not in ("stopped", "failed")
    return ended and left == identity and output == job.output.describe()


def check_output_of(record: RunRecord, path: Path) -> None:
    """Raise :class:`InputError` if a record's output exists and is not the picture that the record describes.

    A record from another source could name any file as its output.

    Args:
        record: the record.
        path: the path of the record, for the message.
    """
    output = Path(record["output"]["path"])
    if output.exists() and not (output.is_file() and file_digest(output) == record["output"].get("sha256")):
        raise InputError(
            f"{path} names the output {output}, which exists and is not the picture that this record describes: name "
            f"an output with -o"
        )


def _settings(job: Job, config: TransferConfig, backbone: Backbone, inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a record that determine the result."""
    return {
        "command": job.command,
        "config": config.to_json(),
        "sources": job.sources.describe(),
        "weights": backbone.describe(),
        "inputs": inputs,
        **({} if job.video is None else {"video": dataclasses.asdict(job.video)}),
    }


def _circumstances(job: Job, config: TransferConfig, status: str, began: float) -> dict[str, Any]:
    """Return the fields of a record about the run itself."""
    return {
        "seed": config.seed,
        "weights_option": weights_option(job.network),
        "status": status,
        "seconds": {"this_process": round(time.perf_counter() - began, 3)},
        "environment": environment(),
    }


def write_video_record(
    job: Job,
    config: TransferConfig,
    backbone: Backbone,
    inputs: dict[str, Any],
    frames: Sequence[dict[str, Any]],
    began: float,
) -> None:
    """Write the run record of a video, which shows that the video is complete.

    Args:
        job: the job.
        config: the config, with all layers named.
        backbone: the feature network.
        inputs: path and hash of every input file, by its role.
        frames: the losses of each frame, as JSON.
        began: the time at which the run began, from ``time.perf_counter``.

    Raises:
        OutputError: If it cannot be written.
    """
    record = {
        **_settings(job, config, backbone, inputs),
        **_circumstances(job, config, "done", began),
        "frames": list(frames),
        "output": {**job.output.describe(), "sha256": file_digest(job.output.path)},
    }
    record["environment"]["versions"]["opencv"] = opencv().__version__
    write_record(job.output.record, record)


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
    """Write the picture, the animation and the plot, and finally the run record, which shows that all are complete.

    Args:
        job: the job.
        config: the config, with all layers named.
        backbone: the feature network.
        inputs: path and hash of every input file, by its role.
        image: the picture, ``(1, h, w, 3)`` in [0, 1].
        history: one entry per iteration.
        status: how the run ended.
        began: the time at which it began, from ``time.perf_counter``.
        frames: the snapshots for the animation.

    Raises:
        OutputError: If an output cannot be written. The message says where it is saved instead.
    """
    output = job.output
    settings = _settings(job, config, backbone, inputs)
    losses = [dataclasses.asdict(entry) for entry in history]
    record = {**settings, **_circumstances(job, config, status, began), "history": losses}
    # Users share pictures, so the metadata in a picture contain no paths of this machine.
    named = {name: {**facts, "path": Path(facts["path"]).name} for name, facts in inputs.items()}
    inside = {**settings, "sources": job.sources.describe(paths=False), "inputs": named}
    outputs: list[tuple[str, Path | None, Callable[[Path], None]]] = [
        (
            "the picture",
            output.path,
            lambda path: save_image(path, image, inside, output.bits, output.quality),
        ),
        ("the animation", output.gif, lambda path: frames.write_gif(path, image)),
    ]
    if history:
        outputs.append(("the plot", output.plot, lambda path: loss_plot(path, losses, output.path.name)))
    failures = []
    for what, where, write in outputs:
        if where is not None:
            try:
                save_elsewhere(where, write, what)
            except OutputError as error:
                failures.append(str(error))
    if failures:
        raise OutputError("; ".join(failures))
    record["output"] = {**output.describe(), "sha256": file_digest(output.path)}
    write_record(output.record, record)


def weights_option(options: NetworkOptions) -> dict[str, Any]:
    """Return the options of the feature network as JSON; :func:`recorded_network` reads them.

    ``auto`` is replaced by the name of the weights; a file's path becomes absolute; an installed name stays as
    it is.
    """
    network = dataclasses.asdict(options)
    network["weights"] = str(resolve(network["weights"], network["network"]))
    path = Path(network["weights"])
    if path.exists() and (path.name != network["weights"] or path.suffix):
        network["weights"] = str(path.absolute())
    return network


def recorded_network(option: NetworkOptions, facts: NetworkFacts) -> NetworkOptions:
    """Return the options of the feature network that a record describes.

    The name of the weights may stand for other weights in this version.

    Args:
        option: the options in the record.
        facts: the facts about the network in the record.
    """
    return dataclasses.replace(option, weights=name_of(option.weights, facts["sha256"]))
