"""Where real data lie that tests use when they are there: ``BITSPIKE_DATA``, or ``shared/data`` beside the checkout."""

import os
from pathlib import Path

import pytest

import bitspike

DATA = Path(os.environ.get("BITSPIKE_DATA") or Path(bitspike.__file__).parents[2] / "shared" / "data")


def shared(name):
    """The path of a file or folder of the data; skips the test, saying so, where it is absent."""
    if not (DATA / name).exists():
        pytest.skip(f"{DATA / name} is not here; set BITSPIKE_DATA")
    return DATA / name
