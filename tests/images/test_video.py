"""Videos: unusual ones come out right, hostile ones end in one sentence."""

import re
import shutil
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nstjax.errors import InputError
from nstjax.images import video_input
from nstjax.images.video import change_video
from nstjax.images.video_input import open_video
from tests.helpers.mounts import TINY_DISK, run_with_mounts
from tests.helpers.videos import facts, gradients, sound_times, write_video

av = pytest.importorskip("av")


def copied(source: Path, suffix: str = ".mp4") -> tuple[np.ndarray, list[str], Path]:
    """The frames of an unchanged copy, what was said, and its path."""
    said: list[str] = []
    target = source.with_name(f"copy{suffix}")
    assert open_video(source) >= 0
    count = change_video(source, target, lambda picture: picture, said.append)
    frames = np.stack(facts(target)[2])
    assert len(frames) == count
    assert not list(source.parent.glob(".nstjax*"))
    return frames, said, target


def assert_alike(found: np.ndarray, wanted: np.ndarray | list[np.ndarray]) -> None:
    wanted = np.asarray(wanted, float)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).mean() < 5  # of 255; a frame more or less makes 8


ONE = 65536
TURNS = {
    "none": ((ONE, 0, 0, ONE), lambda f: f),
    "mirrored": ((-ONE, 0, 0, ONE), lambda f: f[:, ::-1]),
    "upside down": ((ONE, 0, 0, -ONE), lambda f: f[::-1]),
    "half a turn": ((-ONE, 0, 0, -ONE), lambda f: f[::-1, ::-1]),
    "clockwise": ((0, ONE, -ONE, 0), lambda f: np.rot90(f, -1)),
    "counterclockwise": ((0, -ONE, ONE, 0), lambda f: np.rot90(f)),
    "transposed": ((0, ONE, ONE, 0), lambda f: f.swapaxes(0, 1)),
    "transposed and turned": ((0, -ONE, -ONE, 0), lambda f: f.swapaxes(0, 1)[::-1, ::-1]),
}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("cut", [0, 1])
def test_what_an_edit_list_cuts_does_not_come_back(tmp_path: Path, suffix: str, cut: int) -> None:
    source = write_video(tmp_path / "a.mp4", gradients(50), ["aac"], sound_frames=86)
    content = bytearray(source.read_bytes())

    def places(box: bytes) -> list[int]:
        return [match.start() for match in re.finditer(box, content)]

    # A list's duration is in units of the movie, and its start in units of the track.
    (unit,) = struct.unpack_from(">I", content, content.index(b"mvhd") + 16)
    for edits, header in zip(places(b"elst"), places(b"mdhd"), strict=True):
        (scale,) = struct.unpack_from(">I", content, header + 16)
        duration, start = struct.unpack_from(">Ii", content, edits + 12)
        struct.pack_into(">Ii", content, edits + 12, duration - unit * cut, start + scale * cut)
    source.write_bytes(content)
    found, said, target = copied(source, suffix)
    assert said == []
    assert len(found) == 50 - 25 * cut
    times, sounds = facts(target)[1], sound_times(target)
    assert times[0] == pytest.approx(0, abs=0.002)
    assert times[-1] == pytest.approx((len(found) - 1) / 25, abs=0.003)
    packet = 1024 / 44100
    assert -2 * packet <= sounds[0] <= 0.001
    assert sounds[-1] == pytest.approx(2 - cut, abs=2 * packet)


@pytest.mark.parametrize("name", TURNS)
def test_frames_are_upright(tmp_path: Path, name: str) -> None:
    (a, b, c, d), turned = TURNS[name]
    frames = gradients(2)
    write_video(tmp_path / "a.mp4", frames, matrix=(a, b, 0, c, d, 0, 0, 0, 1 << 30))
    found, said, target = copied(tmp_path / "a.mp4")
    assert_alike(found, [turned(frame) for frame in frames])
    assert said == []
    with av.open(str(target)) as container:
        assert not next(container.decode(video=0)).side_data.get("DISPLAYMATRIX")


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("a.mkv", "libx264rgb", "rgb24"),
        ("a.mov", "png", "rgb24"),
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.mkv", "ffv1", "yuv420p10le"),
        ("a.webm", "libvpx-vp9", "yuva420p"),
        ("a.ts", "mpeg2video", "yuv420p"),
        ("a.mpg", "mpeg2video", "yuv420p"),
    ],
)
def test_colours(tmp_path: Path, name: str, codec: str, pixels: str, suffix: str) -> None:
    frames = gradients(9)
    write_video(tmp_path / name, frames, codec=codec, pixels=pixels)
    found, said, target = copied(tmp_path / name, suffix)
    assert_alike(found, frames)
    assert said == []
    with av.open(str(target)) as container:
        frame = next(container.decode(video=0))
        assert (frame.format.name, frame.colorspace == 0) == ("yuv420p", False)


def test_transparent_pixels_are_over_white(tmp_path: Path) -> None:
    alphas = [255, 64, 128]
    frames = [
        np.dstack([f, np.full(f.shape[:2], a, np.uint8)]) for f, a in zip(gradients(3), alphas, strict=True)
    ]
    write_video(tmp_path / "a.mov", frames, codec="png", pixels="rgba")
    found, said, _ = copied(tmp_path / "a.mov")
    assert_alike(found, [f[..., :3] * (a / 255) + 255 - a for f, a in zip(frames, alphas, strict=True)])
    assert said == ["note: a.mov has transparent pixels, which are shown over white"]


@pytest.mark.parametrize("name", ["a.mkv", "a.webm"])
def test_an_odd_last_row_and_column_are_dropped(tmp_path: Path, name: str) -> None:
    frames = gradients(2, 67, 101)
    write_video(tmp_path / name, frames, codec="libvpx-vp9" if name == "a.webm" else "ffv1")
    assert_alike(copied(tmp_path / name)[0], [frame[:66, :100] for frame in frames])


def test_a_variable_rate(tmp_path: Path) -> None:
    times = [0, 40, 45, 300, 1000, 5000]
    write_video(tmp_path / "a.mkv", gradients(6), times=times)
    _, said, target = copied(tmp_path / "a.mkv")
    np.testing.assert_allclose(facts(target)[1], np.array(times) / 1000, atol=1e-3)
    assert said == []


def test_the_size_changes_in_the_middle(tmp_path: Path) -> None:
    write_video(tmp_path / "small.ts", gradients(3))
    write_video(tmp_path / "large.ts", gradients(3, 48, 64))
    both = (tmp_path / "small.ts").read_bytes() + (tmp_path / "large.ts").read_bytes()
    (tmp_path / "both.ts").write_bytes(both)
    found, _, _ = copied(tmp_path / "both.ts")
    assert found.shape == (6, 24, 32, 3)
    large = [np.asarray(Image.fromarray(frame).resize((32, 24))) for frame in gradients(3, 48, 64)]
    assert_alike(found[3:], large)


def test_an_edit_list(tmp_path: Path) -> None:
    """The first three frames are cut off by the list alone, as telephones do it."""
    frames = gradients(10)
    content = bytearray(write_video(tmp_path / "a.mp4", frames).read_bytes())
    at = content.index(b"elst") + 12  # after version, flags and number of entries: duration, time
    (unit,) = struct.unpack_from(">I", content, content.index(b"mvhd") + 16)
    (begin,) = struct.unpack_from(">i", content, at + 4)
    struct.pack_into(">Ii", content, at, round(0.28 * unit), begin + 3 * 512)
    (tmp_path / "a.mp4").write_bytes(content)
    found, said, target = copied(tmp_path / "a.mp4")
    assert_alike(found, frames[3:])
    np.testing.assert_allclose(facts(target)[1], np.arange(7) / 25, atol=1e-3)
    assert said == []


@pytest.mark.parametrize(("name", "sound"), [("a.mp4", "aac"), ("a.mkv", "flac"), ("a.ts", "aac")])
def test_sound_and_pictures_stay_together(tmp_path: Path, name: str, sound: str) -> None:
    write_video(tmp_path / name, gradients(8), [sound])
    _, said, target = copied(tmp_path / name)
    assert said == []
    before, after = facts(tmp_path / name), facts(target)
    assert after[3] == [sound]
    np.testing.assert_allclose(
        np.array(sound_times(target)) - after[1][0],
        np.array(sound_times(tmp_path / name)) - before[1][0],
        atol=2e-3,
    )


def add_subtitles(source: Path, target: Path) -> None:
    """Copy a file with a track of subtitles."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        streams = {stream: writer.add_stream_from_template(stream) for stream in reader.streams}
        track = writer.add_stream("mov_text")
        style = b"[V4+ Styles]\nFormat: Name, Fontname, Fontsize\nStyle: Default,Arial,16\n"
        track.codec_context.subtitle_header = b"[Script Info]\nScriptType: v4.00+\n" + style
        for packet in reader.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream]
                writer.mux(packet)
        words = av.Packet(b"\0\5hello")
        words.stream, words.time_base = track, Fraction(1, 1000)
        words.pts, words.dts, words.duration = 0, 0, 40
        writer.mux(words)


def test_other_tracks_are_left_out(tmp_path: Path) -> None:
    write_video(tmp_path / "plain.mp4", gradients(3), ["aac", "aac"])
    add_subtitles(tmp_path / "plain.mp4", tmp_path / "a.mp4")
    found, said, target = copied(tmp_path / "a.mp4")
    assert_alike(found, gradients(3))
    assert said == ["note: a.mp4 has 1 sound track, 1 subtitle track besides, which copy.mp4 does not get"]
    assert facts(target)[3] == ["aac"]


def add_cover(source: Path, target: Path, with_video: bool) -> None:
    """Copy a file with a cover picture, and with or without its video."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        kept = [s for s in reader.streams if s.type == "audio" or with_video]
        cover = writer.add_stream("mjpeg", rate=Fraction(1))
        cover.width, cover.height, cover.pix_fmt = 16, 16, "yuvj420p"
        cover.disposition = type(cover.disposition).attached_pic
        streams = {stream: writer.add_stream_from_template(stream) for stream in kept}
        red = av.VideoFrame.from_ndarray(np.full((16, 16, 3), (255, 0, 0), np.uint8), format="rgb24")
        writer.mux([*cover.encode(red), *cover.encode(None)])
        for packet in reader.demux(kept):
            if packet.dts is not None:
                packet.stream = streams[packet.stream]
                writer.mux(packet)


def test_a_cover_is_not_a_video(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", gradients(3), ["aac"])
    add_cover(tmp_path / "a.mp4", tmp_path / "both.mp4", True)
    found, said, _ = copied(tmp_path / "both.mp4")
    assert_alike(found, gradients(3))
    assert said == ["note: both.mp4 has 1 cover picture besides, which copy.mp4 does not get"]
    add_cover(tmp_path / "a.mp4", tmp_path / "song.mp4", False)
    with av.open(str(tmp_path / "song.mp4")) as container:
        assert len(container.streams.video) == 1
    with pytest.raises(InputError, match=r"song\.mp4 has no video frames: name a video"):
        open_video(tmp_path / "song.mp4")


def test_a_truncated_video(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", gradients(40), options={"movflags": "faststart"})
    whole = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    found, said, _ = copied(tmp_path / "a.mp4")
    assert 3 < len(found) < 40
    assert_alike(found[:3], gradients(3))
    assert said == [
        "note: a.mp4 is damaged or truncated: the output contains only the frames that could be read"
    ]
    write_video(tmp_path / "b.mkv", gradients(40), codec="ffv1")
    whole = (tmp_path / "b.mkv").read_bytes()
    (tmp_path / "b.mkv").write_bytes(whole[: len(whole) // 2])
    found, said, _ = copied(tmp_path / "b.mkv")
    assert_alike(found, gradients(len(found)))
    assert said == [
        "note: b.mkv is damaged or truncated: the output contains only the frames that could be read"
    ]


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfilm.ts\n#EXT-X-ENDLIST\n"
CONCAT = b"ffconcat version 1.0\nfile film.ts\n"
SDP = b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
READS = "is not a video that nstjax reads"
DAMAGED = "is a damaged video, or not one"


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.m3u8", PLAYLIST, READS),
        ("a.mp4", PLAYLIST, DAMAGED),
        ("a.mp4", CONCAT, READS),
        ("a.mp4", SDP, READS),
        ("a.mp4", b"", DAMAGED),
        ("a.mp4", b"Dear diary,\n" * 99, DAMAGED),
        ("a.mkv", b"\x1a\x45\xdf\xa3" + bytes(200), DAMAGED),
        ("a.mp4", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", DAMAGED),
        ("a.avi", np.random.default_rng(0).bytes(4096), DAMAGED),
    ],
)
def test_what_is_no_video_is_refused(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    write_video(tmp_path / "film.ts", gradients(3))
    path, out = tmp_path / name, tmp_path / "out.mp4"
    path.write_bytes(content)
    out.write_bytes(b"yesterday")
    for read in (open_video, lambda p: change_video(p, out, lambda x: x)):
        with pytest.raises(InputError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path} {sentence}")
    assert out.read_bytes() == b"yesterday"
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted({name, "film.ts", "out.mp4"})


def test_ffmpeg_alone_opens_playlists(tmp_path: Path) -> None:
    """Which is why the list of demuxers is there."""
    write_video(tmp_path / "film.ts", gradients(3))
    (tmp_path / "a.m3u8").write_bytes(PLAYLIST)
    with av.open(str(tmp_path / "a.m3u8")) as container:
        assert len(list(container.decode(video=0))) == 3


def test_an_image_is_named(tmp_path: Path) -> None:
    Image.fromarray(gradients(1)[0]).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.mp4")
    with pytest.raises(InputError, match=r"a\.mp4 is not a video but a PNG file: correct its suffix"):
        open_video(tmp_path / "a.mp4")


def test_a_path_is_no_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "film.ts", gradients(3))
    for name in ("concat:film.ts|film.ts", "file:film.ts", "subfile,,start,0,end,0,,:film.ts"):
        with pytest.raises(InputError, match="does not exist: check the path"):
            open_video(name)
    for name in ("concat:film.ts", "http:film.ts", "a%03d.ts"):
        shutil.copy("film.ts", name)
        assert change_video(name, f"{name}.mp4", lambda x: x) == 3
        assert Path(f"{name}.mp4").is_file()
    with pytest.raises(InputError, match="is not a regular file"):
        open_video(tmp_path)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_sound_alone_and_no_frames(tmp_path: Path, name: str) -> None:
    for frames in (gradients(0), gradients(1)):
        write_video(tmp_path / name, frames, ["aac"])
        if frames:
            with av.open(str(tmp_path / name)) as reader, av.open(str(tmp_path / f"b{name}"), "w") as writer:
                sound = writer.add_stream_from_template(reader.streams.audio[0])
                for packet in reader.demux(audio=0):
                    if packet.dts is not None:
                        packet.stream = sound
                        writer.mux(packet)
            shutil.move(tmp_path / f"b{name}", tmp_path / name)
        for read in (open_video, lambda p: change_video(p, tmp_path / "out.mp4", lambda x: x)):
            with pytest.raises(InputError, match=f"{name} (has no video frames|is a damaged video)"):
                read(tmp_path / name)
        assert not (tmp_path / "out.mp4").exists()


def test_sizes_beyond_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "a.mkv", gradients(2, 1, 1), codec="ffv1")
    with pytest.raises(InputError, match="a video needs 2×2"):
        copied(tmp_path / "a.mkv")
    content = write_video(tmp_path / "b.mkv", gradients(2), codec="ffv1").read_bytes()
    width = content.index(b"\xb0\x81\x20")  # PixelWidth, one byte: 32
    head = content[:width] + b"\xb0\x81\xff" + content[width + 3 :]
    (tmp_path / "b.mkv").write_bytes(head)
    monkeypatch.setattr(video_input, "MAX_FRAME_PIXELS", 2000)
    with pytest.raises(InputError, match=r"b\.mkv has frames of more than 2,000 pixels: make it smaller"):
        open_video(tmp_path / "b.mkv")


def test_metadata_of_any_bytes(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mkv", gradients(2), codec="ffv1")
    content = (tmp_path / "a.mkv").read_bytes()
    assert b"Lavf" in content
    (tmp_path / "a.mkv").write_bytes(content.replace(b"Lavf", b"\xff\xfe\xe9v"))
    assert_alike(copied(tmp_path / "a.mkv")[0], gradients(2))


FULL = (
    TINY_DISK
    + """
    from pathlib import Path
    from nstjax.errors import OutputError
    from nstjax.images.video import change_video
    Path("disk/out.mkv").write_bytes(b"yesterday")
    fill("disk", 20000)
    try:
        change_video("film.mkv", "disk/out.mkv", lambda picture: picture)
    except OutputError as error:
        print(error)
    assert sorted(os.listdir("disk")) == ["filler", "out.mkv"]
    assert Path("disk/out.mkv").read_bytes() == b"yesterday"
    """
)


def test_a_full_disk(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 96, 128, 3), np.uint8)
    write_video(tmp_path / "film.mkv", list(noise), codec="ffv1")
    (tmp_path / "disk").mkdir()
    done = run_with_mounts(FULL, tmp_path)
    sentence = "cannot write disk/out.mkv: No space left on device; free some space or choose another place"
    assert (done.returncode, done.stdout.strip()) == (0, sentence), done.stderr
