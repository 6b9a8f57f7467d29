"""``nstjax completion``: the script of each shell, run in the shells that are installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

from nstjax.cli.completion_command import WHERE, script
from nstjax.cli.main import _COMMANDS, main

ASK_BASH = """
source {script}
COMP_WORDS=({words} "")
COMP_CWORD={count}
COMP_LINE="{words} "
COMP_POINT=${{#COMP_LINE}}
_tyro_nstjax
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("completion")
    for shell in WHERE:
        (folder / shell).write_text(script(shell))
    return folder


def complete(scripts: Path, words: str) -> set[str]:
    """What bash offers after some words."""
    text = ASK_BASH.format(script=scripts / "bash", words=words, count=len(words.split()))
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_commands_options_and_choices(scripts: Path) -> None:
    # All commands but completion itself, which is asked for once.
    assert set(_COMMANDS) - {"completion"} <= complete(scripts, "nstjax")
    assert {"--size", "--preset", "--style-layers", "--help-all"} <= complete(scripts, "nstjax transfer")
    assert {"fetch", "convert", "list", "info", "normalize"} <= complete(scripts, "nstjax weights")
    assert {"sizes", "clear"} <= complete(scripts, "nstjax cache")
    assert {"max", "average"} <= complete(scripts, "nstjax transfer --pooling")


@pytest.mark.parametrize("shell", WHERE)
def test_each_shell_accepts_its_script(scripts: Path, shell: str) -> None:
    text = (scripts / shell).read_text()
    assert "nstjax" in text
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    subprocess.run([shell, "-n", str(scripts / shell)], check=True)


def test_usage_and_bad_shells(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion"]) == 0
    assert "fish" in capsys.readouterr().out
    for wrong in (["tcsh"], ["bash", "zsh"]):
        assert main(["completion", *wrong]) == 2
        assert "nstjax completion takes one of bash, zsh, fish" in capsys.readouterr().err
