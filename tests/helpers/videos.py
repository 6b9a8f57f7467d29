"""Writing and reading of videos with PyAV alone."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from nstjax.images import video


def gradients(count: int, height: int = 24, width: int = 32) -> list[np.ndarray]:
    """Return smooth frames ``(height, width, 3)`` uint8, each with another blue."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = 200 * y // height + 20, 200 * x // width + 20
    return [np.stack([red, green, 0 * y + 25 * k % 250], -1).astype(np.uint8) for k in range(count)]


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return a frame with smooth random colors everywhere, ``(1, height, width, 3)`` float32 in [0, 1]."""
    noise = np.random.default_rng(seed).uniform(size=(1, height, width, 3))
    smooth = ndimage.gaussian_filter(noise, (0, 2.0, 2.0, 0))
    return np.asarray((smooth - smooth.min()) / np.ptp(smooth), np.float32)


def write_video(
    path: Path,
    frames: Sequence[np.ndarray],
    sounds: Sequence[str] = (),
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    rate: str = "25",
    times: Sequence[int] | None = None,
    matrix: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    sound_frames: int = 8,
) -> Path:
    """Write frames ``(h, w, 3 or 4)`` uint8 and sound tracks.

    Args:
        path: output file; its suffix selects the container.
        frames: the frames, in any number.
        sounds: audio encoders, one for each track.
        codec: video encoder.
        pixels: pixel format in the file.
        rate: frames per second.
        times: times of the frames in milliseconds, for a variable rate.
        matrix: display matrix, nine numbers.
        options: options of the container.
        sound_frames: number of audio frames per track, of 1024 samples each.

    Returns:
        The path.
    """
    av = pytest.importorskip("av")
    with av.open(str(path), "w", options=options or {}) as container:
        lossless = {"crf": "1"} if codec == "libx264" else {}
        pictures = container.add_stream(codec, rate=Fraction(rate), options=lossless)
        pictures.height, pictures.width = frames[0].shape[:2] if len(frames) else (24, 32)
        pictures.pix_fmt = pixels
        if times is not None:
            pictures.codec_context.time_base = Fraction(1, 1000)
            pictures.codec_context.max_b_frames = 0
        if matrix is not None:
            if not hasattr(pictures, "set_display_matrix"):
                pytest.skip("this PyAV writes no display matrix")
            pictures.set_display_matrix(matrix)
        tones = [container.add_stream(sound, rate=48000 if sound == "libopus" else 44100) for sound in sounds]
        for k, frame in enumerate(frames):
            one = av.VideoFrame.from_ndarray(frame, format="rgba" if frame.shape[2] == 4 else "rgb24")
            one = one.reformat(format=pixels)
            if times is not None:
                one.pts, one.time_base = times[k], Fraction(1, 1000)
            container.mux(pictures.encode(one))
        container.mux(pictures.encode(None))
        for tone in tones:
            for i in range(sound_frames):
                wave = np.sin(np.arange(1024) / 20 + i)[None].astype(np.float32)
                kind = "fltp"
                if tone.codec_context.name != "aac":
                    wave, kind = (30000 * wave).astype(np.int16), "s16"
                part = av.AudioFrame.from_ndarray(wave, format=kind, layout="mono")
                part.sample_rate, part.pts = tone.rate, 1024 * i
                container.mux(tone.encode(part))
            container.mux(tone.encode(None))
    return path


def facts(path: Path | str) -> tuple[float, list[float], list[np.ndarray], list[str]]:
    """Return the frame rate, the times and images of the frames, and the codecs of the sound tracks."""
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        shown = [frame.to_ndarray(format="rgb24") for frame in frames]
        sounds = [stream.codec_context.name for stream in container.streams.audio]
        return float(container.streams.video[0].average_rate), [f.time for f in frames], shown, sounds


def sound_times(path: Path | str) -> list[float]:
    """Return the times of the packets of the first sound track in seconds."""
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        packets: list[Any] = list(container.demux(audio=0))
        return [float(p.pts * p.time_base) for p in packets if p.pts is not None]


class Encoded:
    """Records the pictures that the encoder gets, by output: x264 may encode equal pictures differently."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real, self._pictures = video._Writer.picture, list[np.ndarray]()

        def picture(writer: Any, pixels: np.ndarray, source: Any) -> None:
            self._pictures.append(video.to_integers(pixels))
            real(writer, pixels, source)

        monkeypatch.setattr(video._Writer, "picture", picture)

    def take(self) -> np.ndarray:
        """Return the pictures since the last call, ``(n, h, w, 3)`` uint8."""
        taken, self._pictures = np.stack(self._pictures), []
        return taken

    def clear(self) -> None:
        """Forget the pictures since the last call."""
        self._pictures = []
