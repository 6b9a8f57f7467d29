"""The description of one picture or video to make by optimization: paths, settings and outputs, as frozen dataclasses."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nstjax.cli.options import NetworkOptions
from nstjax.images.mask_spec import mask_files, parse_mask
from nstjax.synthesis import TransferConfig, VideoConfig
from nstjax.weights.store import is_weights_path, resolve


@dataclasses.dataclass(frozen=True)
class Arrangement:
    """The arrangement of style images, masks and regions; each field is the option of the same name."""

    style_weights: tuple[float, ...] = ()
    masks: tuple[str, ...] = ()
    style_masks: tuple[str, ...] = ()
    style_regions: tuple[int, ...] = ()
    region_weights: tuple[float, ...] = ()
    proportions: tuple[int, int] = (1, 1)

    def mask_files(self) -> list[Path]:
        """Return the files of all masks, without duplicates."""
        return mask_files((*self.masks, *self.style_masks))


@dataclasses.dataclass(frozen=True)
class Sources:
    """The image files of a run, and their arrangement.

    Attributes:
        content: the photograph, the folder of photographs, or the image to reconstruct.
        styles: the style images.
        fine_style: the style image whose fine texture replaces that of the others.
        init_image: the image from which the run starts.
        arrangement: masks, regions and shares.
        fields: the fields of ``arrangement`` that are options of the command and are in the run record.
        strength_grid: style strengths; one picture is made for each.
    """

    content: Path | None = None
    styles: tuple[Path, ...] = ()
    fine_style: Path | None = None
    init_image: Path | None = None
    arrangement: Arrangement = Arrangement()
    fields: tuple[str, ...] = ()
    strength_grid: tuple[float, ...] = ()

    def files(self) -> dict[str, Path]:
        """Return all image files by their role in the run, such as ``content`` or ``style_2``, as in a run record."""
        named: dict[str, Path | None] = {"content": self.content}
        named |= {"style" if i == 0 else f"style_{i + 1}": path for i, path in enumerate(self.styles)}
        named |= {"init": self.init_image, "fine": self.fine_style}
        named |= {f"mask_{i + 1}": path for i, path in enumerate(self.arrangement.mask_files())}
        return {name: path for name, path in named.items() if path is not None}

    def describe(self, arrangement: Arrangement | None = None, paths: bool = True) -> dict[str, Any]:
        """Return the arrangement as JSON.

        Args:
            arrangement: the arrangement to describe; by default that of these sources.
            paths: whether to write the absolute paths of mask files. If not, their names alone are written.

        Returns:
            The options in ``fields`` and their values.
        """
        chosen = self.arrangement if arrangement is None else arrangement
        found = {name: list(getattr(chosen, name)) for name in self.fields}
        write: Callable[[Path], str] = (
            (lambda path: str(path.absolute())) if paths else (lambda path: path.name)
        )
        for name in {"masks", "style_masks"} & set(found):
            found[name] = [with_path(spec, write) for spec in found[name]]
        return found


def with_path(spec: str, path: Callable[[Path], str]) -> str:
    """Return a mask spec with its file replaced.

    Args:
        spec: the spec; one without a file is returned unchanged.
        path: returns the text for the file, for example its absolute path or only its name.
    """
    item = parse_mask(spec)
    if item.file is None:
        return spec
    color = f"#{item.color:06x}" if item.kind == "color" else ""
    kind = "labels:" if item.kind == "labels" else ""
    return f"{'not:' if item.inverted else ''}{kind}{path(item.file)}{color}"


@dataclasses.dataclass(frozen=True)
class OutputFiles:
    """The output files and the format of the picture; each field is the option of the same name."""

    path: Path
    bits: int = 8
    quality: int = 95
    median_filter: bool = False
    gif: Path | None = None
    plot: Path | None = None
    snapshot_every: int = 0

    @property
    def record(self) -> Path:
        """The run record ``OUT.run.json``, beside the picture."""
        return record_path(self.path)

    def describe(self) -> dict[str, Any]:
        """Return the path and format of the picture, as JSON."""
        settings = {"bits": self.bits, "quality": self.quality, "median_filter": self.median_filter}
        return {"path": str(self.path.absolute()), **settings}


def record_path(output: Path) -> Path:
    """Return the path of the run record, ``OUT.run.json`` beside the output."""
    return output.with_name(f"{output.name}.run.json")


@dataclasses.dataclass(frozen=True)
class Job:
    """One picture or video to make.

    Attributes:
        command: ``"transfer"``, ``"texture"`` or ``"reconstruct"``.
        sources: the image files.
        config: the settings of the synthesis.
        network: the options of the feature network.
        output: the output files.
        resume: resume from the last saved state.
        save_state_every: iterations between saved states; 0 for none.
        quiet: do not show progress.
        video: settings of the video; None for a picture.
    """

    command: str
    sources: Sources
    config: TransferConfig
    network: NetworkOptions
    output: OutputFiles
    resume: bool = False
    save_state_every: int = 50
    quiet: bool = False
    video: VideoConfig | None = None

    @property
    def main_file(self) -> Path:
        """The photograph, or else the first style image; messages use it as the name of the run."""
        return self.sources.content or self.sources.styles[0]


def on_any_machine(job: Job) -> Job:
    """Return the job with absolute paths and ``resume=True``, for another process or machine.

    The weights ``auto`` become the ones that are installed here, so that all workers use the same.
    """

    def absolute(spec: str) -> str:
        return with_path(spec, lambda path: str(path.absolute()))

    def place(path: Path | None) -> Path | None:
        return None if path is None else path.absolute()

    sources, network = job.sources, job.network
    arrangement = dataclasses.replace(
        sources.arrangement,
        masks=tuple(map(absolute, sources.arrangement.masks)),
        style_masks=tuple(map(absolute, sources.arrangement.style_masks)),
    )
    named = resolve(network.weights, network.network)
    weights = str(Path(named).absolute()) if is_weights_path(named) else str(named)
    return dataclasses.replace(
        job,
        sources=dataclasses.replace(
            sources,
            content=place(sources.content),
            styles=tuple(path.absolute() for path in sources.styles),
            fine_style=place(sources.fine_style),
            init_image=place(sources.init_image),
            arrangement=arrangement,
        ),
        network=dataclasses.replace(network, weights=weights),
        output=dataclasses.replace(job.output, path=job.output.path.absolute()),
        resume=True,
    )
