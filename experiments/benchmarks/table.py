"""Writes the table of ``docs/benchmarks.md`` from the benchmarks' files: ``python -m experiments.benchmarks.table``."""

import json
from pathlib import Path
from typing import Any

SCHEDULES = {"plain": " at one scale", "pyramid": " at three scales"}
FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"


def _read(name: str) -> dict[str, Any]:
    path = FOLDER / name
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def rows(results: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return the rows of the table: what is measured, nstjax, PyTorch, and their ratio.

    The ratio is of times, nstjax divided by PyTorch: below 1 nstjax is faster.
    """
    found = []
    for line in results["evaluations"]:
        seconds, least = line["seconds"], line["least"]
        what = f"value and gradient, VGG-19 to conv5_1, {line['size']}² (lower bound for direct convolution at peak FLOP/s: {least['products']} s)"
        found.append(_timed(what, seconds["nstjax"], seconds.get("PyTorch")))
    if solve := results["solve"]:
        seconds = solve["seconds"]
        what = "256 px, VGG-19 blocks 1 to 3, time to the loss of 60 PyTorch iterations"
        found.append(_timed(f"{what}, already compiled", seconds["compiled"], seconds["PyTorch"]))
        if "cached" in seconds:
            found.append(
                _timed(f"{what}, programs loaded from the cache", seconds["cached"], seconds["PyTorch"])
            )
        found.append(_timed(f"{what}, including compilation", seconds["compiling"], seconds["PyTorch"]))
    for state, seconds in results["start"].items():
        found.append(
            _timed(f"`nstjax transfer` at 256 px to its first iteration, {state} cache", seconds, None)
        )
    if long := results.get("long"):
        for how, line in long.items():
            what = f"500², VGG-19 to conv5_1, {line['iterations']} iterations{SCHEDULES[how]}, final loss {line['loss']:.4g}"
            found.append(_timed(what, line["seconds"], None))
    for case in _read("training.json").get("cases", []):
        speeds = case["images_per_second"]
        best = max(value for name, value in speeds.items() if name.startswith("PyTorch"))
        what = (
            f"training, {case['network']}, {case['size']} px, width {case['width']:g}, {case['upsampling']}"
        )
        ratio = f"{best / speeds['nstjax']:.2f}"
        found.append((what, f"{speeds['nstjax']:.2f} images/s", f"{best:.2f} images/s", ratio))
    one_pass = _read("stylize.json")
    for name, sides in one_pass.get("networks", {}).items():
        for side, line in sides.items():
            if "GiB" in line:
                memory = f"{line['seconds']} s, {line['GiB']} GiB"
                found.append((f"one pass, {name}, {side}², peak memory", memory, "", ""))
            else:
                timed = _timed(f"one pass, {name}, {side}²", line["default"], line.get("onnxruntime"))
                found.append((*timed[:2], timed[2] and f"{timed[2]} (ONNX Runtime)", timed[3]))
    for name, line in one_pass.get("command", {}).items():
        for when in ("first", "later"):
            what = f"`nstjax stylize` at 512 px, {name}, whole command, {when}"
            found.append((what, f"{line[when]} s", "", ""))
    for line in _read("large.json").get("lines", []):
        what = f"{line['size']}², {line['network']}, tiles of {line['tile']}: a transfer of one L-BFGS iteration, peak memory"
        found.append((what, f"{line['seconds']} s, {line['peak_GiB']} GiB", "", ""))
    return found


def _timed(what: str, mine: float, theirs: float | None) -> tuple[str, str, str, str]:
    if theirs is None:
        return what, f"{mine:.3g} s", "", ""
    return what, f"{mine:.3g} s", f"{theirs:.3g} s", f"{mine / theirs:.2f}"


def write_table(results: Path = FOLDER / "results.json") -> None:
    """Write the table between the page's markers."""
    found = json.loads(results.read_text())
    machine = found["machine"]
    lines = [
        f"Medians, in turns in one run; {found['cpu']}, "
        f"{machine['GFLOP/s']:g} GFLOP/s in products of matrices, {machine['GB/s']:g} GB/s in a copy; other processes "
        f"took {100 * found['others_share_of_the_machine']:.0f} % of the machine; training, stylize and 4096² from their own runs. Ratios "
        "are of times: below 1 nstjax is faster.",
        "",
        "| what | nstjax | PyTorch 2.13.0, or the program in brackets | ratio |",
        "|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows(found)),
    ]
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{after}")


if __name__ == "__main__":
    write_table()
