"""The code blocks of Markdown documents, and the command lines in them."""

import dataclasses
import re
import shlex
from pathlib import Path

from tests.helpers.paths import ROOT

_FENCE = re.compile(r"^```(\S*) *(.*)$")
_COMMENT = re.compile(r"(^|\s)#.*$")
_ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced code block.

    Attributes:
        page: path of the document, from the root of the repository.
        line: number of the block's first line.
        language: word after the fence.
        title: the file that the block is to be saved as, or empty.
        text: without the fences.
    """

    page: str
    line: int
    language: str
    title: str
    text: str


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of a shell block.

    Attributes:
        where: page and line, for messages.
        words: without assignments of variables before it and redirections after it.
    """

    where: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(self.words)


def pages() -> list[str]:
    """The README and every page of the documentation."""
    docs = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
    return ["README.md", *docs]


def blocks_of(page: str, text: str | None = None) -> list[Block]:
    """The code blocks of a document."""
    lines = ((ROOT / page).read_text() if text is None else text).splitlines()
    found: list[Block] = []
    start = None
    for number, line in enumerate(lines, 1):
        fence = _FENCE.match(line)
        if fence is None:
            assert "```" not in line, f"{page}:{number}: a fence must begin its line"
        elif start is None:
            start = number, fence[1], fence[2]
        else:
            first, language, info = start
            title = re.search(r'title="(.*?)"', info)
            body = "\n".join(lines[first : number - 1])
            found.append(Block(page, first + 1, language, title[1] if title else "", body))
            start = None
    assert start is None, f"{page}:{start[0] if start else 0}: a block has no end"
    return found


def commands_of(block: Block) -> list[Command]:
    """The commands of a shell block, in order."""
    found: list[Command] = []
    number = block.line
    for logical in re.split(r"(?<!\\)\n", block.text):
        where = f"{block.page}:{number}"
        number += 1 + logical.count("\n")
        lexer = shlex.shlex(
            _COMMENT.sub("", logical.replace("\\\n", " ")), posix=True, punctuation_chars=True
        )
        lexer.whitespace_split = True
        lexer.commenters = ""
        words: list[str] = []
        for word in [*lexer, "&&"]:
            if word != "&&":
                words.append(word)
                continue
            words = words[: words.index(">")] if ">" in words else words
            while words and _ASSIGNMENT.fullmatch(words[0]):
                words.pop(0)
            if words:
                found.append(Command(where, tuple(words)))
            words = []
    return found


def extras_of(requirement: str) -> set[str]:
    """The extras that a requirement such as ``.[cuda,video]`` names."""
    inside = re.search(r"\[(.*)\]", requirement)
    return set(inside[1].split(",")) if inside else set()


def without(words: list[str], flag: str) -> list[str]:
    """Arguments without an option and its values."""
    found: list[str] = []
    skipping = False
    for word in words:
        skipping = word == flag or (skipping and not word.startswith("-"))
        if not skipping:
            found.append(word)
    return found


def values_of(words: list[str], flag: str) -> list[str]:
    """The values of an option; none where it is not given."""
    if flag not in words:
        return []
    after = words[words.index(flag) + 1 :]
    ends = [index for index, word in enumerate(after) if word.startswith("-")]
    return after[: ends[0]] if ends else after


def stand_in_files(folder: Path) -> None:
    """Write the files that the documents name, small: photographs, style images, masks, an animation."""
    import numpy as np

    from nstjax.images import save_gif, save_image
    from nstjax.paintings import paint

    y, x = np.mgrid[0:48, 0:64] / np.float32(64)
    photo = np.stack([x, y, 0.5 + 0.5 * np.sin(6 * x * y)], -1)[None].astype(np.float32)
    for name in ("photo.jpg", "town.jpg"):
        save_image(folder / name, photo)
    (folder / "photos").mkdir()
    for number in range(8):  # a batch of the largest training
        save_image(folder / "photos" / f"{number}.jpg", np.roll(photo, 10 * number, 2))
    style = paint("swirls", 48, 64)
    for number, name in enumerate(("painting", "one", "other", "starry", "field")):
        save_image(folder / f"{name}.jpg", np.roll(style, 9 * number, 2))
    mask = np.zeros((1, 48, 64, 3), np.float32)
    mask[:, :24] = 1
    for name in ("sky.png", "field_sky.png"):
        save_image(folder / name, mask)
    save_gif(folder / "clip.gif", [photo, np.roll(photo, 8, 2)])
