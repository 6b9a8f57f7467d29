"""Reads, processes and writes videos frame by frame with PyAV. Only a few frames are in memory at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from nstjax.errors import InputError, OutputError
from nstjax.files import replacing
from nstjax.images.encode import to_integers
from nstjax.images.video_input import VideoSource, open_video_source, orientation, packets, pyav, shown

VIDEO_SUFFIXES = (".mp4", ".webm", ".mov", ".mkv")
# Encoders in the order of preference, with options for visually lossless output.
_Encoders: TypeAlias = tuple[tuple[str, dict[str, str]], ...]
_H264: _Encoders = (("libx264", {"crf": "18"}), ("libopenh264", {}), ("mpeg4", {"qscale": "2"}))
_VP9: _Encoders = (
    ("libvpx-vp9", {"crf": "24", "b": "0", "row-mt": "1", "cpu-used": "4"}),
    ("libvpx", {"crf": "8", "b": "8M"}),
)
_WITH_EDIT_LISTS = (".mp4", ".mov")
_NOT_YUV = (0, 2)  # FFmpeg's color spaces "RGB" and "unspecified"


class _Writer:
    """Writes the output video. The first frame determines the size of the video stream, which is then created.

    Args:
        av: the module PyAV.
        container: the output container.
        suffix: the output's suffix, which selects the encoder.
        video: the video stream of the source.
        audio: the audio stream of the source that is copied, or None.

    Raises:
        InputError: If this PyAV has no encoder for the suffix.
    """

    def __init__(self, av: Any, container: Any, suffix: str, video: Any, audio: Any) -> None:
        self._av, self._container, self._source, self._suffix = av, container, video, suffix
        encoders = _VP9 if suffix == ".webm" else _H264
        found = [item for item in encoders if item[0] in av.codecs_available]
        if not found:
            raise InputError(f"this PyAV has no encoder for {suffix}: choose another suffix for the output")
        self._encoder, self._options = found[0]
        self._stream: Any = None
        self._audio = None if audio is None else container.add_stream_from_template(audio)
        self._waiting: list[Any] = []  # audio packets before the first frame
        self._last: int | None = None
        self._space: int | None = None

    def _start(self, height: int, width: int, frame: Any) -> None:
        """Create the video stream with the properties of the first frame."""
        stream = self._container.add_stream(
            self._encoder, rate=self._source.average_rate or 25, options=self._options
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.time_base = self._source.time_base
        ratio = self._source.sample_aspect_ratio
        if ratio:
            context.sample_aspect_ratio = 1 / ratio if orientation(frame)[0] else ratio
        if frame.colorspace not in _NOT_YUV:
            context.colorspace = self._space = frame.colorspace
            context.color_primaries, context.color_trc = frame.color_primaries, frame.color_trc
        self._stream = stream

    def picture(self, pixels: np.ndarray, source: Any) -> None:
        """Encode a frame ``(1, h, w, 3)`` in [0, 1] at the time of a frame of the source.

        Raises:
            InputError: If the frame is smaller than 2×2 pixels.
        """
        _, height, width, _ = pixels.shape
        if min(height, width) < 2:
            raise InputError(
                f"the pictures are of {width}×{height} pixels, and a video needs 2×2: choose a larger one"
            )
        height, width = height - height % 2, width - width % 2  # chroma has half the size
        if self._stream is None:
            self._start(height, width, source)
        frame = self._av.VideoFrame.from_ndarray(to_integers(pixels[:, :height, :width]), format="rgb24")
        # The frame size of the source may change; the output's cannot.
        frame = frame.reformat(self._stream.width, self._stream.height, "yuv420p", dst_colorspace=self._space)
        at = source.pts if source.pts is not None else (self._last or 0) + 1
        if self._last is not None:
            at = max(at, self._last + 1)  # encoders require increasing times
        frame.pts, frame.time_base, self._last = at, source.time_base or self._source.time_base, at
        self._container.mux(self._stream.encode(frame))
        self._flush()

    def sound(self, packet: Any) -> None:
        """Copy an audio packet. Packets are held back until the video stream exists."""
        if self._audio is None or packet.dts is None or self._is_cut(packet):
            return
        self._waiting.append(packet)
        if self._stream is not None:
            self._flush()

    def _is_cut(self, packet: Any) -> bool:
        """Return True if an audio packet is not played, because the edit list of the source cuts it.

        The last one before the start is kept where the target can mark it too: decoders begin with it.
        """
        if not packet.is_discard or packet.pts is None:
            return False
        before_last = packet.pts + 2 * (packet.duration or 0) <= 0
        return before_last or self._suffix not in _WITH_EDIT_LISTS

    def _flush(self) -> None:
        """Write the audio packets that were held back."""
        for packet in self._waiting:
            packet.stream = self._audio
            self._container.mux(packet)
        self._waiting = []

    def finish(self) -> None:
        """Encode and write the frames that the encoder still holds."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))


def change_video(
    source: str | Path,
    target: str | Path,
    change: Callable[[np.ndarray], np.ndarray],
    say: Callable[[str], None] = lambda line: None,
) -> int:
    """Write a copy of a video with changed frames; the audio and the times are those of the source.

    Args:
        source: the video: MP4, MOV, Matroska, WebM, AVI or MPEG.
        target: the output, which must end in one of :data:`VIDEO_SUFFIXES`; ``.webm`` is encoded with VP9 (or
            VP8), all others with H.264 (or MPEG-4). An odd last row or column of a frame is dropped.
        change: function from a frame, ``(1, h, w, 3)`` float32 in [0, 1], to the new frame.
        say: called with a message about everything that the target does not contain, and about damage of the
            source.

    Returns:
        The number of frames.

    Raises:
        InputError: If PyAV or an encoder is not installed, the source cannot be read, the target has another
            suffix, or the target cannot hold the frame size, the times or the audio.
        OutputError: If the target cannot be written. After either error an existing target is unchanged.
    """
    source, target = Path(source), Path(target)
    av = pyav(source)
    suffix = target.suffix.lower()
    if suffix not in VIDEO_SUFFIXES:
        raise InputError(f"the video {target} must end in one of {', '.join(VIDEO_SUFFIXES)}")
    count, noted = 0, False

    def note_transparency() -> None:
        nonlocal noted
        if not noted:
            say(f"note: {source.name} has transparent pixels, which are shown over white")
        noted = True

    try:
        with (
            open_video_source(source) as reader,
            replacing(target) as temporary,
            av.open(str(temporary), "w") as container,
        ):
            if left := reader.left_out():
                say(f"note: {source.name} has {left} besides, which {target.name} does not get")
            writer = _Writer(
                av, container, suffix, reader.video, _sound(reader, container, source, target, say)
            )
            for packet, frames in packets(source, reader, say):
                if packet.stream is reader.audio:
                    writer.sound(packet)  # ignored if the target cannot hold the audio
                for frame in frames:
                    writer.picture(change(shown(frame, source, note_transparency)), frame)
                    count += 1
            writer.finish()
    except (av.error.ArgumentError, av.error.InvalidDataError) as failed:
        # Damage was reported before. Encoders and containers reject only properties of the source.
        raise InputError(
            f"{target} cannot hold the frame size, the times or the sound of {source}: convert it to MP4 first"
        ) from failed
    except (OSError, av.error.FFmpegError) as failed:
        reason = getattr(failed, "strerror", None) or str(failed)
        raise OutputError(
            f"cannot write {target}: {reason}; free some space or choose another place"
        ) from failed
    return count


def _sound(
    reader: VideoSource, container: Any, source: Path, target: Path, say: Callable[[str], None]
) -> Any:
    """Return the audio stream to copy, or None; a message tells if the target cannot hold it."""
    if reader.audio is None:
        return None
    context = reader.audio.codec_context
    name = "an unknown codec" if context is None else context.name
    if context is not None and name in container.supported_codecs:
        return reader.audio
    say(f"note: {target.suffix.lower()} cannot hold the sound of {source.name} ({name}): it is left out")
    return None
