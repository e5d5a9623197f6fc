"""The notebook approach: a typical script for a network that was trained on clips and now gets a folder of calls.

pydub reads a whole recording and mixes it to one channel. librosa computes the usual 162 features of every 2.5 seconds.
Keras' `predict` is called for one segment after the other. The network's weights are random, because only its cost
matters.

    python -m benchmarks.notebook FOLDER OUTPUT [--limit SECONDS]
"""

import argparse
import csv
import os
from pathlib import Path
from typing import Any

import numpy as np

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
RATE = 22_050
SEGMENT_S = 2.5
FEATURES = 162


def features(samples: np.ndarray) -> np.ndarray:
    """Compute zero crossings, chroma, 20 MFCC, level and 128 mel bands, averaged over time; shaped (162,)."""
    import librosa

    magnitudes = np.abs(librosa.stft(samples))
    parts = (
        librosa.feature.zero_crossing_rate(y=samples),
        librosa.feature.chroma_stft(S=magnitudes, sr=RATE),
        librosa.feature.mfcc(y=samples, sr=RATE, n_mfcc=20),
        librosa.feature.rms(y=samples),
        librosa.feature.melspectrogram(y=samples, sr=RATE),
    )
    return np.concatenate([part.mean(axis=1) for part in parts])


def network() -> Any:
    """Build a network of four convolutions over the features, as is usual in such notebooks."""
    import keras
    from keras import layers

    model = keras.Sequential([layers.Input((FEATURES, 1))])
    for filters in (256, 256, 128, 64):
        model.add(layers.Conv1D(filters, 5, padding="same", activation="relu"))
        model.add(layers.MaxPooling1D(5, strides=2, padding="same"))
    model.add(layers.Flatten())
    model.add(layers.Dense(32, activation="relu"))
    model.add(layers.Dropout(0.3))
    model.add(layers.Dense(len(EMOTIONS), activation="softmax"))
    return model


def analyse(path: Path, model: Any, output: Path, limit_s: float | None) -> float:
    """Write the emotions of a recording's segments; return the seconds of sound."""
    from pydub import AudioSegment

    recording = AudioSegment.from_file(path).set_channels(1).set_frame_rate(RATE)
    if limit_s:
        recording = recording[: round(limit_s * 1000)]
    step = round(SEGMENT_S * 1000)
    with open(output / f"{path.name}.csv", "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(("start", "end", "emotion", *EMOTIONS))
        for start in range(0, len(recording), step):
            samples = np.array(recording[start : start + step].get_array_of_samples(), np.float32) / 32768
            if len(samples) < 2048:
                continue
            (probabilities,) = model.predict(features(samples)[None, :, None], verbose=0)
            emotion = EMOTIONS[int(probabilities.argmax())]
            writer.writerow((start / 1000, start / 1000 + len(samples) / RATE, emotion, *map(float, probabilities)))
    return len(recording) / 1000


def main() -> None:
    """Analyse every recording of a folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.notebook")
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--limit", type=float, help="seconds of each recording that are analysed")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    options.output.mkdir(parents=True, exist_ok=True)
    model = network()
    seconds = sum(analyse(path, model, options.output, options.limit) for path in sorted(options.folder.iterdir()))
    print(f"{seconds:.1f} s of sound")


if __name__ == "__main__":
    main()
