"""Detect the format of a file by its first bytes, or by its name if the content does not show it."""

import os
from dataclasses import dataclass

#: Bytes at the start of a file that `sniff` examines.
SNIFFED_BYTES = 1024


@dataclass(frozen=True)
class Headerless:
    """An encoding that only the extension indicates: its rate, and libsndfile's subtype or FFmpeg's demuxer."""

    rate: int
    subtype: str | None = None
    demuxer: str | None = None


#: Asterisk's headerless files, one channel each.
HEADERLESS = {
    ".ulaw": Headerless(8000, subtype="ULAW"),
    ".alaw": Headerless(8000, subtype="ALAW"),
    ".gsm": Headerless(8000, subtype="GSM610"),
    ".sln": Headerless(8000, subtype="PCM_16"),
    ".sln16": Headerless(16000, subtype="PCM_16"),
    ".g722": Headerless(16000, demuxer="g722"),
}

_NAMED_EXTENSIONS = (
    ".wav .wave .mp3 .mp2 .flac .ogg .oga .opus .spx .au .snd .aif .aiff .aifc .caf .w64 .bw64 .rf64 "
    ".m4a .m4b .mp4 .aac .3gp .3ga .amr .awb .wma .asf .webm .mka .ac3 .eac3 .avi .flv .mpg .mpeg .vob"
)
AUDIO_EXTENSIONS = frozenset(_NAMED_EXTENSIONS.split()) | frozenset(HEADERLESS)

_IMAGE_BRANDS = (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis")
#: Formats of IFF and RIFF files, by the types of the outermost chunk and of its contents.
_FORMS = {
    (b"RIFF", b"WAVE"): "wav",
    (b"RF64", b"WAVE"): "wav",
    (b"BW64", b"WAVE"): "wav",
    (b"RIFF", b"AVI "): "avi",
    (b"FORM", b"AIFF"): "aiff",
    (b"FORM", b"AIFC"): "aiff",
}
_SIGNATURES = {
    b"fLaC": "flac",
    b"OggS": "ogg",
    b".snd": "au",
    b"ID3": "mp3",
    b"#!AMR": "amr",
    b"caff": "caf",
    b"\x30\x26\xb2\x75": "asf",
    b"\x1a\x45\xdf\xa3": "matroska",
    b"wvpk": "wv",
    b"TTA1": "tta",
    b"NIST_1A\n": "nistsphere",
    b"Creative Voice File\x1a": "voc",
    b"riff": "w64",
    b"FLV\x01": "flv",
    b"\0\0\x01\xba": "mpeg",
    b"\x7f\xfe\x80\x01": "dts",
    b"\xfe\x7f\x01\x80": "dts",
    b"#!iLBC": "ilbc",
    b"\x02dss": "dss",
    b"\x03dss": "dss",
}
#: Recordings that cannot be read, by extension and by signature.
_UNREADABLE_EXTENSIONS = {
    ".vox": "Dialogic ADPCM without a header",
    ".g729": "G.729",
    ".g723": "G.723.1",
    ".g728": "G.728",
    ".g726": "G.726 without a header",
    ".nmf": "NICE media file",
    ".aud": "NICE media file",
    ".dss": "Digital Speech Standard",
    ".ds2": "Digital Speech Standard Pro",
    ".aup": "Audacity project",
    ".aup3": "Audacity project",
    ".ape": "Monkey's Audio",
    ".shn": "Shorten",
    ".mpc": "Musepack",
    ".tak": "TAK",
    ".ra": "RealAudio",
    ".rm": "RealMedia",
    ".dts": "DTS",
    ".qcp": "QCELP",
    ".evrc": "EVRC",
    ".ilbc": "iLBC",
    ".lbc": "iLBC",
    ".silk": "SILK",
    ".msv": "Sony memory stick voice",
    ".dvf": "Sony digital voice",
    ".dcr": "court recording",
    ".cda": "track of an audio CD",
    ".adpcm": "ADPCM without a header",
}
_UNREADABLE_SIGNATURES = {
    b"\x01ds2": "Digital Speech Standard Pro",
    b"\x03ds2": "Digital Speech Standard Pro",
    b"\x07ds2": "Digital Speech Standard Pro",
    b"MAC ": "Monkey's Audio",
    b"ajkg": "Shorten",
    b"MPCK": "Musepack",
    b"MP+": "Musepack",
    b"tBaK": "TAK",
    b".RMF": "RealMedia",
    b".ra\xfd": "RealAudio",
    b"#!EVRC": "EVRC",
    b"#!SILK": "SILK",
    b"\x02#!SILK": "SILK",
}
UNREADABLE = "this format is not readable by this version"
#: Packet size of a transport stream and offset of its sync byte, in bytes: plain, with a timestamp before each packet
#: as on Blu-ray discs, and with a checksum after each packet.
_TS_PACKET_LAYOUTS, _TS_SYNC_BYTE = ((188, 0), (192, 4), (204, 0)), 0x47


def sniff(head: bytes) -> str | None:
    """Return FFmpeg's name of the format by its signature, or None; `head` is up to `SNIFFED_BYTES` first bytes."""
    if head[4:8] == b"ftyp" and head[8:12] not in _IMAGE_BRANDS:
        return "mov"
    if iff_format := _FORMS.get((head[:4], head[8:12])):
        return iff_format
    if _is_transport_stream(head):
        return "mpegts"
    return next((name for signature, name in _SIGNATURES.items() if head.startswith(signature)), None)


def _is_transport_stream(head: bytes) -> bool:
    """Whether there are four MPEG transport stream packets without errors, each with payload or adaptation field."""
    for size, sync_offset in _TS_PACKET_LAYOUTS:
        packets = [head[position : position + 4] for position in range(sync_offset, sync_offset + 4 * size, size)]
        if all(
            len(packet) == 4 and packet[0] == _TS_SYNC_BYTE and not packet[1] & 0x80 and packet[3] & 0x30
            for packet in packets
        ):
            return True
    return False


def sniff_sync_word(head: bytes) -> str | None:
    """Detect MPEG audio and AC-3 without a tag. Two bytes are weak evidence: use it only for audio file names."""
    if head[:2] == b"\x0b\x77" and len(head) > 5:
        return "eac3" if head[5] >> 3 > 10 else "ac3"
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:
        return "aac"
    layer, bit_rate, rate = head[1] >> 1 & 3, head[2] >> 4, head[2] >> 2 & 3
    return "mp3" if layer and bit_rate != 15 and rate != 3 else None


def is_recording_name(path: str) -> bool:
    """Whether the file has the extension of a recording."""
    return os.path.splitext(path)[1].lower() in AUDIO_EXTENSIONS


def unreadable_name(path: str) -> str | None:
    """Return the format, by extension, of a recording that this version cannot read; None for any other file."""
    return _UNREADABLE_EXTENSIONS.get(os.path.splitext(path)[1].lower())


def unreadable_content(head: bytes) -> str | None:
    """Return the format, by first bytes, of a recording that this version cannot read; None for any other file."""
    if head[:4] == b"RIFF" and head[8:12] == b"QLCM":
        return "QCELP"
    return next((name for signature, name in _UNREADABLE_SIGNATURES.items() if head.startswith(signature)), None)
