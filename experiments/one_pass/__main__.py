"""Training of the decoder: ``python -m experiments.one_pass --photographs FOLDER --paintings FILES``."""

import dataclasses
from pathlib import Path

import tyro

import nstjax
from experiments.distill.data import read_pictures
from experiments.one_pass.data import Pairs
from experiments.one_pass.train import Recipe, train
from nstjax.arbitrary.store import SHIPPED, save_decoder
from nstjax.heap import keep_freed_memory


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Command-line arguments."""

    photographs: Path
    """Folder of photographs."""
    paintings: tuple[Path, ...] = ()
    """Image files of paintings."""
    own_paintings: int = 48
    """Number of the project's own generated paintings to add."""
    name: str = "decoder"
    """Name of the folder in figures/runs for checkpoints and log."""
    weights: str = "embedded"
    """The feature network."""
    ship: bool = False
    """Also write the decoder to ckpts/any_style, which becomes part of the wheel."""
    recipe: tyro.conf.OmitArgPrefixes[Recipe] = Recipe()


def main(arguments: Arguments) -> None:
    """Train a decoder."""
    keep_freed_memory()
    backbone = nstjax.load_backbone(arguments.weights)
    pictures = read_pictures(arguments.photographs, arguments.paintings, arguments.own_paintings)
    recipe = arguments.recipe
    pairs = Pairs(pictures, recipe.seed, identity=recipe.identity)
    folder = Path(__file__).parent / "figures" / "runs" / arguments.name
    decoder = train(recipe, backbone, pairs, folder)
    save_decoder(folder / "decoder", decoder)
    if arguments.ship:
        save_decoder(Path(__file__).parents[2] / "ckpts" / SHIPPED, decoder)
    print(f"wrote {folder / 'decoder'}")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
