"""Train a student: ``python -m experiments.distill --photographs FOLDER --paintings FILES``."""

import dataclasses
from pathlib import Path

import tyro

import nstjax
from experiments.distill.data import read_pictures
from experiments.distill.recipe import Recipe
from experiments.distill.train import train
from nstjax.heap import keep_freed_memory
from nstjax.weights.store import save_backbone


@dataclasses.dataclass(frozen=True)
class Arguments:
    """What is trained, on what, and where it goes."""

    photographs: Path
    """A folder of photographs; the last 48 are held out."""
    paintings: tuple[Path, ...] = ()
    """Pictures of paintings."""
    teacher: str = "vgg19"
    """An installed name, a weights file, or a store's folder."""
    name: str = "embedded"
    """Of the folder under figures/runs for checkpoints, log, and the network."""
    ship: bool = False
    """Put the network into ckpts/embedded, too, from where it is packed into the wheel."""
    recipe: tyro.conf.OmitArgPrefixes[Recipe] = Recipe()


def main(arguments: Arguments) -> None:
    """Train, and write the network."""
    keep_freed_memory()  # as the command line does
    teacher = nstjax.load_backbone(arguments.teacher)
    pictures = read_pictures(arguments.photographs, arguments.paintings, arguments.recipe.own_paintings)
    folder = Path(__file__).parent / "figures" / "runs" / arguments.name
    source = "distilled from VGG-19 to relu5_1 (K. Simonyan and A. Zisserman, VGG, Oxford; CC BY 4.0)"
    student = train(arguments.recipe, teacher, pictures, folder, source)
    save_backbone(student, folder / "network", eight_bit=True)
    if arguments.ship:
        save_backbone(student, Path(__file__).parents[2] / "ckpts" / "embedded", eight_bit=True)
    print(f"wrote {folder / 'network'}")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
