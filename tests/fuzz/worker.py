"""Runs inputs one after the other: a line ``target number`` on standard input, a line of JSON for each on standard output."""

import json
import os
import shutil
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.memory import peak_gib
from tests.fuzz.targets import TARGETS, Target


def _files(path: Path, names: tuple[str, ...]) -> list[Path]:
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    chosen = [f for f in files if not names or any(name in f.as_posix() for name in names)]
    assert chosen, f"{path} has no file of {names}"
    return chosen


def _copied(name: str, number: int, base: Path, folder: Path) -> tuple[Path, Path]:
    """A copy of a valid input with one of its files damaged: the input and the file. Below 0 nothing is damaged."""
    target, copy = TARGETS[name], folder / base.name
    if base.is_dir():
        shutil.copytree(base, copy)
    else:
        shutil.copy(base, copy)
    rng = np.random.default_rng([zlib.crc32(name.encode()), max(0, number)])
    files = _files(copy, target.names)
    file = files[rng.integers(len(files))]
    if number >= 0:
        file.write_bytes(target.damage(file.read_bytes(), rng))
    return copy, file


def _judge(target: Target, path: Path, folder: Path) -> dict[str, Any]:
    """How reading ended: ``accepted`` or ``refused`` with the message, or ``traceback``."""
    from nstjax.errors import InputError, InputWarning

    out = folder / "written"
    out.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", InputWarning)
        try:
            code = target.read(path, out)
        except InputError as error:
            return {"end": "refused", "message": str(error)}
        except BaseException:
            return {"end": "traceback", "message": traceback.format_exc()}
    left = sorted(p.name for p in out.rglob("*"))
    if code in (None, 0):
        return {"end": "accepted", "message": ""}
    if left:
        return {"end": "traceback", "message": f"exit code {code}, and {left} were written"}
    return {"end": "refused" if code == 2 else f"exit {code}", "message": ""}


def run(name: str, number: int, bases: Path, results: Any) -> None:
    """One input; the same for the same name and number."""
    target = TARGETS[name]
    place = bases / str(zlib.crc32(name.encode()))
    if not place.exists():
        place.mkdir(parents=True)
        (place / "path").write_text(str(target.build(_fresh(place / "valid"))))
    base = Path((place / "path").read_text())
    with (
        tempfile.TemporaryDirectory(dir=bases) as scratch,
        open(bases / f"stderr{os.getpid()}", "w+b") as errors,
    ):
        path, file = _copied(name, number, base, Path(scratch))
        content = file.read_bytes()
        os.dup2(errors.fileno(), 2)
        began = time.monotonic()
        outcome = _judge(target, path, Path(scratch))
        outcome["seconds"] = round(time.monotonic() - began, 3)
        outcome["gib"] = round(peak_gib(), 2)
        sys.stderr.flush()
        errors.seek(0)
        said = errors.read().decode(errors="replace").replace(scratch, "")
        given = json.loads(content) if name.startswith("options") else [file.name]
        outcome |= {"target": name, "number": number, "stderr": said, "given": given}
        outcome["message"] = outcome["message"].replace(scratch, "")
        if outcome["end"] == "traceback":
            outcome["content"] = content[: 2**16].hex()
    results.write(json.dumps(outcome) + "\n")
    results.flush()


def _fresh(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def main() -> None:
    """Serve until standard input ends."""
    bases = Path(sys.argv[1])
    results = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the program's own output
    for line in sys.stdin:
        name, number = json.loads(line)
        run(name, number, bases, results)


if __name__ == "__main__":
    main()
