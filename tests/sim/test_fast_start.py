"""Compiled code is kept: a second process, which may be on another day, compiles nothing."""

import os
import subprocess
import sys

import pytest

CODE = """
import numpy as np
from bitspike.sim.fast import counting, flow, kernels, loop, narrow, neurons, planes, popcounts, sources
from bitspike.sim.fast.run import FastEngine
from bitspike.sim.speed.cases import make, spikes_for

for name in ("mlp", "conv"):
    network, _ = make(name, 0.1, steps=3)
    FastEngine(network).run(spikes_for(network, 2, 0.1, seed=1))
modules = counting, flow, kernels, loop, narrow, neurons, planes, popcounts, sources
functions = [f for module in modules for f in vars(module).values() if hasattr(f, "stats")]
hits, misses = (sum(sum(getattr(f.stats, kind).values()) for f in functions) for kind in ("cache_hits", "cache_misses"))
print(hits, misses)
"""


@pytest.mark.slow
def test_a_second_process_compiles_nothing(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    found = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        found.append(tuple(map(int, done.stdout.split())))
    (_, misses), (hits_again, misses_again) = found
    assert misses > 0
    assert hits_again > 0
    assert misses_again == 0
