"""``digits``: the 1797 handwritten digits that come with scikit-learn, 8 x 8 pixels of 0 to 16.

They are the test part of the UCI set "Optical Recognition of Handwritten Digits" (CC BY 4.0). There is no published
split; the fixed permutation gives 1257, 180 and 360 samples. With ``rate`` a pixel of value k spikes in each step with
probability k / 16, exactly.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

from bitspike.train.dataset import DataSet, LevelSamples, Rows
from bitspike.train.encoders import Encoding


def open_digits() -> DataSet:
    """Return the digits."""
    return DataSet(kind="stills", shape=(8, 8), classes=10, sizes=(1797, 0, 0), read=_read)


def _read(rows: Rows, encoding: Encoding) -> LevelSamples:
    levels, labels = _digits()
    return LevelSamples(
        levels=levels[rows],
        full=16,
        labels=labels[rows],
        indices=rows,
        kind="stills",
        sensor=(8, 8),
        encoding=encoding,
    )


@cache
def _digits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    from sklearn.datasets import load_digits

    images = load_digits()
    return images.data.astype(np.uint8).reshape(-1, 1, 64), images.target.astype(np.int64)
