"""A Griffe extension that turns the reStructuredText in docstrings into Markdown.

The docstrings have roles (``:class:`Means```) and simple tables, which Markdown does not know.
"""

import re

import griffe

_ROLE = re.compile(r":(?:class|func|meth|data|mod|attr):`~?([^`]+)`")
_RULE = re.compile(r"\s*=+( +=+)+\s*")


def to_markdown(text: str) -> str:
    """Return a docstring with code spans for roles, and with tables as code blocks."""
    lines: list[str] = []
    rules = 0
    for line in _ROLE.sub(r"`\1`", text).splitlines():
        if not _RULE.fullmatch(line):
            lines.append(line)
            continue
        indent = line[: len(line) - len(line.lstrip())]
        lines += [f"{indent}```text"] if rules % 2 == 0 else [f"{indent}```"]
        rules += 1
    return "\n".join(lines)


class Roles(griffe.Extension):
    """Applies :func:`to_markdown` to every docstring."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Replace the docstring of an object."""
        if obj.docstring is not None:
            obj.docstring.value = to_markdown(obj.docstring.value)
