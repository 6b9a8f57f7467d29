"""The page: a photograph, style images, one pass or an optimization, and the result."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio
import numpy as np

from nstjax.cli.demo_command import PHOTOGRAPHS, photograph
from nstjax.cli.options_stylize import StylizeOptions
from nstjax.cli.options_synthesis import TransferOptions, base_config, default_options
from nstjax.generators.store import load_generator
from nstjax.generators.styles import style_names
from nstjax.images import save_image
from nstjax.images.display import read_thumbnail
from nstjax.losses.statistics import STATISTICS
from nstjax.paintings import PAINTINGS, paint
from nstjax.web.actions import BRUSHES, EDITOR_SIDE, GALLERY, Actions, progress_bar
from nstjax.web.fields import Field, fields_of
from nstjax.web.session import MOST_SESSIONS, Sessions
from nstjax.weights.store import AUTO, installed

EXAMPLE_SIDE = 512  # pixels; of the example paintings
START = "One pass takes about a second. Optimization takes a minute or more and reproduces larger shapes of the painting."
THEME = gradio.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]).set(
    block_info_text_color="*neutral_600", block_info_text_color_dark="*neutral_300"
)
CSS = """
.gradio-container { max-width: 1200px !important; margin: auto; }
#progress progress { width: 100%; height: 1rem; }
#gallery .grid-wrap { min-height: 0; }
#gallery .grid-container { grid-template-columns: repeat(auto-fill, minmax(90px, 1fr)) !important; }
"""
# Options that the page sets itself, that concern files, or that have no meaning on a page.
_TRANSFER_LEFT_OUT = (
    *("resume", "save_state_every", "snapshot_every", "quiet", "compilation_cache", "strength_grid", "bits"),
    *(
        "quality",
        "style_weights",
        "masks",
        "style_masks",
        "style_regions",
        "region_weights",
        "settings.init",
        "video.temporal_weight",
        "video.frame_iterations",
    ),
)
_STYLIZE_LEFT_OUT = (
    *("model", "style", "list", "sheet", "masks", "steady", "tile", "format", "noise_scale", "quiet"),
    *("compilation_cache", "bits", "quality"),
)


def _transfer_fields() -> list[Field]:
    choices = {
        "network.weights": (AUTO, *installed()),
        "objective.style_statistic": tuple(STATISTICS),
    }
    default = default_options("transfer", base_config("transfer", None))
    return list(fields_of(TransferOptions, default, TransferOptions.layout, _TRANSFER_LEFT_OUT, choices))


def _stylize_fields() -> list[Field]:
    return list(fields_of(StylizeOptions, None, StylizeOptions.layout, _STYLIZE_LEFT_OUT))


def _component(field: Field, key: str) -> Any:
    """Return the form element of a field. An empty value leaves the option out, so that presets apply."""
    shown: dict[str, Any] = {"label": field.label, "info": field.text, "min_width": 220, "elem_id": key}
    default = field.shown_default
    if field.kind == "choice" or field.kind == "switch":
        choices = field.choices if field.kind == "choice" else ("on", "off")
        first = f"default ({default})" if default else "default"
        return gradio.Dropdown([(first, ""), *((one, one) for one in choices)], value="", **shown)
    return gradio.Textbox(value="", placeholder=default or "default", max_lines=1, **shown)


def _form(command: str, fields: Sequence[Field]) -> list[Any]:
    """Make the form elements of a command's options; those of ``--help-all`` are folded."""
    made: dict[str, Any] = {}
    with gradio.Row():
        for field in fields:
            if field.essential:
                made[field.option.path] = _component(field, f"{command}-{field.option.flag[2:]}")
    titles = dict.fromkeys(field.group for field in fields if not field.essential)
    if titles:
        with gradio.Accordion("All options", open=False):
            for title in titles:
                with gradio.Accordion(title or "options", open=False), gradio.Row():
                    for field in fields:
                        if not field.essential and field.group == title:
                            made[field.option.path] = _component(field, f"{command}-{field.option.flag[2:]}")
    return [made[field.option.path] for field in fields]


def _example_paintings(folder: Path) -> list[str]:
    """Draw the example paintings and return their files."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for name in sorted(PAINTINGS):
        path = folder / f"{name}.png"
        save_image(path, np.asarray(paint(name, EXAMPLE_SIDE, EXAMPLE_SIDE, 0)))
        found.append(str(path))
    return found


def _gallery_styles() -> tuple[list[str], list[np.ndarray]]:
    """Return the names and thumbnails of the gallery's styles."""
    generator = load_generator(GALLERY)
    names, entries = list(style_names(generator)), generator.record.get("styles")
    found = []
    for entry in entries if isinstance(entries, list) else ():
        image = read_thumbnail(entry["thumbnail"])[0]
        found.append((image * 255 + 0.5).astype(np.uint8))
    return names, found


def make_page(sessions: Sessions, examples: Path) -> gradio.Blocks:
    """Return the page.

    Args:
        sessions: the sessions, which hold the files of each browser.
        examples: folder for the example paintings.
    """
    transfer, stylize = _transfer_fields(), _stylize_fields()
    names, thumbnails = _gallery_styles()
    act = Actions(sessions, transfer, stylize, names)
    sources: Any = ["upload", "webcam", "clipboard"]

    def picture(label: str, key: str, **more: Any) -> Any:
        element = gradio.Image(
            type="filepath", image_mode=None, sources=sources, label=label, elem_id=key, height=260, **more
        )
        # Gradio would open the file with Pillow; the project's own loader checks it instead.
        element.preprocess = lambda payload: None if payload is None else payload.path
        return element

    def editor_files(payload: Any) -> Any:
        if payload is None:
            return None
        files = [file.path for file in (payload.background, payload.composite) if file]
        return {"layers": [file.path for file in payload.layers or [] if file], "others": files}

    with gradio.Blocks(title="nstjax", analytics_enabled=False, delete_cache=(600, 86400)) as page:
        gradio.Markdown(
            "# nstjax\nStylize a photograph with a painting. The pictures stay on the machine that serves this page."
        )
        with gradio.Row():
            with gradio.Column(min_width=320):
                photo = picture("Photograph", "photo")
                gradio.Examples(
                    [[str(photograph(name))] for name in PHOTOGRAPHS],
                    [photo],
                    label="Example photographs",
                    elem_id="photos",
                )
                painting = picture("Style image", "painting")
                gradio.Examples(
                    [[path] for path in _example_paintings(examples)],
                    [painting],
                    label="Example paintings",
                    elem_id="paintings",
                )
                with gradio.Accordion("Regions with their own style image", open=False, elem_id="regions"):
                    gradio.Markdown(
                        "Paint over the photograph. Each brush color has its own style image; the rest gets the style image above. Without one, it keeps the photograph (one pass) or gets no style (optimization). Trained styles have no regions."
                    )
                    editor = gradio.ImageEditor(
                        type="numpy",
                        image_mode="RGBA",
                        label="Regions",
                        sources=(),
                        transforms=(),
                        layers=gradio.LayerOptions(allow_additional_layers=False, layers=["regions"]),
                        brush=gradio.Brush(24, list(BRUSHES.values()), color_mode="fixed"),
                        canvas_size=(EDITOR_SIDE, EDITOR_SIDE),
                        elem_id="editor",
                    )
                    editor.preprocess = editor_files  # likewise
                    with gradio.Row():
                        own = [
                            picture(f"Style image for {name}", f"painting-{name}", min_width=120)
                            for name in BRUSHES
                        ]
            with gradio.Column(min_width=320):
                with gradio.Row():
                    paint_button = gradio.Button("Stylize in one pass", variant="primary", elem_id="paint")
                    optimize_button = gradio.Button("Optimize", variant="primary", elem_id="optimize")
                    stop = gradio.Button("Stop", variant="stop", elem_id="stop", min_width=80)
                result = gradio.Image(
                    type="filepath",
                    label="Result",
                    interactive=False,
                    elem_id="result",
                    format="png",
                    buttons=["download", "fullscreen"],
                )
                progress = gradio.HTML(progress_bar(0.0, START), elem_id="progress")
                reuse = gradio.Button("Use the result as the photograph", size="sm", elem_id="reuse")
                files = gradio.File(
                    label="Downloads", file_count="multiple", interactive=False, elem_id="files"
                )
                command = gradio.Code(
                    label="The same on the command line",
                    language="shell",
                    interactive=False,
                    lines=1,
                    wrap_lines=True,
                    show_line_numbers=False,
                    elem_id="command",
                )
        gallery = gradio.Gallery(
            list(zip(thumbnails, names, strict=True)),
            label="Trained styles: click one to stylize the photograph in one pass",
            columns=8,
            height="auto",
            allow_preview=False,
            interactive=False,
            elem_id="gallery",
            buttons=[],
        )
        gradio.Markdown("## Options")
        with gradio.Tabs():
            with gradio.Tab("One pass"):
                stylize_form = _form("stylize", stylize)
            with gradio.Tab("Optimization"):
                with gradio.Row():
                    again = gradio.Checkbox(label="Start from the last result", elem_id="again")
                    animation = gradio.Checkbox(label="Make an animation of the run", elem_id="animation")
                transfer_form = _form("transfer", transfer)
        shown = [result, progress, command, files]
        inputs = [photo, painting, *own, editor]
        private: dict[str, Any] = {"api_visibility": "private"}
        light = {**private, "concurrency_id": "light", "concurrency_limit": 1, "show_progress_on": [result]}
        photo.change(act.canvas, [photo], [editor], show_progress="hidden", **private)
        for style in (painting, *own):
            style.change(act.check, [style], None, show_progress="hidden", **private)
        paint_button.click(act.paint, [*inputs, *stylize_form], shown, **light)
        gallery.select(act.paint_gallery, [photo, *stylize_form], shown, **light)
        optimize_button.click(act.request_run, None, [progress], show_progress="hidden", **private).then(
            act.optimize,
            [*inputs, again, animation, *transfer_form],
            shown,
            concurrency_id="optimize",
            concurrency_limit=1,
            show_progress="hidden",
            **private,
        )
        stop.click(act.stop, None, [progress], show_progress="hidden", concurrency_limit=None, **private)
        reuse.click(act.reuse, None, [photo], **private)
        page.unload(act.close)
    page.state_session_capacity = 4 * MOST_SESSIONS
    sessions.keep = frozenset(Path(file) for block in page.blocks.values() for file in block.keep_in_cache)
    return page.queue(max_size=64)
