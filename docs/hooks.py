"""MkDocs hooks: pages from the files of the repository outside ``docs/``.

Each experiment's README, CHANGELOG.md and CONTRIBUTING.md become pages, and their pictures become JPEGs of at most
:data:`WIDEST` pixels. Nothing is copied into the repository. Links are written for the repository, where they work
too; the hooks change those that lead out of ``docs/``.
"""

import io
import posixpath
import re
from pathlib import Path
from urllib.parse import urlsplit

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from PIL import Image

ROOT = Path(__file__).parents[1]
WIDEST = 900  # pixels
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_PICTURES = (".jpg", ".png")
_AT_TOP = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}


def experiments() -> list[str]:
    """Return the names of the experiments that have a README."""
    return sorted(path.parent.name for path in ROOT.glob("experiments/*/README.md"))


def pages() -> dict[str, str]:
    """Return the site's path of each page made from a file outside ``docs/``, by the file's path in the repository."""
    return {f"experiments/{name}/README.md": f"experiments/{name}.md" for name in experiments()} | _AT_TOP


def picture(path: Path) -> bytes:
    """Return a picture as a JPEG of at most :data:`WIDEST` pixels."""
    with Image.open(path) as image:
        image = image.convert("RGB")
        if image.width > WIDEST:
            image = image.resize(
                (WIDEST, round(image.height * WIDEST / image.width)), Image.Resampling.LANCZOS
            )
        data = io.BytesIO()
        image.save(data, "JPEG", quality=82, optimize=True)
    return data.getvalue()


def target(place: str) -> str | None:
    """Return the site's path of a file of the repository, or None if the site does not have it."""
    if place.startswith("docs/"):
        return place.removeprefix("docs/")
    if place.startswith("experiments/") and place.endswith(_PICTURES):
        return str(Path(place).with_suffix(".jpg"))
    return pages().get(place)


def with_site_links(text: str, source: str, page: str) -> str:
    """Return Markdown with the repository's links replaced by those of the site.

    Args:
        text: of the file ``source``.
        source: its path in the repository.
        page: its path in the site.
    """

    def replaced(found: re.Match[str]) -> str:
        mark, label, link = found.groups()
        parts = urlsplit(link)
        if parts.scheme or not parts.path:
            return found.group()
        place = posixpath.normpath(posixpath.join(posixpath.dirname(source), parts.path))
        where = target(place)
        if where is None:  # a file of code or data
            return label if label.startswith("`") else f"{label} (`{place}`)"
        relative = posixpath.relpath(where, posixpath.dirname(page) or ".")
        anchor = f"#{parts.fragment}" if parts.fragment else ""
        return f"{mark}[{label}]({relative}{anchor})"

    return _LINK.sub(replaced, text)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the generated pages to the navigation."""
    for section in config.nav or []:
        if "Experiments" in section:
            section["Experiments"] += [{name: f"experiments/{name}.md"} for name in experiments()]
    config.nav.append({"Project": list(_AT_TOP.values())})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages and the pictures."""
    for source, page in pages().items():
        text = with_site_links((ROOT / source).read_text(), source, page)
        files.append(File.generated(config, page, content=text))
    for path in sorted(ROOT.glob("experiments/*/figures/*")):
        if path.suffix in _PICTURES:
            place = target(path.relative_to(ROOT).as_posix())
            files.append(File.generated(config, str(place), content=picture(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Change the links of a page of ``docs/`` that lead out of it."""
    if page.file.generated_by is not None:
        return markdown
    return with_site_links(markdown, f"docs/{page.file.src_uri}", page.file.src_uri)
