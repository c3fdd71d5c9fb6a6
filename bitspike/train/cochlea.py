"""A cochlea in whole numbers: sound to the levels of 32 bands, the same bits on every machine.

1. A frame is 256 samples (32 ms) under a Hann window, one every 80 samples (10 ms); a clip is filled up with silence.
2. A discrete Fourier transform with the window and the sines rounded to 1/1024 gives real and imaginary parts, which
   are divided by 2**13, rounded down. All sums are whole numbers below 2**53, which float64 holds whatever the order of
   summation, so that a matrix product of any library gives the same bits. (An FFT was rejected: it rounds.)
3. The power of each band is the sum of squares weighted by a fourth-order gammatone filter, (1 + ((f - c) / b)**2)**-4
   with b = 1.019 ERB(c) of Glasberg and Moore 1990, rounded to 1/32; 32 centres c from 100 Hz to 3800 Hz, equally far
   apart in ERB.
4. Powers of the frames that fall into one step are averaged, rounded down.
5. A level is the logarithm of the power, 15 to an octave (0.2 dB each), below 255 at the loudest of the clip; what is
   51 dB below that is 0. So levels do not depend on how loud a speaker was recorded.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

RATE_HZ = 8000
BANDS = 32
FRAME, HOP = 256, 80
LOW_HZ, HIGH_HZ = 100.0, 3800.0
FULL = 255
PER_OCTAVE = 15
_PRECISION = 1024
_SHIFT = 2.0**-13
_WEIGHT = 32
_OCTAVES = 53

Numbers = npt.NDArray[np.float64]


def cochlea(clip: npt.NDArray[np.int16], *, frames: int, duration_us: int) -> npt.NDArray[np.uint8]:
    """Return levels 0 to 255 of a clip, shape (frames, BANDS).

    Args:
        clip: sound at 8 kHz, shape (samples,).
        frames: into which the duration is divided equally.
        duration_us: of the clip's start that is heard; a shorter clip is followed by silence.
    """
    heard = max(1, duration_us * RATE_HZ // 1_000_000)
    powers = band_powers(clip[:heard])
    count = max(1, -(-heard // HOP))
    at = np.arange(frames + 1) * count // frames
    summed = np.zeros((frames, BANDS))
    for frame in range(frames):
        part = powers[at[frame] : max(at[frame] + 1, at[frame + 1])]
        if len(part):
            summed[frame] = np.floor(part.sum(axis=0) / max(1, at[frame + 1] - at[frame]))
    logarithm = np.searchsorted(_steps_of_level(), summed, side="right")
    return np.clip(logarithm - int(logarithm.max()) + FULL, 0, FULL).astype(np.uint8) * (summed > 0)


def band_powers(clip: npt.NDArray[np.int16]) -> Numbers:
    """Return the power of each band in each frame of a clip, whole numbers, shape (frames, BANDS)."""
    count = max(1, -(-len(clip) // HOP))
    padded = np.zeros((count - 1) * HOP + FRAME)
    padded[: len(clip)] = clip
    windows = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
    real, imaginary = (np.floor(windows @ table * _SHIFT) for table in _transform())
    found: Numbers = (real**2 + imaginary**2) @ _filters()
    return found


@cache
def _transform() -> tuple[Numbers, Numbers]:
    """Cosines and sines under the window, in units of 1/1024, each of shape (FRAME, FRAME // 2 + 1)."""
    sample = np.arange(FRAME)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * sample / FRAME)
    angle = 2 * np.pi * (np.outer(sample, np.arange(FRAME // 2 + 1)) % FRAME) / FRAME
    tables = (np.rint(_PRECISION * window[:, None] * wave(angle)) for wave in (np.cos, np.sin))
    cosines, sines = tables
    return cosines, sines


@cache
def _filters() -> Numbers:
    """Weights of the bins in each band, whole numbers 0 to 32, shape (FRAME // 2 + 1, BANDS)."""
    # ERB number of a frequency, Glasberg and Moore 1990: 21.4 log10(1 + 0.00437 f).
    low, high = (21.4 * np.log10(1 + 0.00437 * hertz) for hertz in (LOW_HZ, HIGH_HZ))
    centres = (10 ** (np.linspace(low, high, BANDS) / 21.4) - 1) / 0.00437
    widths = 1.019 * 24.7 * (1 + 0.00437 * centres)
    bins = np.arange(FRAME // 2 + 1) * RATE_HZ / FRAME
    found: Numbers = np.rint(_WEIGHT * (1 + ((bins[:, None] - centres) / widths) ** 2) ** -4.0)
    return found


@cache
def _steps_of_level() -> Numbers:
    """Lowest power of each logarithmic level, 15 to an octave, from 1."""
    found: Numbers = np.ceil(2.0 ** (np.arange(_OCTAVES * PER_OCTAVE) / PER_OCTAVE))
    return found
