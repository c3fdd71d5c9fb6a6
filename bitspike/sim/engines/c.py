"""The generated C, compiled here and run: an engine that shares no code with the others."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import IntegerNetwork
from bitspike.errors import EngineError, MissingDependencyError
from bitspike.sim.record import Raw, Record, aligned, run_length
from bitspike.targets.c.source import Source, generate

FLAGS = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic")
NAME = "network"
_HEAD = """#include <stdio.h>
#include "network.h"

static network_state state;

static void put(const int32_t *values, int32_t count)
{
    fwrite(values, sizeof *values, (size_t)count, stdout);
}
"""
_BITS = """
static void put_bits(const uint64_t *words, int32_t count)
{
    for (int32_t n = 0; n < count; n++) {
        const int32_t one = (int32_t)(words[n >> 6] >> (n & 63) & 1);
        put(&one, 1);
    }
}
"""
_MAIN = """
int main(int argc, char **argv)
{
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    uint64_t input[NETWORK_WORDS];
    if (!file) return 2;
    for (int32_t t = 0; fread(input, sizeof input, 1, file) == 1; t++) {
        if (t % %d == 0) network_reset(&state);
        network_step(&state, input);
"""


def run(
    network: IntegerNetwork,
    spikes: npt.NDArray[np.uint8],
    *,
    compiler: str | None = None,
    flags: Sequence[str] = FLAGS,
    time_limit_s: float = 300.0,
) -> Record:
    """Compile `network` and run it on `spikes`, 0 or 1, shape (samples, steps, neurons).

    Args:
        network: a network with one answer.
        spikes: input.
        compiler: a C compiler; that of the environment variable ``CC``, or ``cc``, ``gcc`` or ``clang``.
        flags: its options.
        time_limit_s: for the compiler, and for the run.

    Raises:
        MissingDependencyError: no compiler.
        EngineError: one that fails, or a program that fails or takes too long.
    """
    found = compiler or find_compiler()
    if found is None or shutil.which(found) is None:
        raise MissingDependencyError("engine c needs a C compiler: install gcc or clang, or name one in CC")
    made = generate(network, NAME)
    length = run_length(network, spikes.shape[1])
    with tempfile.TemporaryDirectory(prefix="bitspike-c-") as name:
        folder = Path(name)
        (folder / "network.h").write_text(made.header, encoding="utf-8")
        (folder / "network.c").write_text(made.source, encoding="utf-8")
        (folder / "main.c").write_text(_harness(network, made, length), encoding="utf-8")
        _packed(spikes, length).tofile(folder / "input.bin")
        _call([found, *flags, "network.c", "main.c", "-o", "run"], folder, time_limit_s)
        output = _call([str(folder / "run"), "input.bin"], folder, time_limit_s)
    return _record(network, spikes, length, np.frombuffer(output, np.int32))


def find_compiler() -> str | None:
    """The C compiler that would be used; None where there is none."""
    named = os.environ.get("CC")
    return next((one for one in (named, "cc", "gcc", "clang") if one and shutil.which(one)), None)


def _harness(network: IntegerNetwork, made: Source, length: int) -> str:
    """Return a program that prints spikes, currents and membranes of all populations after each step."""
    lines = []
    for p in network.populations:
        row = f"state.{p.name}_fired[(state.step - 1) % {made.rows[p.name]}]"
        lines.append(f"        {'put' if p.graded else 'put_bits'}({row}, {p.size});")
        lines += [f"        put(state.{p.name}_{key}, {p.size});" for key in ("u", "v")]
    bits = _BITS if any(not p.graded for p in network.populations) else ""
    end = "    }\n    return fclose(file) || fflush(stdout);\n}\n"
    return _HEAD + bits + _MAIN.replace("%d", str(length)) + "\n".join(lines) + "\n" + end


def _packed(spikes: npt.NDArray[np.uint8], length: int) -> npt.NDArray[np.uint8]:
    samples, steps, neurons = spikes.shape
    padded = np.zeros((samples, length, -(-neurons // 64) * 64), np.uint8)
    padded[:, :steps, :neurons] = spikes
    return np.packbits(padded, axis=2, bitorder="little")


def _call(command: Sequence[str], folder: Path, time_limit_s: float) -> bytes:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=time_limit_s, check=False)
    except subprocess.TimeoutExpired:
        raise EngineError(f"engine c: {Path(command[0]).name} took more than {time_limit_s:g} s") from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        first = next((line for line in said if "error" in line), said[0] if said else f"exit code {done.returncode}")
        raise EngineError(f"engine c: {Path(command[0]).name} failed: {first}")
    return done.stdout


def _record(
    network: IntegerNetwork, spikes: npt.NDArray[np.uint8], length: int, output: npt.NDArray[np.int32]
) -> Record:
    width = 3 * sum(p.size for p in network.populations)
    values = output.reshape(len(spikes), length, width)
    raw: dict[str, Raw] = {}
    at = 0
    for p in network.populations:
        ends = [at + k * p.size for k in range(4)]
        fired, u, v = (values[:, :, first:last] for first, last in pairwise(ends))
        raw[p.name] = fired, u, v
        at = ends[-1]
    return aligned("c", network, spikes, raw)
