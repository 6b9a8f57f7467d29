"""A folder of photographs on several devices and on a cluster of worker processes."""

import dataclasses
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import jax
import numpy as np
import psutil
import pytest

import nstjax
from nstjax.cli.cluster import check_cluster, new_command_id, once_per_command, run_task
from nstjax.cli.job import Arrangement, Job, OutputFiles, Sources, on_any_machine
from nstjax.cli.main import main
from nstjax.cli.many import on_free_device
from nstjax.cli.options import NetworkOptions
from nstjax.errors import InputError
from nstjax.synthesis import TransferConfig
from tests.helpers.paths import ROOT

LAYERS = ("--style-layers", "relu1_1", "--content-layers", "relu2_1", "--weights", "embedded")
NEEDS_DASK = pytest.mark.skipif(find_spec("distributed") is None, reason="needs the extra cluster")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with five photographs and a painting, in place of the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c", "d", "e"):
        nstjax.save_image(tmp_path / "photos" / f"{name}.png", rng.uniform(size=(40, 48, 3)))
    nstjax.save_image(tmp_path / "painting.png", rng.uniform(size=(40, 40, 3)))
    return tmp_path


_BOTH = """
import sys
import jax
from nstjax import programs
from nstjax.cli import synthesis_command, stylize_command, many
from nstjax.cli.main import main

used = set()
run = programs.run

def recorded(*arguments, **options):
    found = run(*arguments, **options)
    used.update(leaf.device for leaf in jax.tree.leaves(found) if isinstance(leaf, jax.Array))
    return found

programs.run = recorded
assert main([*sys.argv[1:], "-o", "devices", "-q"]) == 0
assert used == set(jax.local_devices())
assert len(used) == 4
used.clear()
for module in (synthesis_command, stylize_command):
    module.on_local_devices = many.one_by_one
assert main([*sys.argv[1:], "-o", "one", "-q"]) == 0
assert len(used) == 1
"""


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(
            ("transfer", "photos", "painting.png", "--size", "32", "--iterations", "4", *LAYERS),
            marks=pytest.mark.slow,
            id="transfer",
        ),
        pytest.param(("stylize", "photos", "--model", "gallery", "--style", "great_wave"), id="model"),
        pytest.param(
            ("stylize", "photos", "--style", "painting.png"), marks=pytest.mark.slow, id="any style"
        ),
    ],
)
def test_several_devices_give_the_same_bits_as_one(folder: Path, command: tuple[str, ...]) -> None:
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", _BOTH, *command], env={**os.environ, **flags}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for name in ("a", "b", "c", "d", "e"):
        one, other = ((folder / of / f"{name}.png").read_bytes() for of in ("one", "devices"))
        assert one == other


@NEEDS_DASK
@pytest.mark.slow
def test_a_killed_worker_loses_no_picture(folder: Path) -> None:
    """Its picture is made again; none is made twice or half-written. Started again, all are finished."""
    command = [
        *(sys.executable, "-m", "nstjax", "transfer", "photos", "painting.png", "-o", "done", "--size", "64"),
        *(
            "--iterations",
            "300",
            "--save-state-every",
            "60",
            "--cluster",
            "local:2",
            "--weights",
            "embedded",
        ),
        *("--style-layers", "relu2_1", "--content-layers", "relu3_1"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as run:
        deadline = time.monotonic() + 240
        while len(list(folder.glob("done/*.state"))) < 2:  # both workers are within a picture
            assert run.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        workers = [
            child
            for child in psutil.Process(run.pid).children(recursive=True)
            if "spawn_main" in " ".join(child.cmdline())
        ]
        assert len(workers) == 2
        assert not list(folder.glob("done/*.png"))
        workers[0].send_signal(signal.SIGKILL)
        _, said = run.communicate(timeout=400)
    assert run.returncode == 0, said
    for name in ("a", "b", "c", "d", "e"):
        assert said.count(f"wrote {folder}/done/{name}.png") == 1
        assert nstjax.load_image(folder / "done" / f"{name}.png").shape == (1, 53, 64, 3)
        record = json.loads((folder / "done" / f"{name}.png.run.json").read_text())
        assert record["status"] == "done"
    assert sorted(path.suffix for path in folder.glob("done/*")) == [".json"] * 5 + [".png"] * 5
    before = {path: path.stat().st_mtime_ns for path in folder.glob("done/*")}
    again = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert again.stderr.count("is finished already") == 5
    assert {path: path.stat().st_mtime_ns for path in folder.glob("done/*")} == before


_CLUSTER = """
import time
from distributed import LocalCluster

if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster:
        print(cluster.scheduler_address, flush=True)
        time.sleep(300)
"""


@NEEDS_DASK
@pytest.mark.slow
def test_a_cluster_at_an_address(folder: Path) -> None:
    """Two worker processes of their own; one photograph cannot be read, and the others are made."""
    (folder / "photos" / "bad.png").write_bytes(b"no picture")
    (folder / "away").mkdir()
    script = folder / "away" / "start.py"
    script.write_text(_CLUSTER)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    options = {"stdout": subprocess.PIPE, "text": True, "cwd": folder / "away", "env": environment}
    with subprocess.Popen([sys.executable, str(script)], **options) as cluster:  # type: ignore[call-overload]
        try:
            address = cluster.stdout.readline().strip()
            command = [
                sys.executable,
                "-m",
                "nstjax",
                "stylize",
                "photos",
                "--style",
                "painting.png:1,photos/a.png:2",
            ]
            run = [*command, "-o", "done", "--cluster", address]
            done = subprocess.run(run, capture_output=True, text=True, env=environment)
            again = subprocess.run(run, capture_output=True, text=True, env=environment)
        finally:
            cluster.terminate()
    assert done.returncode == 2
    assert done.stderr.count("wrote ") == 5
    assert "bad.png" in done.stderr
    assert again.stderr.count("is finished already") == 5
    assert {path.name for path in folder.glob("done/*.png")} == {f"{name}.png" for name in "abcde"}
    record = json.loads((folder / "done" / "stylize.run.json").read_text())
    assert len(record["outputs"]) == 5
    assert record["config"]["scale_count"] is None


def test_stylize_keeps_what_is_finished(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["stylize", "photos", "--model", "gallery", "--style", "great_wave", "-o", "done", "--resume"]
    for wrote, kept, options in ((5, 0, []), (0, 5, []), (5, 0, ["--strength", "0.5"])):
        assert main([*command, *options]) == 0
        said = capsys.readouterr().err
        assert (said.count("wrote "), said.count("is finished already")) == (wrote, kept)
    (folder / "photos" / "b.png").write_bytes((folder / "photos" / "a.png").read_bytes())
    assert main([*command, "--strength", "0.5"]) == 0
    assert capsys.readouterr().err.count("wrote ") == 1


def test_stylize_keeps_nothing_of_another_style_of_the_same_name(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["stylize", "photos", "--style", "painting.png", "-o", "done", "--resume", "--format", "jpg"]
    assert main(command) == 0
    assert main([*command, "--quality", "80"]) == 0
    (folder / "painting.png").write_bytes((folder / "photos" / "c.png").read_bytes())
    capsys.readouterr()
    assert main([*command, "--quality", "80"]) == 0
    assert capsys.readouterr().err.count("wrote ") == 5
    assert main([*command, "--quality", "80"]) == 0
    assert capsys.readouterr().err.count("is finished already") == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["transfer", "photos/a.png", "painting.png", "-o", "x.png", "--cluster", "local"],
            "--cluster is for a folder",
        ),
        (
            ["stylize", "photos/a.png", "--style", "painting.png", "-o", "x.png", "--resume"],
            "--resume is for several",
        ),
        (
            ["transfer", "photos", "painting.png", "-o", "x", "--cluster", "local", "--shard"],
            "--shard and --cluster contradict",
        ),
        (
            ["stylize", "photos/a.png", "--style", "painting.png", "-o", "x.png", "--cluster", "local"],
            "--cluster is for several",
        ),
        (
            ["transfer", "photos", "painting.png", "-o", "x", "--cluster", "here"],
            "--cluster here is not an address",
        ),
        (
            ["transfer", "photos", "painting.png", "-o", "x", "--cluster", "local:0"],
            "--cluster local:0 is not an address",
        ),
        (
            ["stylize", "photos", "--style", "painting.png", "-o", "x", "--cluster", "host:1"],
            "--cluster host:1 is not",
        ),
    ],
)
def test_bad_clusters_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "x").exists()


@pytest.mark.slow
@NEEDS_DASK
def test_no_scheduler_at_the_address(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["transfer", "photos", "painting.png", "-o", "x", "--cluster", "tcp://127.0.0.1:9"]
    assert main(command) == 2
    assert "no scheduler answers there" in capsys.readouterr().err


@NEEDS_DASK
def test_local_workers_see_one_gpu_each(monkeypatch: pytest.MonkeyPatch) -> None:
    from nstjax.cli.cluster import _worker_variables

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert check_cluster("local") == 2
    assert check_cluster("local:3") == 3
    assert [_worker_variables(i)["CUDA_VISIBLE_DEVICES"] for i in range(3)] == ["2", "5", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert _worker_variables(0) == {}


def test_a_job_for_another_machine_has_absolute_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("w.h5").touch()
    sources = Sources(
        Path("a.jpg"),
        (Path("b.jpg"),),
        Path("c.jpg"),
        Path("d.jpg"),
        Arrangement(masks=("not:m.png", "rest")),
    )
    job = Job(
        "transfer", sources, TransferConfig(), NetworkOptions(weights="w.h5"), OutputFiles(Path("o/a.png"))
    )
    found = on_any_machine(job)
    assert all(path.is_absolute() for path in found.sources.files().values())
    assert found.sources.arrangement.masks == (f"not:{tmp_path}/m.png", "rest")
    assert found.network.weights == str(tmp_path / "w.h5")
    assert found.output.path == tmp_path / "o" / "a.png"
    assert found.resume
    assert on_any_machine(found) == found
    Path("vgg19").mkdir()  # a folder of pictures with the name of installed weights
    named = dataclasses.replace(job, network=NetworkOptions(weights="vgg19"))
    assert on_any_machine(named).network.weights == "vgg19"
    automatic = on_any_machine(dataclasses.replace(job, network=NetworkOptions()))
    assert automatic.network.weights in ("vgg19", "embedded")  # all workers use the same


def test_what_a_worker_loads_is_loaded_once_for_a_command() -> None:
    loaded = []

    def load() -> int:
        loaded.append(1)
        return len(loaded)

    one, other = new_command_id(), new_command_id()
    assert [once_per_command(key, load) for key in (one, one, other, other, one)] == [1, 1, 2, 2, 3]


def test_an_error_of_a_worker_survives_its_transfer() -> None:
    class Local(Exception):
        pass

    def make(job: Exception) -> int:
        raise job

    for error, kind in (
        (InputError("bad"), InputError),
        (ValueError("x"), ValueError),
        (Local("y"), RuntimeError),
    ):
        outcome = pickle.loads(pickle.dumps(run_task(make, error, compilation_cache=False)))
        assert type(outcome.error) is kind
        assert str(error) in str(outcome.error)


def test_each_thread_waits_for_a_device_of_its_own() -> None:
    """With one device, its pictures are made one after another."""
    inside, most = 0, 0

    def use() -> None:
        nonlocal inside, most
        with on_free_device():
            inside += 1
            most = max(most, inside)
            time.sleep(0.02)
            inside -= 1

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(use) for _ in range(8)]:
            done.result()
    assert most == jax.local_device_count()


@pytest.mark.slow
def test_an_interrupted_folder_on_several_devices_keeps_what_is_finished(folder: Path) -> None:
    command = ["photos", "painting.png", "-o", "done", "--size", "32", "--iterations", "1000000", *LAYERS]
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "nstjax", "transfer", *command],
        env={**os.environ, **flags},
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        deadline = time.monotonic() + 120
        while len(list(folder.glob("done/*.state/*"))) < 2:  # both devices are within a picture
            assert run.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=120)
    assert run.returncode == 130, said
    assert "Traceback" not in said
    assert said.count("stopped: done/") == 2
    assert len(list(folder.glob("done/*.png"))) == 2
