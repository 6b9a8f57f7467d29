"""Videos, a frame at a time: decode, change, encode, without ever holding more than a few (PyAV)."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from nstjax.errors import InputError, OutputError
from nstjax.files import replacing
from nstjax.images.encode import to_integers

VIDEO_SUFFIXES = (".mp4", ".webm", ".mov", ".mkv")
# Encoders by preference, with what they take for "no loss that one sees".
_Encoders: TypeAlias = tuple[tuple[str, dict[str, str]], ...]
_H264: _Encoders = (("libx264", {"crf": "18"}), ("libopenh264", {}), ("mpeg4", {"qscale": "2"}))
_VP9: _Encoders = (
    ("libvpx-vp9", {"crf": "24", "b": "0", "row-mt": "1", "cpu-used": "4"}),
    ("libvpx", {"crf": "8", "b": "8M"}),
)
_UNKNOWN = 2  # colour space that a file does not tell


def pyav(path: Path) -> Any:
    """Import PyAV.

    Args:
        path: a video, for the message.

    Raises:
        InputError: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise InputError(
            f"{path} is a video, which needs the package av: pip install 'nstjax[video]'"
        ) from error
    return av


@contextlib.contextmanager
def _reading(path: Path, error: type[Exception]) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as missing:
        raise InputError(f"{path} does not exist: check the path") from missing
    except PermissionError as closed:
        raise InputError(f"{path} may not be read: change its permissions") from closed
    except error as damage:
        raise InputError(f"{path} is a damaged video, or not one: copy or save it again") from damage


def open_video(path: str | Path) -> int:
    """Look at a video, and decode its first frame, so that damage at its beginning is told before work begins.

    Returns:
        About how many frames it has; 0 where that is not known.

    Raises:
        InputError: it is missing or damaged or has no pictures, or PyAV is not installed.
    """
    path = Path(path)
    av = pyav(path)
    with _reading(path, av.error.FFmpegError), av.open(str(path)) as container:
        if not container.streams.video:
            raise InputError(f"{path} has no pictures in it: name a video")
        stream = container.streams.video[0]
        if next(container.decode(stream), None) is None:
            raise InputError(f"{path} has no pictures in it: name a video")
        if stream.frames:
            return int(stream.frames)
        seconds = (container.duration or 0) / av.time_base
        return round(seconds * float(stream.average_rate or 0))


def _pixels(frame: Any) -> np.ndarray:
    """A frame as it is to be looked at, ``(1, h, w, 3)`` float32."""
    pixels = frame.to_ndarray(format="rgb24")
    turned = np.rot90(pixels, round(frame.rotation / 90) % 4)
    return np.ascontiguousarray(turned, np.float32)[None] / np.float32(255)


class _Writer:
    """The output: its streams are made when the first frame is there, and tells its size."""

    def __init__(self, av: Any, container: Any, suffix: str, video: Any, audio: Any) -> None:
        self._av, self._container, self._source = av, container, video
        encoders = _VP9 if suffix == ".webm" else _H264
        found = [item for item in encoders if item[0] in av.codecs_available]
        if not found:
            raise InputError(f"this PyAV has no encoder for {suffix}: choose another suffix for the output")
        self._encoder, self._options = found[0]
        self._stream: Any = None
        self._audio = None if audio is None else container.add_stream_from_template(audio)
        self._waiting: list[Any] = []  # sound before the first picture
        self._last: int | None = None

    def _start(self, height: int, width: int, frame: Any) -> None:
        stream = self._container.add_stream(
            self._encoder, rate=self._source.average_rate or 25, options=self._options
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.time_base = self._source.time_base
        ratio = self._source.codec_context.sample_aspect_ratio
        if ratio:
            context.sample_aspect_ratio = 1 / ratio if round(frame.rotation / 90) % 2 else ratio
        if frame.colorspace != _UNKNOWN:
            context.colorspace = frame.colorspace
            context.color_primaries, context.color_trc = frame.color_primaries, frame.color_trc
        self._stream = stream

    def picture(self, pixels: np.ndarray, source: Any) -> None:
        """Encode ``(1, h, w, 3)`` at the time of a frame of the source."""
        _, height, width, _ = pixels.shape
        height, width = height - height % 2, width - width % 2  # colour is stored at half the size
        if self._stream is None:
            self._start(height, width, source)
        frame = self._av.VideoFrame.from_ndarray(to_integers(pixels[:, :height, :width]), format="rgb24")
        space = None if source.colorspace == _UNKNOWN else source.colorspace
        frame = frame.reformat(format="yuv420p", dst_colorspace=space)
        at = source.pts if source.pts is not None else (self._last or 0) + 1
        if self._last is not None:
            at = max(at, self._last + 1)  # encoders want time to go forward
        frame.pts, frame.time_base, self._last = at, source.time_base or self._source.time_base, at
        self._container.mux(self._stream.encode(frame))
        self._flush()

    def sound(self, packet: Any) -> None:
        """Copy a packet of sound."""
        if self._audio is None or packet.dts is None:
            return
        self._waiting.append(packet)
        if self._stream is not None:
            self._flush()

    def _flush(self) -> None:
        for packet in self._waiting:
            packet.stream = self._audio
            self._container.mux(packet)
        self._waiting = []

    def finish(self) -> None:
        """Encode what the encoder still holds."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))


def _left_out(reader: Any, used: tuple[Any, ...]) -> str:
    """The streams of a video that its copy does not get, in words."""
    taken = {stream.index for stream in used if stream is not None}
    kinds = [stream.type for stream in reader.streams if stream.index not in taken]
    words = {"audio": "sound track", "subtitle": "subtitle track", "video": "track of pictures"}
    found = [(kinds.count(kind), word) for kind, word in words.items() if kind in kinds]
    return ", ".join(f"{count} {word}{'s' if count > 1 else ''}" for count, word in found)


def change_video(
    source: str | Path,
    target: str | Path,
    change: Callable[[np.ndarray], np.ndarray],
    say: Callable[[str], None] = lambda line: None,
) -> int:
    """Write a video whose pictures are those of another, changed, and whose sound and times are its.

    Args:
        source: of any format that FFmpeg reads.
        target: ends in one of :data:`VIDEO_SUFFIXES`; H.264 in all but ``.webm``, which is VP9. An odd last row or
            column of a picture is dropped.
        change: from ``(1, h, w, 3)`` float32 in [0, 1] to such a picture, always of the same size.
        say: told what cannot be kept.

    Returns:
        The number of pictures.

    Raises:
        InputError: the source cannot be read, the target not be written; nothing half-written stays behind.
    """
    source, target = Path(source), Path(target)
    av = pyav(source)
    suffix, error = target.suffix.lower(), av.error.FFmpegError
    if suffix not in VIDEO_SUFFIXES:
        raise InputError(f"the video {target} must end in one of {', '.join(VIDEO_SUFFIXES)}")
    count = 0
    try:
        with (
            replacing(target) as temporary,
            contextlib.ExitStack() as stack,
            av.open(str(temporary), "w") as container,
        ):
            with _reading(source, error):
                reader = stack.enter_context(av.open(str(source)))
                if not reader.streams.video:
                    raise InputError(f"{source} has no pictures in it: name a video")
            video = reader.streams.video[0]
            video.thread_type = "AUTO"
            audio = reader.streams.audio[0] if reader.streams.audio else None
            if left := _left_out(reader, (video, audio)):
                say(f"note: {source.name} has {left} besides, which {target.name} does not get")
            if audio is not None and audio.codec_context.name not in container.supported_codecs:
                say(
                    f"note: {suffix} cannot hold the sound of {source.name} ({audio.codec_context.name}): it is left out"
                )
                audio = None
            writer = _Writer(av, container, suffix, video, audio)
            packets = reader.demux([stream for stream in (video, audio) if stream is not None])
            while True:
                with _reading(source, error):
                    packet = next(packets, None)
                    if packet is None:
                        break
                    frames = packet.decode() if packet.stream.type == "video" else []
                if packet.stream.type == "audio":
                    writer.sound(packet)
                for frame in frames:
                    writer.picture(change(_pixels(frame)), frame)
                    count += 1
            if not count:
                raise InputError(f"{source} has no pictures in it: name a video")
            writer.finish()
    except (OSError, error) as failed:
        reason = getattr(failed, "strerror", None) or str(failed)
        raise OutputError(
            f"cannot write {target}: {reason}; free some space or choose another place"
        ) from failed
    return count
