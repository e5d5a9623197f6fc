"""Make the example calls: short invented dialogues, spoken by espeak-ng and sent down a telephone line.

    python examples/make_examples.py [FOLDER]

espeak-ng speaks each turn; pydub lays the turns, tones and music out in time and mixes them; then the line is put on
(300 to 3400 Hz, hiss) and soundfile or PyAV encodes the result. Without ffmpeg on the system pydub reads and writes
only PCM WAV, so it does not encode. The same versions of espeak-ng and of the packages give the same bytes.
"""

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import soundfile
import soxr

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pydub warns that there is no ffmpeg; nothing here needs it
    from pydub import AudioSegment

RATE = 8000
BAND_HZ = (300, 3400)
HISS_DBFS = -62.0
MP3_BITS_PER_S = 24_000


@dataclass(frozen=True)
class Voice:
    """A speaker: espeak-ng's name of the voice, pitch (0 to 99), words per minute and level in dBFS."""

    name: str
    pitch: int
    words_per_minute: int
    level: float = -24.0

    def upset(self, much: float) -> "Voice":
        """The same person, from 0 (level) to 1 (shouting): higher, faster and louder."""
        pitch = min(99, self.pitch + round(35 * much))
        return Voice(self.name, pitch, round(self.words_per_minute * (1 + 0.3 * much)), self.level + 8 * much)

    def say(self, words: str) -> AudioSegment:
        """The words as sound."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "turn.wav"
            options = ["-v", self.name, "-p", str(self.pitch), "-s", str(self.words_per_minute), "-w", str(path)]
            subprocess.run([espeak(), *options, "--", words], check=True)  # noqa: S603  # words of this file alone
            spoken = AudioSegment.from_wav(path)
        samples = np.array(spoken.get_array_of_samples(), np.float32) / 32768
        sound = segment(soxr.resample(samples, spoken.frame_rate, RATE))
        return sound.apply_gain(self.level - sound.dBFS)


class Turn(NamedTuple):
    """Something that sounds on one side of the call, `gap` seconds after the last turn; below 0 it cuts in."""

    side: str
    sound: AudioSegment
    gap: float = 0.5


def espeak() -> str:
    """Path of the program espeak-ng."""
    program = shutil.which("espeak-ng")
    if program is None:
        sys.exit("espeak-ng is not on the PATH: install the package espeak-ng (apt-get install espeak-ng)")
    return program


def segment(samples: np.ndarray) -> AudioSegment:
    """One channel of samples between -1 and 1, shaped (samples,), for pydub."""
    data = np.clip(np.round(samples * 32767), -32768, 32767).astype("<i2").tobytes()
    return AudioSegment(data, sample_width=2, frame_rate=RATE, channels=1)


def tones(seconds: float, *frequencies: float, level: float = -26.0) -> AudioSegment:
    """Steady tones together, such as the network plays; none of them is a pause."""
    time = np.arange(round(seconds * RATE)) / RATE
    sound = segment(sum((0.2 * np.sin(2 * np.pi * hz * time) for hz in frequencies), np.zeros_like(time)))
    return sound.apply_gain(level - sound.dBFS) if frequencies else sound


def ringback(rings: int) -> AudioSegment:
    """What a British caller hears while the other telephone rings: two short rings, two seconds of nothing."""
    ring = tones(0.4, 400, 450)
    return (ring + tones(0.2) + ring + tones(2.0)) * rings


def hold_music(bars: int, level: float = -28.0) -> AudioSegment:
    """Plucked chords, four to a round: a second and a half each, its notes one after the other."""
    chords = ((262, 330, 392, 523), (196, 294, 392, 494), (220, 262, 330, 440), (175, 262, 349, 440))
    music = tones(1.5 * bars + 1.5)
    time = np.arange(round(1.5 * RATE)) / RATE
    for bar in range(bars):
        for place, hz in enumerate(chords[bar % len(chords)]):
            partials = (np.sin(2 * np.pi * k * hz * time) * np.exp(-1.5 * k * time) / k for k in range(1, 7))
            pluck = segment(0.1 * sum(partials, np.zeros_like(time))).fade_in(5).fade_out(50)
            music = music.overlay(pluck, position=1500 * bar + 190 * place)
    return music.apply_gain(level - music.dBFS).fade_out(800)


def lay_out(turns: list[Turn], sides: tuple[str, ...]) -> list[AudioSegment]:
    """The call as a channel for each side, one turn after the other."""
    starts, now = [], 0.0
    for turn in turns:
        starts.append(now + turn.gap)
        now = starts[-1] + turn.sound.duration_seconds
    channels = [AudioSegment.silent(round(1000 * (now + 0.8)), RATE) for _ in sides]
    for start, turn in zip(starts, turns, strict=True):
        place = sides.index(turn.side)
        channels[place] = channels[place].overlay(turn.sound, position=round(1000 * start))
    return channels


def down_the_line(sound: AudioSegment, generator: np.random.Generator) -> AudioSegment:
    """One channel as it comes out of a telephone line: its band, and some hiss."""
    samples = np.array(sound.get_array_of_samples(), np.float64) / 32768
    samples += 10 ** (HISS_DBFS / 20) * generator.standard_normal(len(samples))
    spectrum = np.fft.rfft(samples)
    frequencies = np.fft.rfftfreq(len(samples), 1 / RATE)
    edges = np.interp(frequencies, [BAND_HZ[0] - 100, BAND_HZ[0], BAND_HZ[1], BAND_HZ[1] + 200], [0, 1, 1, 0])
    return segment(np.fft.irfft(spectrum * edges, len(samples)))


def late_delivery() -> list[Turn]:
    """A parcel does not come: the caller gets louder, faster and higher, is put on hold, and calms down."""
    caller, agent = Voice("en-gb+f2", 45, 165), Voice("en-us+m3", 40, 160)
    return [
        Turn("agent", ringback(1), 0.6),
        Turn("agent", agent.say("Good morning, Harbour Parcels, this is Daniel. How can I help you?"), 0.1),
        Turn("caller", caller.say("Hello. I am waiting for a parcel. It should have been here last Thursday.")),
        Turn("agent", agent.say("I am sorry to hear that. Could you tell me the number of the order?")),
        Turn("caller", caller.upset(0.3).say("Four seven one, nine nine two. I gave it to your colleague twice.")),
        Turn("agent", agent.say("Thank you. I can see that it left our depot on Wednesday, and then")),
        Turn("caller", caller.upset(0.8).say("You told me that a week ago! Nobody ever calls me back!"), -0.9),
        Turn("caller", caller.upset(1.0).say("It is a birthday present, and the birthday is tomorrow!"), 0.2),
        Turn("agent", agent.say("I understand. Please hold the line, I will call the depot."), 0.7),
        Turn("agent", hold_music(4), 0.8),
        Turn("agent", agent.say("Thank you for waiting. I found it. The driver brings it to you today, by six.")),
        Turn("caller", caller.upset(0.3).say("Today? You are sure about that?"), 0.9),
        Turn("agent", agent.say("Quite sure. I have his number, and I will ring you myself.")),
        Turn("caller", caller.say("All right. Thank you, Daniel. That helps."), 0.8),
        Turn("agent", agent.say("You are welcome. Goodbye.")),
    ]


def lost_card() -> list[Turn]:
    """A bank card is lost: the caller is worried, the agent even."""
    caller, agent = Voice("en-us+m7", 55, 170), Voice("en-gb+f4", 50, 155)
    return [
        Turn("agent", agent.say("Northfield Bank, card service, good evening.")),
        Turn("caller", caller.upset(0.6).say("Good evening. I think I lost my card. My wallet is gone!"), 0.4),
        Turn("agent", agent.say("Don't worry. I will block the card at once. What is your name, please?")),
        Turn("caller", caller.upset(0.4).say("Martin Weller. W, E, double L, E, R.")),
        Turn("agent", agent.say("And when did you use it last?")),
        Turn("caller", caller.upset(0.5).say("At the station, about an hour ago. Has anybody used it since?"), 0.8),
        Turn("agent", agent.say("One moment, I am looking."), 0.4),
        Turn("agent", agent.say("No. There is nothing after the station, and from now on nobody can use it."), 3.0),
        Turn("caller", caller.say("Oh, that is good. And a new one?"), 0.6),
        Turn("agent", agent.say("It will be in the post tomorrow. You will have it by Friday.")),
        Turn("caller", caller.say("Thank you very much. Good night.")),
    ]


def thank_you() -> list[Turn]:
    """A customer calls to say thank you."""
    caller, agent = Voice("en-gb-scotland+f5", 60, 170), Voice("en-gb+m1", 45, 165)
    return [
        Turn("agent", agent.say("Greenlane Heating, Thomas speaking.")),
        Turn("caller", caller.upset(0.3).say("Hello Thomas! This is Mrs Campbell. My heating works again!")),
        Turn("agent", agent.say("Mrs Campbell! I am glad to hear it. Is it warm enough upstairs?")),
        Turn("caller", caller.upset(0.4).say("Lovely and warm, even in the bedroom. I only wanted to thank you.")),
        Turn("agent", agent.upset(0.2).say("That is very kind. I will pass it on to Joanna, who did the work.")),
        Turn("caller", caller.upset(0.5).say("Oh, please do! She stayed until nine at night, and even cleaned up.")),
        Turn("agent", agent.say("She will be happy about that. Have a good weekend, Mrs Campbell.")),
        Turn("caller", caller.say("And you. Bye bye!")),
    ]


def nobody_answers() -> list[Turn]:
    """It rings, and then the line is engaged: nobody speaks."""
    engaged = (tones(0.375, 400) + tones(0.375)) * 4
    return [Turn("agent", ringback(4), 0.5), Turn("agent", engaged, 0.0)]


def write(path: Path, turns: list[Turn], sides: tuple[str, ...] = ()) -> None:
    """Put a call on the line and encode it as the name's extension says; `sides` are kept apart, else mixed."""
    generator = np.random.default_rng(20261123)
    channels = lay_out(turns, sides or ("caller", "agent"))
    if not sides:
        channels = [channels[0].overlay(channels[1])]
    call = AudioSegment.from_mono_audiosegments(*(down_the_line(channel, generator) for channel in channels))
    samples, _ = soundfile.read(io.BytesIO(call.export(io.BytesIO(), format="wav").getvalue()), dtype="int16")
    if path.suffix == ".mp3":
        write_mp3(path, samples)
    elif path.suffix == ".wav":
        soundfile.write(path, samples, RATE, subtype="ULAW")
    else:  # headerless, as Asterisk writes it
        subtype = {".gsm": "GSM610", ".ulaw": "ULAW"}[path.suffix]
        soundfile.write(path, samples, RATE, subtype=subtype, format="RAW")


def write_mp3(path: Path, samples: np.ndarray) -> None:
    """One channel of 16-bit samples, shaped (samples,), as MP3; without the encoder's version, which would differ."""
    # Without the bit reservoir each frame can be decoded alone: libmpg123 complains of others where reading pauses.
    options = {"reservoir": "0"}
    with av.open(path, "w", format="mp3", options={"fflags": "+bitexact"}) as file:
        stream = file.add_stream("libmp3lame", RATE, options, layout="mono", bit_rate=MP3_BITS_PER_S)
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="s16p", layout="mono")
        frame.sample_rate = RATE
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def main() -> None:
    """Write all example calls into a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent / "calls")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "delivery_2026-11-23T09-15-00.wav", late_delivery(), sides=("caller", "agent"))
    write(folder / "card_2026-11-23T18-40-12.mp3", lost_card())
    write(folder / "thanks_2026-11-24T11-02-37.gsm", thank_you())
    write(folder / "unanswered_2026-11-24T16-20-05.ulaw", nobody_answers())
    for path in sorted(folder.iterdir()):
        print(f"{path.stat().st_size:9,} bytes  {path.name}")  # noqa: T201


if __name__ == "__main__":
    main()
