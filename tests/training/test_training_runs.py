"""Training runs: devices, processes, stops, kills, and what must be the same after them."""

import dataclasses
import json
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from nstjax.checkpoints import is_checkpoint
from nstjax.errors import InputError
from nstjax.generators import UlyanovConfig, init_generator
from nstjax.generators.store import load_generator, save_generator
from nstjax.training import Cadence, TrainConfig, TrainingFailed, read_metrics, train
from tests.helpers.training import (
    CONFIG,
    NETWORK,
    STYLE,
    TINY,
    assert_same_bits,
    free_port,
    leaves,
    run_python,
)

SLOW = pytest.mark.slow  # programs of a minute on a busy machine

DEVICES = """
    import dataclasses, sys, jax, numpy as np
    jax.config.update("jax_num_cpu_devices", 8)
    from nstjax.data import Batch
    from nstjax.generators import JohnsonConfig, UlyanovConfig
    from nstjax.training import parallel
    from nstjax.training.state import init_state, make_optimizer
    from nstjax.training.step import style_targets, train_step
    from tests.helpers.training import CONFIG, NETWORK, STYLE, TINY

    kinds = {"instance": TINY, "batch": dataclasses.replace(TINY, norm="batch"),
             "ulyanov": UlyanovConfig(scales=3, channels=4)}
    config = dataclasses.replace(CONFIG, generator=kinds[sys.argv[1]])
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, batch_size=8))
    network = NETWORK
    targets = style_targets(config, network, STYLE)
    batch = Batch(np.random.default_rng(3).random((8, 16, 16, 3), np.float32), np.arange(8, dtype=np.int32))
    optimizer = make_optimizer(config)
    state = init_state(config)
    alone, _ = jax.jit(lambda s, b: train_step(config, optimizer, s, network, targets, b))(state, batch)

    traces = []
    original = parallel.train_step
    parallel.train_step = lambda *args: (traces.append(1), original(*args))[1]
    assert jax.device_count() == 8
    plain = (state, network, targets)
    step, (state, network, targets) = parallel.pmap_step(config, optimizer), parallel.replicated_by_pmap(plain)
    spread, metrics = step((state, network, targets), batch)
    again, _ = step((spread, network, targets), batch)
    assert len(traces) == 1, traces
    # The other form of the step: the same to 1e-6, parameters, statistics and metrics, after one step and after two.
    other, fixed = parallel.sharded_step(config, optimizer), parallel.replicated_by_sharding(plain)
    sharded, sharded_metrics = other(fixed, batch)
    assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(sharded)} == {8}
    twice, _ = other((sharded, *fixed[1:]), batch)
    assert len(traces) == 2, traces
    for one, two in (((spread, metrics), (sharded, sharded_metrics)), (again, twice)):
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-6, atol=1e-6)
    assert int(again.step) == 2
    for part in ("params", "batch_stats"):
        one, other = (dict(jax.tree_util.tree_leaves_with_path(getattr(s, part))) for s in (alone, spread))
        for path in one:
            worst = np.abs(np.asarray(one[path]) - np.asarray(other[path])).max()
            assert worst <= 1e-5, (path, worst)
    if sys.argv[1] != "instance":
        assert jax.tree.leaves(spread.batch_stats)
    print("same")
"""


@pytest.mark.optimized
@SLOW
@pytest.mark.parametrize("kind", ["batch", "instance", "ulyanov"])
def test_eight_devices_give_the_parameters_of_one(kind: str) -> None:
    out, err = (process := run_python(DEVICES, kind)).communicate(timeout=200)
    assert process.returncode == 0, err[-2000:]
    assert "same" in out


HOST = """
    import sys
    from pathlib import Path
    port, index, folder, how = sys.argv[1:]
    import jax
    from nstjax.training import Cadence, parallel, train
    from nstjax.training.parallel import join_hosts
    if how == "sharded":
        parallel.step_on_devices = parallel.sharded_step
        parallel.on_every_device = parallel.replicated_by_sharding
    if port != "none":
        join_hosts(f"127.0.0.1:{port}", 2, int(index))
        assert jax.process_count() == 2
    from tests.helpers.training import CONFIG, NETWORK, STYLE  # which computes, and so comes after
    train(CONFIG, STYLE, NETWORK, Path(folder), cadence=Cadence(checkpoint_every=3))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["pmap", "sharded"])
def test_two_processes_train_to_the_parameters_of_one(how: str, tmp_path: Path) -> None:
    port = str(free_port())
    runs = [("none", "0", "one"), (port, "0", "two"), (port, "1", "two")]
    processes = [run_python(HOST, p, i, str(tmp_path / name), how) for p, i, name in runs]
    errors = [
        process.communicate(timeout=200)[1] for process in processes
    ]  # of all, before one fails the test
    for process, err in zip(processes, errors, strict=True):
        assert process.returncode == 0, err[-2000:]
    one, two = (load_generator(tmp_path / name) for name in ("one", "two"))
    for a, b in zip(leaves(one.variables), leaves(two.variables), strict=True):
        np.testing.assert_allclose(a, b, atol=6e-5)  # six steps of what one step may differ by
    assert [line["step"] for line in read_metrics(tmp_path / "two")] == [6]
    losses = [read_metrics(tmp_path / name)[-1]["loss"] for name in ("one", "two")]
    np.testing.assert_allclose(*losses, rtol=1e-4)


@pytest.mark.parametrize(
    "generator",
    [TINY, UlyanovConfig(scales=2, channels=2), dataclasses.replace(TINY, norm="batch")],
    ids=["instance", "ulyanov", "batch"],
)
@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path: Path, generator: Any) -> None:
    config = dataclasses.replace(
        CONFIG, generator=generator, accumulate=2, schedule="cosine", warmup_steps=2, clip=1.0
    )
    whole = train(config, STYLE, NETWORK, tmp_path / "whole", cadence=Cadence(log_every=1, sample_every=6))
    folder, calls = tmp_path / "parts", []
    for stop_at in (2, 5, 7, 100):
        cadence = Cadence(log_every=1, checkpoint_every=4)
        found = train(
            config,
            STYLE,
            NETWORK,
            folder,
            lambda p, at=stop_at: (calls.append(p.step), p.step >= at)[1],
            cadence=cadence,
        )
    assert calls == [*range(1, 13)]
    assert_same_bits(found.variables, whole.variables)
    assert_same_bits(load_generator(folder).variables, whole.variables)
    lines = [[line["step"] for line in read_metrics(tmp_path / name)] for name in ("whole", "parts")]
    assert lines == [list(range(1, 13))] * 2
    assert found.record["steps"] == 12
    assert {p.name for p in (tmp_path / "whole" / "samples").iterdir()} == {
        "step-0000006.jpg",
        "step-0000012.jpg",
    }
    assert TrainConfig.from_json(json.loads(json.dumps(found.record["training"]))) == config.for_backbone(
        NETWORK
    )


KILLED = """
    import sys
    from pathlib import Path
    import dataclasses
    from nstjax.training import Cadence, train
    from tests.helpers.training import CONFIG, NETWORK, STYLE, TINY
    config = dataclasses.replace(CONFIG, steps=60, generator=dataclasses.replace(TINY, styles=3))
    train(config, [STYLE, STYLE[:, ::-1], 1 - STYLE], NETWORK, Path(sys.argv[1]),
          lambda p: print(p.step, flush=True), cadence=Cadence(log_every=3, checkpoint_every=2, sample_every=7))
"""


@pytest.mark.optimized
@pytest.mark.slow
def test_kill_9_at_five_random_moments_of_a_run_of_three_styles_changes_no_bit(tmp_path: Path) -> None:
    whole = run_python(KILLED, str(tmp_path / "whole"))
    assert whole.stdout is not None
    whole.stdout.readline()
    started = time.perf_counter()
    out, err = whole.communicate(timeout=600)
    assert whole.returncode == 0, err[-2000:]
    duration = time.perf_counter() - started  # of 60 steps, on this machine, with whatever else it does
    rng, begun = random.Random(7), []
    for _ in range(5):
        process = run_python(KILLED, str(tmp_path / "parts"))
        assert process.stdout is not None
        begun.append(int(process.stdout.readline()))
        # A moment anywhere: in a step, while a checkpoint, a model, a sample or a line is written.
        time.sleep(rng.uniform(0, 0.3 * duration))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    process = run_python(KILLED, str(tmp_path / "parts"))
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err[-2000:]
    assert int(out.split()[-1]) == 60
    assert begun == sorted(begun)
    assert begun[-1] > 1, "no checkpoint was ever used"
    assert_same_bits(*(load_generator(tmp_path / name).variables for name in ("whole", "parts")))
    lines = [[line["step"] for line in read_metrics(tmp_path / name)] for name in ("whole", "parts")]
    assert lines[0] == lines[1]


def lines(folder: Path) -> list[dict[str, float]]:
    """The metrics of a run, but for its speed."""
    return [{k: v for k, v in line.items() if k != "images_per_second"} for line in read_metrics(folder)]


@pytest.mark.slow
def test_metrics_after_a_stop_are_those_of_an_uninterrupted_run(tmp_path: Path) -> None:
    """Stops between lines, at a line, and at the end of a shorter run; checkpoints between lines."""
    cadence = Cadence(log_every=4, checkpoint_every=3, sample_every=0)

    def run(name: str, stop_at: int, steps: int = 9) -> None:
        config = dataclasses.replace(CONFIG, steps=steps)
        train(config, STYLE, NETWORK, tmp_path / name, lambda p: p.step >= stop_at, cadence=cadence)

    run("whole", 9)
    assert [line["step"] for line in lines(tmp_path / "whole")] == [4, 8, 9]
    for stop_at, steps in ((2, 9), (5, 5), (9, 9), (9, 9)):
        run("parts", stop_at, steps)
        if steps == 5:
            assert [line["step"] for line in lines(tmp_path / "parts")] == [4, 5]
    assert lines(tmp_path / "parts") == lines(tmp_path / "whole")


def test_a_run_without_a_finite_step_fails_and_writes_no_model(tmp_path: Path) -> None:
    objective = dataclasses.replace(CONFIG.objective, style_weight=1e38, tv_weight=1e38)
    config = dataclasses.replace(CONFIG, objective=objective, steps=3)
    for _ in range(2):
        with pytest.raises(TrainingFailed, match="not finite in any of the 3 steps: lower `learning_rate`"):
            train(config, STYLE, NETWORK, tmp_path, cadence=Cadence(checkpoint_every=1, sample_every=0))
    assert not (tmp_path / "model").exists()


def test_the_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, steps=1, schedule="constant")
    train(config, STYLE, NETWORK, tmp_path)
    model = load_generator(tmp_path)
    heavier = dataclasses.replace(config.objective, style_weight=3.0)
    scale = jax.tree.map(lambda x: 2 * x, NETWORK.params)
    for change, said in (
        ((dataclasses.replace(config, objective=heavier), STYLE, NETWORK), "`objective.style_weight` was"),
        ((dataclasses.replace(config, seed=1), STYLE, NETWORK), "`seed` was 0 in the run and is 1 now"),
        ((config, STYLE[:, ::-1], NETWORK), "the style images are not those"),
        (
            (config, STYLE, dataclasses.replace(NETWORK, params=scale, sha256="2")),
            "the feature network is not",
        ),
    ):
        with pytest.raises(InputError, match=said):
            train(*change, tmp_path)
    assert_same_bits(load_generator(tmp_path).variables, model.variables)
    assert train(dataclasses.replace(config, steps=2), STYLE, NETWORK, tmp_path).record["steps"] == 2


@pytest.mark.slow
def test_a_loss_that_diverges_ends_the_run_and_keeps_its_checkpoint(tmp_path: Path) -> None:
    wild = dataclasses.replace(
        CONFIG, steps=30, learning_rate=1e30, warmup_steps=2
    )  # the first step has rate 0
    with pytest.raises(TrainingFailed, match="`learning_rate`"):
        train(wild, STYLE, NETWORK, tmp_path, cadence=Cadence(checkpoint_every=1))
    assert all(np.isfinite(leaf).all() for leaf in leaves(load_generator(tmp_path).variables))


def test_a_finished_run_without_its_model_writes_it_again(tmp_path: Path) -> None:
    made = train(CONFIG, STYLE, NETWORK, tmp_path / "run", cadence=Cadence(checkpoint_every=3))
    for change in ("missing", "of another run"):
        shutil.rmtree(tmp_path / "run" / "model")
        if change == "of another run":
            save_generator(tmp_path / "run" / "model", TINY, init_generator(TINY, jax.random.key(9)), {})
        train(CONFIG, STYLE, NETWORK, tmp_path / "run")
        assert_same_bits(load_generator(tmp_path / "run").variables, made.variables)
    fewer = dataclasses.replace(CONFIG, steps=2)
    with pytest.raises(
        InputError, match=r"`steps` is 2, and the checkpoint in .* has 6: give at least as many"
    ):
        train(fewer, STYLE, NETWORK, tmp_path / "run")


def test_images_and_a_folder_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    for wrong, message in (
        (255 * STYLE, "the style image has values"),
        (STYLE * np.float32("nan"), "the style image holds values that are not finite"),
        (STYLE[0], r"the style image has shape \("),
    ):
        with pytest.raises(InputError, match=message):
            train(CONFIG, [wrong], NETWORK)
    with pytest.raises(InputError, match="the sample photograph"):
        train(CONFIG, STYLE, NETWORK, samples=[(255 * STYLE).astype(np.uint8)])
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot make the folder .*file"):
        train(CONFIG, STYLE, NETWORK, tmp_path / "file" / "run")


def test_a_checkpoint_that_lacks_a_part_does_not_stop_a_run(tmp_path: Path) -> None:
    whole = train(CONFIG, STYLE, NETWORK, tmp_path / "whole")
    (tmp_path / "run" / "checkpoints" / "6" / "tree").mkdir(parents=True)  # a partial copy
    found = train(CONFIG, STYLE, NETWORK, tmp_path / "run")
    assert_same_bits(found.variables, whole.variables)
    assert is_checkpoint(tmp_path / "run" / "checkpoints" / "6")
