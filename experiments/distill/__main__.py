"""Training of a student: ``python -m experiments.distill --photographs FOLDER --paintings FILES``."""

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
    """Command-line arguments."""

    photographs: Path
    """Folder of photographs. The last 48 by name are held out."""
    paintings: tuple[Path, ...] = ()
    """Image files of paintings."""
    teacher: str = "vgg19"
    """Weights of VGG-19: name of installed weights, a weights file, or the folder of a store."""
    name: str = "embedded"
    """Name of the folder in figures/runs for the checkpoints, the log and the network."""
    ship: bool = False
    """Also write the network to ckpts/embedded, which becomes part of the wheel."""
    recipe: tyro.conf.OmitArgPrefixes[Recipe] = Recipe()


def main(arguments: Arguments) -> None:
    """Train a student and write the network."""
    keep_freed_memory()  # as the command line of nstjax does; repeated evaluations are then faster
    teacher = nstjax.load_backbone(arguments.teacher)
    pictures = read_pictures(arguments.photographs, arguments.paintings, arguments.recipe.own_paintings)
    folder = Path(__file__).parent / "figures" / "runs" / arguments.name
    deepest = arguments.recipe.layers[-1]
    source = f"distilled from VGG-19 to {deepest} (K. Simonyan and A. Zisserman, VGG, Oxford; CC BY 4.0)"
    student = train(arguments.recipe, teacher, pictures, folder, source)
    save_backbone(student, folder / "network", eight_bit=True)
    if arguments.ship:
        save_backbone(student, Path(__file__).parents[2] / "ckpts" / "embedded", eight_bit=True)
    print(f"wrote {folder / 'network'}")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
