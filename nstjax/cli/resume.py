"""The saved state of a run, which ``--resume`` loads."""

import dataclasses
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import numpy as np

from nstjax.checkpoints import Series
from nstjax.errors import InputError
from nstjax.optim import Saved
from nstjax.plain import checked
from nstjax.synthesis.solve import HistoryEntry, Progress, TransferState

R = TypeVar("R")


def states_of(output: Path) -> Path:
    """Return the folder of a run's states, ``OUT.state`` beside the output."""
    return output.with_name(output.name + ".state")


def _difference(old: Any, new: Any, prefix: str = "") -> str | None:
    """Return the name of the first setting that differs between two records, or None."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            found = _difference(old.get(key), new.get(key), f"{prefix}.{key}" if prefix else key)
            if found:
                return found
        return None
    return None if old == new else prefix


def named_difference(old: dict[str, Any], new: dict[str, Any]) -> str | None:
    """Return the name of the first setting that differs between two identities, as a flag if it is one, or None."""
    differs = _difference(old, new)
    if differs and differs.startswith("sources."):
        return f"--{differs.removeprefix('sources.').replace('_', '-')}"
    return differs


def belongs_to(series: Series, identity: dict[str, Any]) -> bool:
    """Return False if the newest complete state belongs to a run with another identity."""
    steps = series.steps()
    try:
        return not steps or series.record(steps[-1]).get("identity") == identity
    except InputError:
        return True


def load_newest(series: Series, form: type[R], damaged: str) -> tuple[dict[str, np.ndarray], R] | None:
    """Return the arrays and the record of the newest complete state, or None if there is none.

    Args:
        series: the states.
        form: TypedDict of the record; see :func:`nstjax.plain.checked`.
        damaged: message for a state that cannot be read or is not valid.

    Raises:
        InputError: If it is damaged.
    """
    try:
        found = series.load_newest()
        if found is None:
            return None
        tree = checked(found[0], dict[str, np.ndarray], "the state")
        record: R = checked(found[1], form, "the record")
    except InputError as error:
        raise InputError(damaged) from error
    return tree, record


class _Record(TypedDict):
    """The JSON record of a saved state, beside its arrays."""

    identity: dict[str, Any]
    scale: int
    method: str
    iteration: int
    evaluations: int
    shapes: tuple[tuple[int, ...], ...]
    history: tuple[HistoryEntry, ...]


class RunState:
    """An observer of a run that saves its state at intervals, and loads the newest one.

    Args:
        output: the picture; the states are in ``OUT.state``.
        identity: everything that must be equal for a run to resume from a state: config, hashes of the inputs,
            weights.
        every: iterations between states; 0 for none.
    """

    def __init__(self, output: Path, identity: dict[str, Any], every: int = 0) -> None:
        self._series = Series(states_of(output))
        self._identity = identity
        self._every = every

    def begin(self, resume: TransferState | None) -> None:
        """Delete the states of an earlier run, unless this run resumes from one."""
        if resume is None:
            self.end()

    def step(self, progress: Progress, stopping: bool) -> None:
        """Save a state if one is due after this iteration, or if the run is about to stop.

        Raises:
            OutputError: If the state cannot be written.
        """
        if self._every and (stopping or progress.entry.iteration % self._every == 0):
            self.save(progress.state())

    def save(self, state: TransferState) -> None:
        """Write a state. The previous one is deleted when this one is complete."""
        tree = {f"{i:05d}": np.atleast_1d(leaf) for i, leaf in enumerate(state.saved.leaves)}
        record = {
            "identity": self._identity,
            "scale": state.scale,
            "method": state.saved.method,
            "iteration": state.saved.iteration,
            "evaluations": state.saved.evaluations,
            "shapes": [list(np.shape(leaf)) for leaf in state.saved.leaves],
            "history": [dataclasses.asdict(entry) for entry in state.history],
        }
        self._series.save(len(state.history), tree, record)

    def load(self) -> TransferState | None:
        """Return the newest state, or None if there is none.

        Raises:
            InputError: If the state is damaged, or belongs to a run with other images, weights or settings.
        """
        damaged = f"the saved state in {self._series.directory} is damaged: delete it to start again"
        found = load_newest(self._series, _Record, damaged)
        if found is None:
            return None
        tree, record = found
        differs = named_difference(record["identity"], self._identity)
        if differs:
            raise InputError(
                f"--resume: the state in {self._series.directory} is of a run with another {differs}: give the same "
                f"command, or delete the folder to start again"
            )
        try:
            leaves = tuple(tree[f"{i:05d}"].reshape(shape) for i, shape in enumerate(record["shapes"]))
        except (KeyError, ValueError) as error:
            raise InputError(damaged) from error
        saved = Saved(record["method"], record["iteration"], record["evaluations"], leaves)
        return TransferState(record["scale"], saved, record["history"])

    def is_own(self) -> bool:
        """Return False if the newest complete state belongs to another run, whose work would be lost with it."""
        return belongs_to(self._series, self._identity)

    def end(self) -> None:
        """Delete all states, after the run is finished."""
        self._series.remove()
