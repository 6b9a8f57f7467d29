"""A disk that is full at a checkpoint: one sentence, the earlier checkpoint stays, and the run goes on from it."""

from pathlib import Path

import pytest

from tests.helpers.mounts import TINY_DISK, run_with_mounts

TRAIN = (
    TINY_DISK
    + """
    import sys, tempfile
    from pathlib import Path
    tempfile.tempdir = "elsewhere"
    from nstjax.checkpoints import Course
    from nstjax.errors import OutputError
    from nstjax.generators.store import load_generator
    from nstjax.training import Cadence, train
    from tests.helpers.training import CONFIG, NETWORK, STYLE, assert_same_bits
    room, cadence, run = int(sys.argv[1]), Cadence(log_every=1, checkpoint_every=2), Path("disk/run")
    whole = train(CONFIG, STYLE, NETWORK, Path("whole"), cadence=cadence)

    def full(progress):
        if progress.step == 4:
            fill("disk", room)

    def entries(folder):
        return sorted(path.name for path in folder.iterdir())

    for attempt in range(2):  # the second while the disk is still full
        try:
            train(CONFIG, STYLE, NETWORK, run, full if attempt == 0 else None, cadence=cadence)
        except OutputError as error:
            print(error)
    assert entries(run / "checkpoints") == ["2"], entries(run / "checkpoints")
    assert load_generator(run).record["steps"] == 2
    for saved in Path("elsewhere").glob("*/model"):
        assert load_generator(saved).record["steps"] == 4
    os.unlink("disk/filler")
    found = train(CONFIG, STYLE, NETWORK, run, cadence=cadence)
    assert_same_bits(found.variables, whole.variables)
    assert_same_bits(load_generator(run).variables, whole.variables)
    assert load_generator(run).record["steps"] == 6
    """
)


@pytest.mark.parametrize("room", [0, 4096, 16384])
def test_a_full_disk_at_a_checkpoint(tmp_path: Path, room: int) -> None:
    for name in ("disk", "elsewhere"):
        (tmp_path / name).mkdir()
    done = run_with_mounts(TRAIN, tmp_path, str(room))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    first, second = done.stdout.splitlines()
    assert "cannot write" in first
    assert "No space left on device" in first
    assert "the model is saved as" in first
    assert "No space left on device" in second
