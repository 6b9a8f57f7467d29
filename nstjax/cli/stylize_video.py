"""``nstjax stylize`` of one video, which continues after the last saved frame of an interrupted run."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from nstjax.cli.display import Display
from nstjax.cli.frame_store import FrameStore
from nstjax.cli.stylize_jobs import StylizeJob
from nstjax.errors import InputError
from nstjax.images.video import change_video
from nstjax.images.video_input import open_video
from nstjax.inference.steady import Shot, SteadyConfig, steady

SAVE_EVERY_S = 10.0  # seconds of work that a kill may lose; a state takes about as long as a small frame


def stylize_video(
    job: StylizeJob,
    paint: Callable[[np.ndarray], np.ndarray],
    is_steady: bool,
    identity: dict[str, Any],
    count: Callable[[int, int], None],
    display: Display,
) -> int:
    """Stylize a video.

    Args:
        job: the input and the output.
        paint: function from a frame, ``(1, h, w, 3)`` in [0, 1], to its picture.
        is_steady: blend each picture with the one before; see :func:`nstjax.inference.steady.steady`.
        identity: everything that must be equal for a run to continue another one, as JSON.
        count: called with the number of finished frames and the approximate number of all, 0 if it is unknown.
        display: the progress display.

    Returns:
        The number of frames.

    Raises:
        InputError: If the video cannot be read or written.
    """
    assert job.source is not None
    of = open_video(job.source)
    store = FrameStore(job.output, json.loads(json.dumps(identity)), SAVE_EVERY_S)
    kept = None
    try:
        kept = store.load()
    except InputError as error:
        display.say(f"note: {error}: starting from the beginning")
    known = 0 if kept is None else kept.count
    if known:
        display.say(f"resuming {job.output.name} after frame {known}{f' of {of}' if of else ''}")
    shot = Shot(kept.tree["frame"], kept.tree["picture"]) if kept is not None and is_steady else None
    done = 0

    def change(frame: np.ndarray) -> np.ndarray:
        nonlocal done, shot
        done += 1
        if done <= known:
            return store.picture(done - 1)
        picture = paint(frame)
        tree = {"done": np.array(done)}
        if is_steady:
            shot = steady(frame, picture, shot, SteadyConfig())
            picture, tree = shot.picture, {"frame": shot.frame, "picture": shot.picture}
        if "frame" not in display.failed:  # frames after one that is missing are of no use
            display.attempt("frame", lambda: store.add(picture, tree))
        count(done, of)
        return picture

    store.begin(kept)
    try:
        found = change_video(job.source, store.unfinished, change, display.say)
        store.publish()
    except KeyboardInterrupt:
        display.attempt("frame", store.flush)
        raise
    finally:
        store.release()
    store.end()
    return found
