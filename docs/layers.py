"""Draws ``layers.svg``, the packages of nstjax and what each imports: ``python docs/layers.py``.

The imports are read from the code. A package stands above everything that it imports.
"""

import ast
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
ABOUT = {
    "web": "a page in the browser",
    "cli": "commands: parse, resolve a job, run it, display",
    "synthesis": "optimize one image:\ntransfer, texture, reconstruct",
    "training": "train generators on\nall devices",
    "inference": "run generators:\nstylize, bands, export",
    "arbitrary": "any style in\none pass",
    "optim": "optimizers of\none array",
    "losses": "content, style,\nstatistics, objective",
    "generators": "Johnson, Ulyanov",
    "weights": "read, recognize,\nstore networks",
    "data": "batches of\nphotographs",
    "reports": "records, plots,\nsheets",
    "nn": "VGG, the embedded\nnetwork, convolutions",
    "images": "decode, encode,\nresize, colors, masks",
    "checkpoints": "Orbax",
    "programs": "compiled programs\nkept on disk",
    "paintings": "paintings made\nby code",
}
EDGE = "#5b6b7b"


def imports() -> dict[str, set[str]]:
    """Return the packages of :data:`ABOUT` that each of them imports."""
    found: dict[str, set[str]] = {name: set() for name in ABOUT}
    for name in ABOUT:
        folder = ROOT / "nstjax" / name
        for path in folder.rglob("*.py") if folder.is_dir() else [folder.with_suffix(".py")]:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nstjax"):
                    parts = (node.module or "").split(".")
                    found[name] |= {parts[1]} if parts[1:] else {alias.name for alias in node.names}
    return {name: (used & set(ABOUT)) - {name} for name, used in found.items()}


def floors(used: dict[str, set[str]]) -> dict[str, int]:
    """Return the floor of each package, one above the highest that it imports."""
    found: dict[str, int] = {}

    def floor(name: str) -> int:
        if name not in found:
            found[name] = 1 + max((floor(other) for other in used[name]), default=-1)
        return found[name]

    for name in used:
        floor(name)
    return found


def draw(path: Path) -> None:
    """Write the picture."""
    used = imports()
    level = floors(used)
    rows = [[name for name in ABOUT if level[name] == i] for i in range(max(level.values()) + 1)]
    place = {
        name: ((k + 0.5) / len(row) * 12, 1.7 * i) for i, row in enumerate(rows) for k, name in enumerate(row)
    }
    matplotlib.rcParams["svg.hashsalt"] = "nstjax"  # the same file from the same code
    figure = Figure(figsize=(14, 1.35 * len(rows) + 0.6))
    axes = figure.subplots()
    for name, others in used.items():
        if name == "cli":  # imports all of them
            continue
        for other in others:
            (x, y), (a, b) = place[name], place[other]
            axes.annotate(
                "",
                (a, b + 0.45),
                (x, y - 0.45),
                arrowprops={"arrowstyle": "->", "color": EDGE, "alpha": 0.55},
            )
    for name, (x, y) in place.items():
        text = f"$\\bf{{{name}}}$\n{ABOUT[name]}"
        box = {"boxstyle": "round,pad=0.35", "facecolor": "#eef3f8", "edgecolor": EDGE}
        axes.text(x, y, text, ha="center", va="center", fontsize=8.5, bbox=box)
    axes.text(
        6,
        -1.15,
        "below all: typing, errors, files, plain, pixels, linear, preprocessing, locks, private, sealed, heap",
        ha="center",
        fontsize=8.5,
        color=EDGE,
    )
    axes.set(xlim=(0, 12), ylim=(-1.4, 1.7 * len(rows) - 0.9))
    axes.axis("off")
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    draw(Path(__file__).with_suffix(".svg"))
