"""Spikes in SHD's layout that need no file: smooth random manifolds (Zenke and Vogels 2021)."""

import numpy as np

from .events import Events
from .split import Split, check_split

SOURCE = "smooth random manifolds (generated)"
DURATION_MS = 1000
HARMONICS = np.arange(1, 11)
SMOOTHNESS = 2.0  # amplitudes fall as harmonic^-SMOOTHNESS
# Speakers as SHD splits them, so that a training without some of them can be tried.
SPEAKERS = {"train": (0, 1, 2, 3, 6, 7, 8, 9, 10, 11), "test": (4, 5)}


def manifolds(split: Split, classes: int = 20, channels: int = 700, n: int = 400, seed: int = 0) -> Events:
    """``n`` recordings with one spike in each channel; what tells the classes apart is the timing alone.

    A class is a random closed curve in the space of all spike times: channel i spikes at
    t_i(x) = sum_k a_ik sin(2 pi (k x + b_ik)), a_ik ~ U(0, 1) / k^2, b_ik ~ U(0, 1), scaled to 0 to 1000 ms over x.
    A recording is a point x ~ U(0, 1) of its class's curve. Both splits draw from the curves of ``seed``. Labels take
    turns; speakers are drawn at random and mean nothing.

    Raises:
        ValueError: an unknown split, or no class, channel or recording.
    """
    check_split(split)
    if min(classes, channels, n) < 1:
        raise ValueError(f"at least one class, channel and recording are needed, not {classes}, {channels} and {n}")
    curves = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    shape = (classes, channels, len(HARMONICS))
    amplitudes = curves.random(shape, np.float32) / HARMONICS.astype(np.float32) ** SMOOTHNESS
    phases = curves.random(shape, np.float32)
    grid = np.linspace(0, 1, 256, endpoint=False)

    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1 + list(SPEAKERS).index(split),)))
    labels, points = np.arange(n) % classes, rng.random(n)
    times = np.empty((n, channels), np.float32)
    for label in range(classes):
        # By the sum of angles: sines and cosines of k x once for each class, not for each channel.
        a, b = amplitudes[label], 2 * np.pi * phases[label]
        waves = [np.outer(x, 2 * np.pi * HARMONICS) for x in (grid, points[labels == label])]
        everywhere, here = (np.sin(w) @ (a * np.cos(b)).T + np.cos(w) @ (a * np.sin(b)).T for w in waves)
        low, high = everywhere.min(0), everywhere.max(0)
        # The grid misses the extremes by a little.
        times[labels == label] = DURATION_MS * np.clip((here - low) / (high - low), 0, 1)
    return Events(
        offsets=np.arange(n + 1, dtype=np.int64) * channels,
        times=times.ravel(),
        units=np.tile(np.arange(channels, dtype=np.uint16), n),
        labels=labels,
        speakers=rng.choice(SPEAKERS[split], n),
        channels=channels,
        classes=classes,
        source=SOURCE,
    )
