"""The scripts in examples, run as a user runs them, only shorter."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_a_network_of_plain_snntorch(tmp_path):
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    options = ["--epochs", "1", "--hidden", "16", "--steps", "8", "--verified", "20", "--out", str(tmp_path / "run")]
    command = [sys.executable, str(EXAMPLES / "snntorch_mnist.py"), *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("equal: every compared value of every engine") == 2
    assert done.stdout.count("held out: 360 samples") == 2
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "subtract.pt", "subtract.onnx", "zero.pt", "zero.onnx", "zero.nir",
    }  # fmt: skip
