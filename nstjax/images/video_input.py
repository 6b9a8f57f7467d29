"""Opens videos with PyAV: allowed containers, rotation and timing of frames."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nstjax.errors import InputError
from nstjax.images.formats import recognise_file
from nstjax.images.opening import as_input_error, check_room

# Names of the FFmpeg demuxers that are allowed. FFmpeg has hundreds, and those for playlists (HLS, DASH, concat) open
# other files and URLs.
_DEMUXERS = "mov,matroska,avi,mpegts,mpeg,mpegvideo"
MAX_FRAME_PIXELS = 2**27  # pixels of a frame; 16K video has 133 million
_NO_METADATA_OPTION = 19  # first version of PyAV
_TOLERANCE = 0.5  # seconds by which a file may be shorter than it declares
_DAMAGED = "is a damaged video, or not one: copy or save it again"
_NO_PICTURES = "has no video frames: name a video"
_UNREADABLE = "is not a video that nstjax reads (MP4, MOV, Matroska, WebM, AVI, MPEG): convert it to MP4"


def pyav(path: Path) -> Any:
    """Import PyAV.

    Args:
        path: the video, for the message.

    Returns:
        The module ``av``.

    Raises:
        InputError: If PyAV is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise InputError(
            f"{path} is a video, which needs the package av: pip install 'nstjax[video]'"
        ) from error
    return av


def _metadata_option(av: Any) -> dict[str, str]:
    """Return the option of ``av.open`` that accepts metadata which is not UTF-8; PyAV 19 and later have none."""
    return {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < _NO_METADATA_OPTION else {}


def reading(path: Path) -> contextlib.AbstractContextManager[None]:
    """Turn exceptions of demuxers and decoders into an :class:`InputError` about a video."""
    return as_input_error(str(path), _DAMAGED)


@dataclasses.dataclass(frozen=True)
class VideoSource:
    """An open video.

    Attributes:
        container: PyAV's container.
        video: the video stream.
        audio: the first audio stream, or None.
    """

    container: Any
    video: Any
    audio: Any

    def frame_count(self) -> int:
        """Return the approximate number of frames; 0 if it is unknown."""
        if self.video.frames > 0:
            return int(self.video.frames)
        microseconds = max(0, self.container.duration or 0)
        return round(microseconds / 10**6 * float(self.video.average_rate or 0))

    def left_out(self) -> str:
        """Return a description of the streams that a copy does not contain; empty if it contains all."""
        used = {stream.index for stream in (self.video, self.audio) if stream is not None}
        kinds = [
            "cover" if _is_cover(stream) else stream.type
            for stream in self.container.streams
            if stream.index not in used
        ]
        words = {
            "audio": "sound track",
            "subtitle": "subtitle track",
            "video": "track of pictures",
            "cover": "cover picture",
        }
        found = [(kinds.count(kind), word) for kind, word in words.items() if kind in kinds]
        return ", ".join(f"{count} {word}{'s' if count > 1 else ''}" for count, word in found)


def _is_cover(stream: Any) -> bool:
    """Return True if a stream is a still image, such as the cover of an album."""
    return stream.type == "video" and bool(stream.disposition & type(stream.disposition).attached_pic)


@contextlib.contextmanager
def open_video_source(path: Path) -> Iterator[VideoSource]:
    """Open a video file.

    FFmpeg receives the open file and never the path, which it could interpret as a URL such as ``concat:`` or
    ``http:``. It opens no other file.

    Args:
        path: the file.

    Yields:
        The open video.

    Raises:
        InputError: If the file is missing, damaged, of a format that is not supported, too large for the free
            memory, or has no video stream, or if PyAV is not installed.
    """
    av = pyav(path)
    with contextlib.ExitStack() as stack:
        with reading(path):
            if path.exists() and not path.is_file():
                raise InputError(f"{path} is not a regular file: name a video file")
            file = stack.enter_context(path.open("rb"))
            try:
                container = av.open(
                    file,
                    container_options={"format_whitelist": _DEMUXERS, "protocol_whitelist": "none"},
                    **_metadata_option(av),
                )
            except (av.error.ArgumentError, av.error.InvalidDataError) as error:
                kind = recognise_file(path)
                if kind not in (None, "video"):
                    raise InputError(
                        f"{path} is not a video but a {kind} file: correct its suffix"
                    ) from error
                # FFmpeg reports a format that it recognizes but that is not in _DEMUXERS as an invalid argument.
                foreign = isinstance(error, av.error.ArgumentError)
                raise InputError(f"{path} {_UNREADABLE if foreign else _DAMAGED}") from error
            stack.enter_context(container)
            pictures = [stream for stream in container.streams.video if not _is_cover(stream)]
            if not pictures:
                raise InputError(f"{path} {_NO_PICTURES}")
            video = pictures[0]
            context = video.codec_context
            if context is None:
                raise InputError(f"PyAV cannot decode the codec of {path}: convert it")
            if context.width * context.height > MAX_FRAME_PIXELS:
                raise InputError(
                    f"{path} has frames of more than {MAX_FRAME_PIXELS:,} pixels: make it smaller first"
                )
            check_room(str(path), context.width, context.height, 4, 1)
            context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}  # the size may change later
            video.thread_type = "AUTO"
            audio = container.streams.audio[0] if container.streams.audio else None
        yield VideoSource(container, video, audio)


def first_frame(path: str | Path) -> tuple[np.ndarray, int]:
    """Decode the first frame of a video.

    Args:
        path: the file.

    Returns:
        The frame as it is shown, ``(1, h, w, 3)`` float32 in [0, 1]; and the approximate number of frames, 0 if it is
        unknown.

    Raises:
        InputError: As for :func:`open_video_source`; or if the video has no frame.
    """
    path = Path(path)
    with open_video_source(path) as source:
        with reading(path):
            frame = next(source.container.decode(source.video), None)
        if frame is None:
            raise InputError(f"{path} {_NO_PICTURES}")
        return shown(frame, path), source.frame_count()


def open_video(path: str | Path) -> int:
    """Decode the first frame of a video, so that damage at its beginning is reported before work begins.

    Args:
        path: the file.

    Returns:
        The approximate number of frames; 0 if it is unknown.

    Raises:
        InputError: As for :func:`first_frame`.
    """
    return first_frame(path)[1]


def packets(path: Path, source: VideoSource, say: Callable[[str], None]) -> Iterator[tuple[Any, list[Any]]]:
    """Read a video to its end.

    Args:
        path: the file, for messages.
        source: the open video.
        say: called with a message if the file is damaged or ends early.

    Yields:
        The packets of all streams, each with a list of the frames decoded from it. The list is empty for packets
        of other streams than ``source.video``.

    Raises:
        InputError: If decoding fails because of damage, or the video has no frame.
    """
    found = source.container.demux()
    some = corrupt = False
    reached = 0.0  # seconds
    while True:
        with reading(path):
            packet = next(found, None)
            frames = packet.decode() if packet is not None and packet.stream is source.video else []
        if packet is None:
            break
        some = some or bool(frames)
        corrupt = corrupt or packet.is_corrupt
        if packet.pts is not None:
            reached = max(reached, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        yield packet, frames
    if not some:
        raise InputError(f"{path} {_NO_PICTURES}")
    start, length = (
        (number or 0) / 10**6 for number in (source.container.start_time, source.container.duration)
    )
    if corrupt or reached < start + length - _TOLERANCE:
        say(
            f"note: {path.name} is damaged or truncated: the output contains only the frames that could be read"
        )


def orientation(frame: Any) -> tuple[bool, bool, bool]:
    """Return how a frame must be turned to be shown, from its display matrix.

    Returns:
        Three flags, applied in this order: swap rows and columns; reverse the columns; reverse the rows.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, False, False
    # x' = a x + c y, y' = b x + d y, in 16.16 fixed point. Angles are rounded to multiples of 90 degrees.
    a, b, _, c, d = (int(number) for number in np.frombuffer(bytes(data), np.int32)[:5])
    exchanged = abs(b) + abs(c) > abs(a) + abs(d)
    across, down = (c, b) if exchanged else (a, d)
    return exchanged, across < 0, down < 0


def shown(frame: Any, path: Path, transparent: Callable[[], None] = lambda: None) -> np.ndarray:
    """Return a frame as it is shown: upright, and composited over white.

    Args:
        frame: PyAV's frame.
        path: the video, for messages.
        transparent: called if the frame has transparent pixels.

    Returns:
        ``(1, h, w, 3)`` float32 in [0, 1].

    Raises:
        InputError: If the frame is damaged.
    """
    with reading(path):
        has_alpha = any(component.is_alpha for component in frame.format.components)
        pixels = frame.to_ndarray(format="rgba" if has_alpha else "rgb24")
    exchanged, mirrored, upside_down = orientation(frame)
    pixels = pixels.swapaxes(0, 1) if exchanged else pixels
    pixels = pixels[:: -1 if upside_down else 1, :: -1 if mirrored else 1]
    picture = np.ascontiguousarray(pixels[..., :3], np.float32)[None] / np.float32(255)
    if has_alpha and pixels[..., 3].min() < 255:
        transparent()
        alpha = pixels[None, ..., 3:].astype(np.float32) / np.float32(255)
        picture = picture * alpha + (1 - alpha)
    return picture
