"""Where Triton's kernels run in tests: on a CUDA device, or in Triton's own interpreter on the processor."""

import os
from importlib.util import find_spec

import pytest
import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported

needs_triton = pytest.mark.skipif(
    find_spec("triton") is None, reason="Triton is not installed: python -m pip install 'bitspike[gpu]'"
)
needs_cuda = pytest.mark.skipif(DEVICE != "cuda", reason="torch finds no CUDA device")
