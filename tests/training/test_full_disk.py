"""A disk that is full at a checkpoint: one sentence, the earlier checkpoint stays, and the run goes on from it."""

from pathlib import Path

import pytest

from tests.helpers.mounts import TINY_DISK, run_with_mounts

TRAIN = (
    TINY_DISK
    + """
    import shutil, tempfile, time
    from pathlib import Path
    tempfile.tempdir = "elsewhere"
    from nstjax.errors import OutputError
    from nstjax.generators.store import load_generator
    from nstjax.training import Cadence, train
    from tests.helpers.training import CONFIG, NETWORK, STYLE, assert_same_bits
    # Samples at the end only: they would take room while the disk is filled.
    cadence, run = Cadence(log_every=1, checkpoint_every=2, sample_every=500), Path("disk/run")
    whole = train(CONFIG, STYLE, NETWORK, cadence=cadence)

    for room in (0, 4096, 16384):  # bytes that are free
        def full(progress):
            if progress.step == 4:
                while not (run / "checkpoints" / "2").is_dir():  # it is written beside the computation
                    time.sleep(0.01)
                fill("disk", room)

        for callback in (full, None):  # the second time while the disk is still full
            try:
                train(CONFIG, STYLE, NETWORK, run, callback, cadence=cadence)
            except OutputError as error:
                print(error)
        left = sorted(path.name for path in (run / "checkpoints").iterdir())
        assert left == ["2"], left
        assert load_generator(run).record["steps"] == 2
        for saved in Path("elsewhere").glob("*/model"):
            assert load_generator(saved).record["steps"] == 4
        os.unlink("disk/filler")
        found = train(CONFIG, STYLE, NETWORK, run, cadence=cadence)
        assert_same_bits(found.variables, whole.variables)
        assert_same_bits(load_generator(run).variables, whole.variables)
        assert load_generator(run).record["steps"] == 6
        shutil.rmtree(run)
    """
)


@pytest.mark.slow  # a dozen short trainings
def test_a_full_disk_at_a_checkpoint(tmp_path: Path) -> None:
    for name in ("disk", "elsewhere"):
        (tmp_path / name).mkdir()
    done = run_with_mounts(TRAIN, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    sentences = done.stdout.splitlines()
    assert len(sentences) == 6
    for sentence in sentences:
        assert sentence.startswith("cannot write ")
        assert "No space left on device" in sentence
    for first in sentences[::2]:
        assert "the model is saved as" in first
