"""``nstjax stylize``: applies a trained generator to photographs, animations and videos."""

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nstjax.arbitrary.apply import MAX_SCALES, MAX_STYLE_SIDE
from nstjax.arbitrary.decoder import LEAST_DECODED_SIDE
from nstjax.cli.any_style import input_files, load_any_style
from nstjax.cli.cluster import check_cluster, new_command_id, on_cluster, once_per_command
from nstjax.cli.display import Display
from nstjax.cli.exits import about, make_all
from nstjax.cli.interrupt import exit_code, raise_if_stopped
from nstjax.cli.job import record_path, with_path
from nstjax.cli.many import on_local_devices
from nstjax.cli.media import check_side
from nstjax.cli.models import digest, in_style, installed_names, list_models, the_model
from nstjax.cli.options_stylize import StylizeOptions
from nstjax.cli.painters import by_generator, painter, steadied
from nstjax.cli.parse import parse
from nstjax.cli.pictures import LEAST_SIDE, load_picture, print_skipped
from nstjax.cli.runtime import check_device, keep_programs, make_output_folder
from nstjax.cli.stylize_jobs import StylizeJob, absolute_jobs, for_any_machine, stylize_jobs
from nstjax.cli.stylize_sheet import check_sheet, write_sheet
from nstjax.cli.stylize_video import stylize_video
from nstjax.errors import InputError, within
from nstjax.files import file_digest, save_elsewhere, write_atomically
from nstjax.generators import config_to_json
from nstjax.generators.store import Generator
from nstjax.images import save_image
from nstjax.images.animation import encode_animation, open_animation
from nstjax.images.encode import read_metadata
from nstjax.images.flow import opencv
from nstjax.images.folder import Skipped
from nstjax.inference import takes_photographs
from nstjax.inference.photograph import MAX_OUTPUT_SIDE, MAX_SCALE, check_tile
from nstjax.locks import lock
from nstjax.reports import environment, file_facts, write_record

_ONLY_WITH_MODEL = ("noise_scale", "tile")
_ONLY_WITH_PHOTO = ("colors", "strength")
_ONLY_WITHOUT_MODEL = ("masks", "transport", "style_size", "scale_count")
RECORD = "stylize"  # the record of several outputs is OUT/stylize.run.json


def _check(options: StylizeOptions) -> None:
    """Raise :class:`InputError` if the value of an option is out of range."""
    if options.size is not None:
        within("size", options.size, LEAST_SIDE, MAX_OUTPUT_SIDE, " pixels")
    within("strength", options.strength, 0, 1)
    within("quality", options.quality, 1, 100)
    within("seed", options.seed, 0, 2**32 - 1)
    within("style_size", options.style_size, LEAST_DECODED_SIDE, MAX_STYLE_SIDE, " pixels")
    if options.scale_count is not None:
        within("scale_count", options.scale_count, 1, MAX_SCALES)
    within("noise_scale", options.noise_scale, -MAX_SCALE, MAX_SCALE)
    if options.tile is not None:
        check_tile(options.tile)


def _do(
    job: StylizeJob,
    paint: Callable[..., np.ndarray],
    options: StylizeOptions,
    settings: dict[str, Any],
    photo: np.ndarray | None = None,
) -> str:
    """Make one output file; return its size or number of frames, as text for the message.

    Args:
        job: the output.
        paint: makes a picture.
        options: the options of the command.
        settings: the settings of the outputs.
        photo: the photograph, if it has been decoded already.
    """
    with Display(job.output.name, options.quiet) as display:
        began = time.perf_counter()

        def count(done: int, all_: int) -> None:
            raise_if_stopped()
            of = f"/{all_}" if all_ else ""
            display.update(min(1.0, done / all_) if all_ else 0.0, f"{job.output.name}  frame {done}{of}")

        paint_frame = steadied(paint) if options.steady else paint
        if job.kind == "animation":
            assert job.source is not None
            animation = open_animation(job.source)
            check_side(job.output, options.size or max(animation.size))
            made = 0

            def frames() -> Any:
                nonlocal made
                for frame in animation.frames():
                    yield paint_frame(frame)
                    made += 1
                    count(made, len(animation.milliseconds))

            content = encode_animation(
                job.output, frames(), animation.milliseconds, animation.loop, options.quality
            )
            save_elsewhere(job.output, lambda path: write_atomically(path, content), "the animation")
            what = f"{made} frames"
        elif job.kind == "video":
            assert job.source is not None
            identity = _identity(job, settings, options)
            what = f"{stylize_video(job, paint, options.steady, identity, count, display)} frames"
        else:
            if photo is None and job.source is not None:
                photo = load_picture(job.source, options.size or 0)
            if photo is not None:
                check_side(job.output, options.size or max(photo.shape[1:3]))
            picture = paint(photo, lambda share: display.update(share, job.output.name))
            inside = _identity(job, settings, options)
            save_elsewhere(
                job.output,
                lambda path: save_image(path, picture, inside, options.bits, options.quality),
                "the picture",
            )
            what = f"{picture.shape[2]}×{picture.shape[1]}"
        seconds = time.perf_counter() - began
        display.say(f"wrote {job.output} ({what}), {seconds:.3g} s")
        return what


def _settings(options: StylizeOptions, model: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that are stored in a picture, without paths of this machine."""
    own = _ONLY_WITHOUT_MODEL if options.model is None else ("noise_scale",)
    names = ("size", "seed", "colors", "strength", *own, *(("steady",) if options.steady else ()))
    config = {name: getattr(options, name) for name in names}
    if "masks" in config:
        config["masks"] = [with_path(spec, lambda path: path.name) for spec in config["masks"]]
    shared = {name: file_digest(path) for name, path in input_files(options).items()}  # once for all outputs
    return {"command": "stylize", "model": model, "config": config, "inputs": shared}


def _facts(options: StylizeOptions, generator: Generator) -> dict[str, Any]:
    """Return the entry ``"model"`` of the run record for a trained generator."""
    return {
        "name": Path(str(options.model)).name,
        "config": config_to_json(generator.config),
        "sha256": digest(generator),
        **({"style": generator.record["selected"]} if "selected" in generator.record else {}),
    }


def _finish(
    target: Path, jobs: Sequence[StylizeJob], settings: dict[str, Any], options: StylizeOptions, began: float
) -> None:
    """Write the run record."""
    sources = [job.source for job in jobs if job.source is not None]
    plain = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in dataclasses.asdict(options).items()
        if name not in ("photographs", "list", "quiet")
    }
    record = {
        **settings,
        "options": plain,
        "inputs": {
            **{str(i): file_facts(source) for i, source in enumerate(sources)},
            **{name.removeprefix("--"): file_facts(path) for name, path in input_files(options).items()},
        },
        "outputs": [str(job.output.absolute()) for job in jobs],
        "seconds": {"this_process": round(time.perf_counter() - began, 3)},
        "environment": environment(),
    }
    write_record(record_path(target), record)


def _by_any_style(options: StylizeOptions) -> tuple[dict[str, Any], Callable[..., np.ndarray]]:
    """Return the entry ``"model"`` of the run record and the :func:`painter` for style images without a model."""
    any_style = load_any_style(options)
    make = painter(lambda photo, size, progress: any_style.paint(photo), any_style.check_size, options)
    return any_style.facts(), make


def _prepared(options: StylizeOptions, texture: bool) -> tuple[dict[str, Any], Callable[..., np.ndarray]]:
    """Load the networks and style images; return the settings of the outputs and the function that makes a picture.

    Args:
        options: the options of the command.
        texture: there is no photograph.

    Raises:
        InputError: If a file cannot be read, or the model does not go with the inputs.
    """
    if options.model is None:
        model, paint = _by_any_style(options)
    else:
        generator = the_model(options.model)
        _check_model(generator, options, texture)
        generator = in_style(generator, options.style, options.model)
        model, paint = _facts(options, generator), by_generator(generator, options)
    return _settings(options, model), paint


def stylize_on_worker(options: StylizeOptions, command_id: str, job: StylizeJob) -> int:
    """Make one output on a worker of a cluster, unless it is made already; return the exit code.

    Args:
        options: the options of the command.
        command_id: from :func:`nstjax.cli.cluster.once_per_command`.
        job: the output.
    """
    settings, paint = once_per_command(command_id, lambda: _prepared(options, texture=False))
    if not _kept(job, settings, options):
        _do(job, paint, options, settings)
    return 0


def _identity(job: StylizeJob, settings: dict[str, Any], options: StylizeOptions) -> dict[str, Any]:
    """Return everything that must be equal for two outputs to be the same; it is the metadata of a picture."""
    photo = job.source
    return {
        **settings,
        **({} if photo is None else {"photograph": photo.name}),
        "inputs": {**({} if photo is None else {"photograph": file_digest(photo)}), **settings["inputs"]},
        "format": [options.bits, options.quality],
    }


def _kept(job: StylizeJob, settings: dict[str, Any], options: StylizeOptions) -> bool:
    """Return True, and say so, if ``--resume`` keeps the picture.

    It does if the picture's metadata say that it was made from the same files with the same settings.
    """
    if not (options.resume and job.kind == "photograph" and job.output.is_file()):
        return False
    if read_metadata(job.output) != json.loads(json.dumps(_identity(job, settings, options))):
        return False
    with Display(job.output.name, options.quiet) as display:
        display.say(f"{job.output} is finished already")
    return True


def _check_model(generator: Generator, options: StylizeOptions, texture: bool) -> None:
    """Raise :class:`InputError` if the model does not go with the inputs."""
    if takes_photographs(generator) == texture:
        raise InputError(
            f"PHOTO is missing: --model {options.model} needs a photograph"
            if takes_photographs(generator)
            else f"--model {options.model} makes textures of noise alone: leave PHOTO out, and give --size"
        )
    if texture and options.size is None:
        raise InputError(f"--model {options.model} makes textures: give the side of the texture with --size")
    for name in _ONLY_WITH_PHOTO if texture else ():
        if getattr(options, name) != getattr(StylizeOptions, name):  # its default
            raise InputError(
                f"--{name} does not go with --model {options.model}, which takes no PHOTO: leave it out"
            )


def run_stylize(arguments: Sequence[str]) -> int:
    """Run ``nstjax stylize``.

    Args:
        arguments: the arguments after the command's name.

    Returns:
        The exit code.

    Raises:
        InputError: If the input is not valid. With several inputs, an error about one of them is only printed.
    """
    options = parse(StylizeOptions, arguments, "nstjax stylize")
    if options.list:
        list_models()
        return 0
    _check(options)
    if not options.photographs and options.model is None:
        raise InputError(
            "PHOTO is missing: nstjax stylize PHOTO --style PAINTING -o OUT; see nstjax stylize --help"
        )
    if options.model is None and options.style is None:
        raise InputError(
            f"--style is missing: name a style image, or a trained generator with --model; {installed_names()}"
        )
    for name in _ONLY_WITH_MODEL if options.model is None else _ONLY_WITHOUT_MODEL:
        if getattr(options, name) != getattr(StylizeOptions, name):  # its default
            raise InputError(
                f"--{name.replace('_', '-')} does not go {'without' if options.model is None else 'with'} --model: "
                f"leave it out"
            )
    if options.model is None and options.sheet:
        raise InputError("--sheet shows the styles of a model: name it with --model")
    skipped: list[Skipped] = []
    jobs, together = stylize_jobs(options, skipped)
    if options.sheet:
        check_sheet(options, jobs, together)
    if not together and (options.resume or options.cluster is not None):
        flag = "--resume" if options.resume else "--cluster"
        raise InputError(f"{flag} is for several PHOTOs or a folder: leave it out")
    if options.cluster is not None:
        check_cluster(options.cluster)
        jax.config.update("jax_platforms", "cpu")  # so that the GPUs are free for the workers
        options, jobs = for_any_machine(options), absolute_jobs(jobs)
    if options.steady:
        if not any(job.kind in ("video", "animation") for job in jobs):
            raise InputError("--steady is for videos and animations, and there is none: leave it out")
        opencv()
    check_device()
    keep_programs(options.compilation_cache, options.quiet)
    # Report a bad image before loading the model, which takes seconds.
    photo = None
    if not together and jobs[0].kind == "photograph":
        assert jobs[0].source is not None
        photo = load_picture(jobs[0].source, options.size or 0)
    if options.sheet:
        generator = the_model(str(options.model))
        _check_model(generator, options, texture=False)
        assert photo is not None  # check_sheet: a sheet is of one photograph
        return write_sheet(generator, options, jobs[0], photo)
    settings, paint = _prepared(options, jobs[0].kind == "texture")
    began = time.perf_counter()
    folder = jobs[0].output.parent
    if together:
        make_output_folder(folder)
    target = folder if together else jobs[0].output
    with lock(target, f"another run is writing {target}: wait for its end, or choose another -o"):
        if together:
            return _do_all(jobs, paint, options, settings, skipped)
        try:
            _do(jobs[0], paint, options, settings, photo)
        except InputError as error:
            raise about(error, jobs[0].source or jobs[0].output) from error
        _finish(jobs[0].output, jobs, settings, options, began)
        return 0


def _do_all(
    jobs: Sequence[StylizeJob],
    paint: Callable[..., np.ndarray],
    options: StylizeOptions,
    settings: dict[str, Any],
    skipped: Sequence[Skipped],
) -> int:
    """Make several output files, and continue after one that cannot be made; return the exit code."""
    began, finished = time.perf_counter(), 0

    def make(job: StylizeJob) -> int:
        nonlocal finished
        try:
            if not _kept(job, settings, options):
                _do(job, paint, options, settings)
        except KeyboardInterrupt:
            print(f"nstjax: interrupted; {finished} of {len(jobs)} made", file=sys.stderr)
            return exit_code()
        finished += 1
        return 0

    def path_of(job: StylizeJob) -> Path:
        return job.source or job.output

    if options.cluster is not None:
        runner = on_cluster(options.cluster, options.compilation_cache, options.quiet)
        bare = dataclasses.replace(options, photographs=())  # each task is sent with it
        made, code = make_all(jobs, partial(stylize_on_worker, bare, new_command_id()), path_of, runner)
    else:
        made, code = make_all(jobs, make, path_of, on_local_devices)
    if made:
        _finish(jobs[0].output.parent / RECORD, made, settings, options, began)
    if not options.quiet:
        print_skipped(skipped)
    return code
