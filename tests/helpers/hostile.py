"""Hostile files: damaged, with false headers, or made to fill the memory or to open other files.

They are derived from the recordings of tests/helpers/encoders.py, or made by hand. They are the same in every run,
except for serial numbers that some encoders draw at random.
"""

import faulthandler
import io
import random
import re
import signal
import struct
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
import soundfile

from analyzer.audio.reader import open_audio, read_at
from analyzer.audio.signatures import AUDIO_EXTENSIONS
from analyzer.errors import UnreadableRecording
from tests.helpers import voices
from tests.helpers.containers import Track, write_tracks
from tests.helpers.encoders import ENCODINGS

#: Files that crash or hang the process, with what happens; tests that run in pytest's own process skip them.
CRASHES: dict[str, str] = {}

_SEED = 20
#: Values that length fields are set to.
_LENGTHS = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
#: A pattern that finds the parts of a container, and how many bytes before the match a part begins.
_PARTS = {
    "wav": (rb"fmt |fact|data|ds64|LIST|PEAK", 0),
    "aiff": (rb"COMM|SSND", 0),
    "caf": (rb"desc|chan|data|free", 0),
    "w64": (rb"riff|fmt |fact|data", 0),
    "au": (rb"\.snd", 0),
    "flac": (rb"\xff[\xf8\xf9]", 0),
    "ogg": (rb"OggS", 0),
    "opus": (rb"OggS", 0),
    "mp3": (rb"\xff[\xf2\xf3]", 0),
    "aac": (rb"\xff\xf1", 0),
    "amr": (rb"#!AMR\n", -6),
    "m4a": (rb"ftyp|free|mdat|moov|mvhd|trak|tkhd|edts|mdia|mdhd|minf|dinf|stbl|stsd|stts|stsc|stsz|stco|udta", 4),
    "wma": (rb"\x30\x26\xb2\x75|\xa1\xdc\xab\x8c|\x91\x07\xdc\xb7|\x36\x26\xb2\x75", 0),
    "ts": (rb"\x47[\x40-\x5f]", 0),
    "avi": (rb"hdrl|avih|strl|strh|strf|movi|00wb|idx1", 0),
    "flv": (rb"\x08..\0....\0\0\0", 0),
    "mpg": (rb"\0\0\x01[\xba\xbb\xbd]", 0),
    "wv": (rb"wvpk", 0),
    "sph": (rb"NIST_1A|sample_count|end_head", 0),
    "webm": (rb"\x18\x53\x80\x67|\x15\x49\xa9\x66|\x16\x54\xae\x6b|\x1f\x43\xb6\x75|\x1c\x53\xbb\x6b", 0),
}
#: Playlists as text; `{target}` is the file to play.
PLAYLISTS = {
    "m3u": "{target}\n",
    "extended-m3u": "#EXTM3U\n#EXTINF:10,\n{target}\n",
    "hls": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n",
    "pls": "[playlist]\nNumberOfEntries=1\nFile1={target}\n",
    "ffconcat": "ffconcat version 1.0\nfile '{target}'\n",
    "concat": "concat:{target}|{target}",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\na=control:{target}\n",
    "asx": '<asx version="3.0"><entry><ref href="{target}"/></entry></asx>',
    "dash": '<?xml version="1.0"?><MPD type="static"><BaseURL>{target}</BaseURL></MPD>',
    "id3-hls": "ID3\x04\0\0\0\0\0\0#EXTM3U\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n",
    "ftyp-hls": "\0\0\0\x18ftypisom\0\0\0\0isom#EXTM3U\n#EXTINF:10,\n{target}\n",
}
_NAMES = (
    "\x1b[31mred.wav",
    "=cmd|' !A1.wav",
    "two\nlines.mp3",
    "\ttab.flac",
    "<b>bold.ogg",
    "$(reboot).m4a",
    "'; --.wav",
)


def corpus() -> dict[str, bytes]:
    """Return the content of every hostile file, by name."""
    originals = _originals()
    files: dict[str, bytes] = {}
    for kind in (_flipped, _cut, _wrong_lengths, _wrong_samples, _wrong_formats, _bombs):
        files.update(kind(originals))
    files.update(_playlists())
    files.update(_nested())
    files.update(_garbage())
    files.update({name: b"RIFF" + bytes(60) for name in _NAMES})
    return files


def write_corpus(folder: Path) -> list[Path]:
    """Write every hostile file into a folder; returns the paths."""
    paths = []
    for name, content in corpus().items():
        paths.append(folder / name)
        paths[-1].write_bytes(content)
    return paths


def outcome(path: Path) -> str:
    """Read a file to its end; returns `read` or the reason for the refusal.

    Raises AssertionError on samples that are not finite, on blocks with a wrong number of channels, and on notes or
    reasons that are not one printable line.
    """
    try:
        with open_audio(path) as stream:
            for block in read_at(stream, 8000):
                assert block.shape[0] == stream.channels
                assert np.isfinite(block).all(), "samples that are not numbers"
            notes = "; ".join(stream.notes)
            assert notes.isprintable(), notes
        return "read"
    except UnreadableRecording as error:
        reason = str(error)
        assert reason, "a refusal without a reason"
        assert reason.isprintable(), f"a reason that is not one printable line: {reason!r}"
        return reason


def _originals() -> dict[str, bytes]:
    """Return half a second of every encoding, by file name; includes containers that only libsndfile writes."""
    with tempfile.TemporaryDirectory() as folder:
        found = {
            encoding.name: encoding.write(Path(folder), voices.speech(0.5, encoding.rate)).read_bytes()
            for encoding in ENCODINGS.values()
        }
    for form in ("CAF", "W64"):
        file = io.BytesIO()
        soundfile.write(file, voices.speech(0.5), 8000, format=form, subtype="PCM_16")
        found[f"{form.lower()}.{form.lower()}"] = file.getvalue()
    return found


def _kind(name: str) -> str:
    return name.rpartition(".")[2]


def _patched(content: bytes, at: int, patch: bytes) -> bytes:
    return content[:at] + patch + content[at + len(patch) :]


def _flipped(originals: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Change a few bytes of the header."""
    rng = random.Random(_SEED)
    for name, content in originals.items():
        for k, (reach, count) in enumerate([(64, 1), (64, 4), (128, 8), (256, 16)]):
            changed = bytearray(content)
            for _ in range(count):
                changed[rng.randrange(min(reach, len(content)))] = rng.randrange(256)
            yield f"flipped-{k}-{name}", bytes(changed)


def _parts(name: str, content: bytes) -> list[int]:
    """Return the offsets at which the parts of a container begin."""
    if _kind(name) not in _PARTS:
        return []
    pattern, before = _PARTS[_kind(name)]
    return [match.start() - before for match in re.finditer(pattern, content, re.DOTALL)]


def _cut(originals: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Cut off the end at or close to a border between chunks, pages, boxes or frames."""
    for name, content in originals.items():
        for at in _parts(name, content)[:20]:
            for end in (at - 1, at, at + 1, at + 8):
                if 0 < end < len(content):
                    yield f"cut-{end}-{name}", content[:end]


def _wrong_lengths(originals: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    for value in _LENGTHS:
        little, big, long = struct.pack("<I", value), struct.pack(">I", value), struct.pack(">i", -1) + bytes(4)
        wav, large = originals["pcm16.wav"], originals["large.wav"]
        yield f"length-{value}-riff.wav", _patched(wav, 4, little)
        for chunk in (b"fmt ", b"data"):
            yield f"length-{value}-{chunk.decode().strip()}.wav", _patched(wav, wav.index(chunk) + 4, little)
        for name in ("gsm.wav", "adpcm.wav", "float.wav"):
            content = originals[name]
            yield f"length-{value}-data-{name}", _patched(content, content.index(b"data") + 4, little)
        for at in (4, 8, 16, 24):  # lengths of the chunk, of RIFF and of the data, and the number of samples
            place = large.index(b"ds64") + at
            yield f"length-{value}-ds64-{at}.wav", _patched(large, place, little + (b"" if at == 4 else little))
        aiff, au = originals["aiff.aiff"], originals["au.au"]
        for chunk in (b"FORM", b"COMM", b"SSND"):
            yield f"length-{value}-{chunk.decode()}.aiff", _patched(aiff, aiff.index(chunk) + 4, big)
        yield f"length-{value}-frames.aiff", _patched(aiff, aiff.index(b"COMM") + 10, big)
        yield f"length-{value}-header.au", _patched(au, 4, big)
        yield f"length-{value}-data.au", _patched(au, 8, big)
        for name, chunks in (("caf.caf", (b"desc", b"data")), ("w64.w64", (b"fmt ", b"data"))):
            content = originals[name]
            for chunk in chunks:
                place = content.index(chunk) + (4 if name == "caf.caf" else 16)
                yield f"length-{value}-{chunk.decode().strip()}-{name}", _patched(content, place, big + big)
                yield f"length-minus-{value}-{chunk.decode().strip()}-{name}", _patched(content, place, long)
        mp4 = originals["aac.m4a"]
        for k, place in enumerate(_parts("aac.m4a", mp4)):
            yield f"length-{value}-box-{k}.m4a", _patched(mp4, place, big)


def _wav(data: bytes, *, tag: int = 1, channels: int = 1, rate: int = 8000, align: int = 2, bits: int = 16) -> bytes:
    form = struct.pack("<HHIIHH", tag, channels, rate, rate * align & 0xFFFFFFFF, align, bits)
    return (
        struct.pack("<4sI4s4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16)
        + form
        + struct.pack("<4sI", b"data", len(data))
        + data
    )


def _wrong_samples(_: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Samples that are not finite, huge or denormal."""
    samples = voices.speech(0.5)
    for name, value in {"nan": np.nan, "inf": np.inf, "minus-inf": -np.inf, "huge": 3e38, "denormal": 1e-42}.items():
        for share in (3, 1):
            single, double = samples.astype("<f4"), samples.astype("<f8")
            single[::share] = double[::share] = value
            yield f"{name}-{share}.wav", _wav(single.tobytes(), tag=3, align=4, bits=32)
            yield f"{name}-{share}-44100.wav", _wav(single.tobytes(), tag=3, align=4, bits=32, rate=44_100)
            yield f"{name}-{share}-double.wav", _wav(double.tobytes(), tag=3, align=8, bits=64)
    yield "huge-double.wav", _wav(np.full(4000, 1e300).tobytes(), tag=3, align=8, bits=64)
    yield "signalling.wav", _wav(b"\x01\x00\x80\x7f" * 4000, tag=3, align=4, bits=32)


def _wrong_formats(originals: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Sample rates, channel counts and sample sizes that no recorder uses."""
    data = bytes(range(256)) * 32
    for rate in (0, 1, 999, 384_001, 768_001, 0x7FFFFFFF, 4_000_000_000, 0xFFFFFFFF):
        yield f"rate-{rate}.wav", _wav(data, rate=rate)
        yield f"rate-{rate}-g726.wav", _wav(data, tag=0x45, rate=rate, align=1, bits=4)
        yield f"rate-{rate}.au", b".snd" + struct.pack(">5I", 24, len(data), 3, rate, 1) + data
    for channels in (0, 2, 32, 33, 64, 1025, 65535):
        yield f"channels-{channels}.wav", _wav(data, channels=channels, align=2 * channels & 0xFFFF)
        yield f"channels-{channels}-alike.wav", _wav(data, channels=channels)
        yield f"channels-{channels}-adpcm.wav", _wav(data, tag=2, channels=channels, align=256, bits=4)
        yield f"channels-{channels}.au", b".snd" + struct.pack(">5I", 24, len(data), 3, 8000, channels) + data
    for align in (0, 1, 3, 65535):
        yield f"align-{align}.wav", _wav(data, align=align)
        for tag in (2, 0x11, 0x31, 0x45, 0x64):
            yield f"align-{align}-tag-{tag}.wav", _wav(data, tag=tag, align=align, bits=4)
    for bits in (0, 1, 7, 33, 255, 65535):
        yield f"bits-{bits}.wav", _wav(data, bits=bits)
        yield f"bits-{bits}-float.wav", _wav(data, tag=3, bits=bits, align=4)
    for tag in (0, 0x55, 0x92, 0xFF, 0x160, 0x161, 0x162, 0x163, 0x270, 0x674F, 0xFFFE, 0xFFFF):
        yield f"tag-{tag}.wav", _wav(data, tag=tag)
    aiff = originals["aiff.aiff"]
    at = aiff.index(b"COMM") + 8
    for name, extended in {
        "zero": bytes(10),
        "nan": b"\x7f\xff\xc0" + bytes(7),
        "inf": b"\x7f\xff\x80" + bytes(7),
        "minus": b"\xc0\x0b\xfa" + bytes(7),
        "giant": b"\x7f\xfe\xff" + b"\xff" * 7,
    }.items():
        yield f"rate-{name}.aiff", _patched(aiff, at + 8, extended)
    for channels in (0, 64, 65535):
        yield f"channels-{channels}.aiff", _patched(aiff, at, struct.pack(">H", channels))


def _playlists() -> Iterator[tuple[str, bytes]]:
    for target in ("/etc/passwd", "http://127.0.0.1:9/a.mp3"):
        for name, text in PLAYLISTS.items():
            for extension in ("mp3", "m4a", "wav"):
                place = "web" if target.startswith("http") else "disk"
                yield f"playlist-{place}-{name}.{extension}", text.format(target=target).encode("latin-1")
    yield "reference.m4a", referring("/etc/passwd")


def _nested() -> Iterator[tuple[str, bytes]]:
    """Deeply nested parts, and very many parts."""
    boxes, lists, elements = b"", b"", b""
    for _ in range(3000):
        boxes = _box(b"moov", _box(b"trak", boxes))
        lists = struct.pack("<4sI4s", b"LIST", 4 + len(lists), b"INFO") + lists
        elements = b"\x16\x54\xae\x6b\x08" + struct.pack(">Q", len(elements))[1:] + elements
    start = _box(b"ftyp", b"isom\0\0\0\0isom")
    yield "deep.m4a", start + boxes
    yield "deep-wave.m4a", start + _box(b"moov", b"\0\0\0\x08udta" * 20_000)
    yield "deep.wav", struct.pack("<4sI4s", b"RIFF", 4 + len(lists), b"WAVE") + lists
    yield "deep.webm", b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01" + b"\xff" * 7 + elements
    yield "many-chunks.wav", struct.pack("<4sI4s", b"RIFF", 0xFFFFFFFF, b"WAVE") + b"junk\0\0\0\0" * 100_000
    yield "many-tracks.m4a", start + _box(b"moov", _box(b"trak", _box(b"mdia")) * 5000)
    yield "many-pages.ogg", (b"OggS\0\2" + bytes(20) + b"\0") * 5000


def _garbage() -> Iterator[tuple[str, bytes]]:
    """Files that are not recordings."""
    rng = random.Random(_SEED)
    yield "empty.wav", b""
    yield "zeros.mp3", bytes(10_000)
    yield "ones.mp3", b"\xff" * 10_000
    yield "tag-only.mp3", b"ID3\x04\0\0\x7f\x7f\x7f\x7f"
    yield "tag-giant.mp3", b"ID3\x04\0\0\x7f\x7f\x7f\x7fAPIC\x7f\x7f\x7f\x7f\0\0" + rng.randbytes(5000)
    yield "tags.mp3", b"ID3\x04\0\0\0\0\0\0" * 20_000
    for extension in sorted(AUDIO_EXTENSIONS):
        yield f"text{extension}", b"Dear colleague, the recording is not here yet.\n" * 40
        yield f"random{extension}", rng.randbytes(3000)
        yield f"byte{extension}", b"\x55"
    for name, signature in SIGNATURES.items():
        yield f"signature.{name}", signature
        for k in range(3):
            yield f"signature-{k}.{name}", signature + rng.randbytes(50 * 10**k)


#: First bytes of each kind of file.
SIGNATURES = {
    "wav": b"RIFF\xff\xff\xff\xffWAVE",
    "rf64": b"RF64\xff\xff\xff\xffWAVE",
    "mp4": b"\0\0\0\x18ftypisom\0\0\0\0isommp41",
    "aiff": b"FORM\0\0\xff\xffAIFF",
    "aifc": b"FORM\0\0\xff\xffAIFC",
    "w64": b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00",
    "flac": b"fLaC",
    "ogg": b"OggS",
    "au": b".snd",
    "mp3": b"ID3\x04\0\0\0\0\0\0",
    "mpeg": b"\xff\xfb\x90\x64",
    "adts": b"\xff\xf1\x50\x80",
    "amr": b"#!AMR\n",
    "awb": b"#!AMR-WB\n",
    "caf": b"caff\0\1\0\0",
    "asf": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c",
    "mkv": b"\x1a\x45\xdf\xa3",
    "bw64": b"BW64\xff\xff\xff\xffWAVE",
    "ts": b"".join(b"\x47\x40\0\x10" + bytes(184) for _ in range(4)),
    "wv": b"wvpk",
    "tta": b"TTA1",
    "sph": b"NIST_1A\n   1024\n",
    "voc": b"Creative Voice File\x1a",
    "avi": b"RIFF\xff\xff\xff\xffAVI LIST\0\1\0\0hdrlavih\x38\0\0\0",
    "flv": b"FLV\1\5\0\0\0\x09\0\0\0\0\x08",
    "mpg": b"\0\0\1\xba\x44\0\4\0\4\1\0\0\3\xf8\0\0\1\xc0",
    "dts": b"\x7f\xfe\x80\x01",
    "ilbc": b"#!iLBC30\n",
    "dss": b"\x02dss",
}


def _bombs(originals: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Small files that claim to hold, or unpack to, far more than their size."""
    yield "day.flac", silent_flac(hours=25)
    yield "day-unknown.flac", silent_flac(hours=1, promised_hours=0)
    yield "day-promised.flac", silent_flac(hours=0.1, promised_hours=10_000)
    yield "crowded.m4a", crowded_packet("mp4")
    yield "crowded.webm", crowded_packet("matroska")
    yield "slow.wav", _wav(bytes(200_000), rate=1)
    yield "second-chunks.wav", _wav(bytes(200)) + (b"data" + struct.pack("<I", 2) + bytes(2)) * 50_000
    yield "second-files.wav", _wav(bytes(200)) * 3000
    yield "second-lies.wav", _wav(bytes(200)) + b"data\xf0\xff\xff\x7f" + bytes(100) + b"RIFF\0\0\0\0WAVE" * 1000
    opus = originals["opus.opus"]
    yield "chained-often.opus", opus * 300
    yield "pages-lost.opus", b"".join(piece for k, piece in enumerate(re.split(b"(?=OggS)", opus * 50)) if k % 5 != 3)
    yield "chained-empty.ogg", b"".join(re.split(b"(?=OggS)", originals["vorbis.ogg"])[1:3]) * 3000
    yield from _far_tracks()
    yield from _small_packets()
    for name, at in (("film.avi", b"strh"), ("film.avi", b"strf"), ("film.avi", b"idx1")):
        content = originals[name]
        place = content.index(at) + 4
        for value in _LENGTHS:
            for further in range(0, 56, 4):
                patched = _patched(content, place + further, struct.pack("<I", value))
                yield f"{at.decode()}-{further}-{value}.avi", patched
    for name in ("opus.opus", "vorbis.ogg", "speech.ogg"):
        content = originals[name]
        for k, granule in enumerate([0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 1 << 40]):
            yield f"granule-{k}-{name}", _patched(content, content.rindex(b"OggS") + 6, struct.pack("<Q", granule))
    mp4 = originals["aac.m4a"]
    sizes, times, runs = (mp4.index(box) + 8 for box in (b"stsz", b"stts", b"stsc"))
    for count in (1 << 26, 170_000_000, 0x7FFFFFFF, 0xFFFFFFFF):
        listed = _patched(mp4, sizes, struct.pack(">II", 1, count))
        one_chunk = _patched(listed, runs + 4, struct.pack(">II", 1, count))
        yield f"packets-{count}.m4a", one_chunk
        yield f"packets-{count}-timed.m4a", _patched(one_chunk, times, struct.pack(">III", 1, count, 1))
        yield f"packets-{count}-endless.m4a", _patched(one_chunk, times, struct.pack(">III", 1, count, 0xFFFFFFFF))
        yield f"fragment-{count}.m4a", fragment(mp4, count)
        yield f"table-{count}.m4a", _patched(mp4, sizes, struct.pack(">II", 0, count))
    for chunks, samples in ((80, 0x40000000), (20_000, 0x7FFFFFFF), (2, 0xFFFFFFFF)):
        yield f"chunks-{chunks}.m4a", plain_mp4(chunks=chunks, samples=samples)
    for edits in (1000, 1_000_000):
        yield f"edits-{edits}.m4a", edited(mp4, edits)


def _small_packets() -> Iterator[tuple[str, bytes]]:
    """Files of up to a million tiny packets.

    FFmpeg may keep all packets in which it looks for tracks, and needs far more memory for each than its size.
    """
    for name, kind, content in (("film", 9, b"\x22"), ("sound", 8, b"\x22\0"), ("aac", 8, b"\xaf\1\x21")):
        tag = bytes([kind]) + len(content).to_bytes(3, "big") + bytes(7) + content
        yield f"small-{name}.flv", b"FLV\1\5\0\0\0\x09\0\0\0\0" + (tag + struct.pack(">I", len(tag))) * 1_000_000
    pack = b"\0\0\1\xba\x44\0\4\0\4\1\0\0\3\xf8"
    for name, tracks in (("film", [0xE0]), ("sound", [0xC0]), ("all", range(0xC0, 0xF0))):
        packets = b"".join(b"\0\0\1" + bytes([track]) + b"\0\4\x80\0\0\xaa" for track in tracks)
        yield f"small-{name}.mpg", pack + packets * (1_000_000 // len(tracks))


def _far_tracks() -> Iterator[tuple[str, bytes]]:
    """Tracks stored one after the other, starting days apart, or jumping in time; more tracks than recordings have."""
    with tempfile.TemporaryDirectory() as folder:
        for name, count, late_s in (("far", 2, 0.0), ("late", 2, 80_000.0), ("beyond", 2, 90_000.0), ("many", 31, 5.0)):
            quiet = np.zeros(400_000 if name == "far" else 8000, np.float32)
            tracks = [Track(quiet, 8000, "pcm_s16le", k * late_s) for k in range(count)]
            yield (
                f"tracks-{name}.mkv",
                write_tracks(Path(folder) / name, "matroska", *tracks, by_track=True).read_bytes(),
            )


def _box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def plain_mp4(*, chunks: int = 1, samples: int = 8000, data_reference: bytes = b"") -> bytes:
    """Return a QuickTime file of 16-bit samples, `samples` per chunk; `data_reference` names the file with them."""
    sound = struct.pack(">6xH", 1) + struct.pack(">HHIHHHHI", 0, 0, 0, 1, 16, 0, 0, 8000 << 16)
    table = _box(
        b"stbl",
        _box(b"stsd", struct.pack(">II", 0, 1), _box(b"sowt", sound)),
        _box(b"stts", struct.pack(">IIII", 0, 1, 8000, 1)),
        _box(b"stsc", struct.pack(">IIIII", 0, 1, 1, samples, 1)),
        _box(b"stsz", struct.pack(">III", 0, 2, 8000)),
        _box(b"stco", struct.pack(">II", 0, chunks), struct.pack(">I", 44) * chunks),
    )
    place = _box(b"dinf", _box(b"dref", struct.pack(">II", 0, 1), data_reference)) if data_reference else b""
    media = _box(
        b"mdia",
        _box(b"mdhd", struct.pack(">IIIIIHH", 0, 0, 0, 8000, 8000, 0, 0)),
        _box(b"hdlr", bytes(8) + b"soun" + bytes(13)),
        _box(b"minf", _box(b"smhd", bytes(8)), place, table),
    )
    track = _box(b"trak", _box(b"tkhd", struct.pack(">IIIIII", 7, 0, 0, 1, 0, 8000) + bytes(60)), media)
    header = _box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 8000, 8000) + bytes(80))
    return _box(b"ftyp", b"qt  \0\0\0\0qt  ") + _box(b"moov", header, track) + _box(b"mdat", bytes(16_000))


def referring(path: str) -> bytes:
    """Return a QuickTime file that refers to another file for its samples, by a Macintosh alias."""
    target = path.encode()
    padding = b"\0" * (len(target) % 2)
    name = target.rpartition(b"/")[2][:63]
    alias = bytes(10) + b"\x02HD" + bytes(25 + 12) + bytes([len(name)]) + name.ljust(63, b"\0") + bytes(16)
    alias += struct.pack(">hh", -1, -1) + bytes(16)
    for kind in (2, 18):  # both kinds are paths
        alias += struct.pack(">hh", kind, len(target)) + target + padding
    alias += struct.pack(">hh", -1, 0)
    return plain_mp4(data_reference=_box(b"alis", struct.pack(">I", 0), alias))


def fragment(mp4: bytes, count: int) -> bytes:
    """Return an MP4 that continues with a fragment of `count` packets, without a table of them."""
    extends = _box(b"mvex", _box(b"trex", struct.pack(">6I", 0, 1, 1, 1024, 100, 0)))
    at = mp4.index(b"moov") - 4  # moov is the last box
    whole = _patched(mp4, at, struct.pack(">I", len(mp4) - at + len(extends))) + extends
    run = _box(
        b"traf", _box(b"tfhd", struct.pack(">4I", 0x18, 1, 1024, 100)), _box(b"trun", struct.pack(">II", 0, count))
    )
    return whole + _box(b"moof", _box(b"mfhd", bytes(8)), run) + _box(b"mdat", bytes(100))


def edited(mp4: bytes, edits: int) -> bytes:
    """Return an MP4 that plays its sound `edits` times."""
    at = mp4.index(b"edts") - 4
    old = int.from_bytes(mp4[at : at + 4], "big")
    table = _box(b"edts", _box(b"elst", struct.pack(">II", 0, edits), struct.pack(">III", 500, 0, 1 << 16) * edits))
    longer = mp4
    for kind in (b"moov", b"trak"):
        place = mp4.index(kind) - 4
        size = int.from_bytes(mp4[place : place + 4], "big") + len(table) - old
        longer = _patched(longer, place, struct.pack(">I", size))
    return longer[:at] + table + longer[at + old :]


def silent_flac(*, hours: float, promised_hours: float | None = None) -> bytes:
    """Return silence at 8 kHz, 65,535 samples per dozen bytes; the header claims `promised_hours`."""
    frames = round(hours * 3600 * 8000 / 65535)
    samples = frames * 65535 if promised_hours is None else min(round(promised_hours * 3600 * 8000), (1 << 36) - 1)
    numbers = 8000 << 44 | 0 << 41 | 7 << 36 | samples  # rate, channels - 1, bits - 1, samples
    info = struct.pack(">HH6xQ16x", 65535, 65535, numbers)
    return b"fLaC\x80\x00\x00\x22" + info + b"".join(map(_silent_frame, range(frames)))


def _silent_frame(number: int) -> bytes:
    header = b"\xff\xf8\x70\x02" + chr(number).encode("utf-8", "surrogatepass") + b"\xff\xfe"
    frame = header + bytes([_crc(header, 8, 0x07)]) + b"\0\0"
    return frame + _crc(frame, 16, 0x8005).to_bytes(2, "big")


def _crc(content: bytes, bits: int, polynomial: int) -> int:
    table, rest, mask = _crc_table(bits, polynomial), 0, (1 << bits) - 1
    for byte in content:
        rest = (rest << 8 & mask) ^ table[rest >> bits - 8 ^ byte]
    return rest


@cache
def _crc_table(bits: int, polynomial: int) -> list[int]:
    table, mask = [], (1 << bits) - 1
    for rest in range(256):
        value = rest << bits - 8
        for _ in range(8):
            value = (value << 1 ^ polynomial if value >> bits - 1 else value << 1) & mask
        table.append(value)
    return table


def crowded_packet(container: str) -> bytes:
    """Return a file whose only packet holds 20,000 FLAC frames: hours of silence, 2.6 GB if all are decoded at once."""
    with av.open(io.BytesIO(silent_flac(hours=0.1)), format="flac") as source, io.BytesIO() as file:
        template = source.streams.audio[0]
        with av.open(file, "w", format=container) as target:
            stream = target.add_stream_from_template(template)
            packet = av.Packet(b"".join(map(_silent_frame, range(20_000))))
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, 0, 0, Fraction(1, 8000)
            target.mux(packet)
        return file.getvalue()


def walk(folder: Path, seconds_per_file: float) -> None:
    """Read every file of a folder; prints a line before and after each, and finally the growth of memory in MB.

    Runs in a separate process, because a decoder may crash it. A file that takes more than `seconds_per_file` seconds
    of CPU time ends it too.
    """
    faulthandler.register(signal.SIGPROF, chain=True)
    outcome(next(path for path in sorted(folder.iterdir()) if path.name == "slow.wav"))
    before = _peak_mb()
    for path in sorted(folder.iterdir()):
        print(f"reading {path.name!r}", flush=True)  # noqa: T201
        signal.setitimer(signal.ITIMER_PROF, seconds_per_file)
        try:
            print(f"  {outcome(path)}")  # noqa: T201
        except Exception as error:
            print(f"  WORSE {path.name!r}: {type(error).__name__}: {error}")  # noqa: T201
        signal.setitimer(signal.ITIMER_PROF, 0)
        if (grown := _peak_mb() - before) > 100:
            print(f"  grown to {grown:.0f} MB")  # noqa: T201
    print(f"peak {_peak_mb() - before:.0f} MB")  # noqa: T201


def _peak_mb() -> float:
    """Return the peak memory of this process in MB; that of getrusage would start from the parent's peak."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s*(\d+)", status.read_text())[1]) / 1024  # type: ignore[index]
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


if __name__ == "__main__":
    walk(Path(sys.argv[1]), float(sys.argv[2]))
