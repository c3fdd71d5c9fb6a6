"""Malicious and broken HDF5 files, for each reader that opens such files: one line, soon, with bounded memory."""

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hostile_files import assert_refused, hdf5_variants, outcomes

from bitspike.convert import hdf5_probe, netx_file
from bitspike.errors import BitspikeError, FileError

sys.path.append(str(Path(__file__).parents[1] / "fuzz"))
import seeds

#: By reader: which of its valid files, a dataset in it, and a group.
BASES = {
    "nir": (0, "node/nodes/output/v_threshold", "node/nodes"),
    "nir-foreign": (0, "node/nodes/fc/weight", "node/nodes"),
    "netx": (0, "layer/1/weight", "layer/1"),
    "lavadl": (0, "layer/1/weight", "layer/1"),
}


def base(reader):
    number, dataset, group = BASES[reader]
    data = seeds.reader(reader).files()[number]
    with h5py.File.in_memory(data) as file:
        if dataset not in file:
            dataset = next(name for name in _names(file) if name.endswith("/weight"))
    return data, dataset, group


def _names(file):
    found = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return found


@pytest.mark.parametrize("reader", BASES)
def test_each_file_is_refused_in_one_line(reader, tmp_path):
    data, dataset, group = base(reader)
    variants = hdf5_variants(data, dataset, group, tmp_path / reader, ".h5")
    found = outcomes([(reader, path) for path in variants.values()], tmp_path, seconds=200)
    assert len(found) == len(variants) + 1 > 35
    assert_refused(found, megabytes=600)
    said = {name.removesuffix(".h5"): outcome.get("said", "") for name, outcome in found.items()}
    assert "virtual, external or packed with an unknown filter" in said["external_storage"]
    assert "is an external link" in said["external_link"]
    for bomb in ("huge", "huge_contiguous", "bomb"):
        assert "claims more data than a file of this size can hold" in said[bomb]
    assert "has chunks of (268435456,)" in said["chunk_larger_than_all"]


def endless(folder):
    """A file whose heap has an object without a size: HDF5 never comes back from it."""
    good = seeds.reader("nir-foreign").files()[0]
    place = good.find(b"GCOL")
    assert place > 0
    path = folder / "a.nir"
    path.write_bytes(good[: place + 16] + bytes(16) + good[place + 32 :])
    return path


def test_a_helper_whose_asker_was_killed_ends_by_itself(tmp_path):
    command = [sys.executable, "-P", "-m", "bitspike.convert.hdf5_probe"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as helper:
        assert helper.stdout.readline() == b"ready\n"
        helper.stdin.write(json.dumps([str(endless(tmp_path)), 9, 1.0, 1e3]).encode() + b"\n")
        helper.stdin.flush()
        assert helper.wait(timeout=60) == -signal.SIGALRM


def test_a_library_that_hangs_or_falls_over_is_contained(tmp_path, monkeypatch):
    """The helper is ended, the file refused, and the next file read by a new helper."""
    monkeypatch.setattr(hdf5_probe, "SECONDS", 3.0)
    monkeypatch.setattr(hdf5_probe, "CPU_SECONDS", 1e3)
    good = seeds.reader("nir-foreign").files()[0]
    path = endless(tmp_path)
    probe = hdf5_probe.Probe()
    try:
        with pytest.raises(BitspikeError, match=r"^HDF5 does not come to an end with it within 3 s$"):
            probe.look(path, 9)
        path.write_bytes(good)
        probe.look(path, 9)
        probe._process.kill()
        probe.look(path, 9)
    finally:
        probe.stop()


def test_an_endless_file_is_refused_after_half_a_second_of_processor_time(tmp_path):
    path = endless(tmp_path)
    probe = hdf5_probe.Probe()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        with pytest.raises(BitspikeError, match=r"does not come to an end with it within 0\.6 s of processor time$"):
            probe.look(path, 9)
    finally:
        probe.stop()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime < 5  # the start of the helper, with its imports, is in it


def test_a_dataset_that_fails_hides_none_that_is_endless(tmp_path):
    path = tmp_path / "a.nir"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=np.arange(1000), chunks=(1000,), compression="gzip")
        place = file["a"].id.get_chunk_info(0).byte_offset
        file["b"] = "a text in a heap"
    written = bytearray(path.read_bytes())
    written[place : place + 8] = bytes(8)
    heap = written.find(b"GCOL")
    assert heap > 0
    written[heap + 16 : heap + 32] = bytes(16)
    path.write_bytes(written)
    with h5py.File(path) as file, pytest.raises(OSError, match="filter"):
        file["a"][()]
    probe = hdf5_probe.Probe()
    try:
        with pytest.raises(BitspikeError, match="does not come to an end"):
            probe.look(path, 9)
    finally:
        probe.stop()


def test_a_helper_that_ends_is_told(tmp_path, monkeypatch):
    path = tmp_path / "a.nir"
    path.write_bytes(b"x")
    probe = hdf5_probe.Probe()
    monkeypatch.setattr(hdf5_probe, "_asked", lambda process, question, seconds: b"" if question else b"ready")
    try:
        with pytest.raises(BitspikeError, match=r"^HDF5 itself breaks down on it$"):
            probe.look(path, 9)
        assert probe._process is None
    finally:
        probe.stop()


def test_where_no_process_can_be_started_files_are_read_without(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError("no")

    probe = hdf5_probe.Probe()
    monkeypatch.setattr(hdf5_probe.subprocess, "Popen", refuse)
    path = tmp_path / "a.nir"
    path.write_bytes(b"x")
    probe.look(path, 9)


def test_control_characters_never_reach_the_terminal(tmp_path, capfd):
    from bitspike.cli import main

    path = tmp_path / "a.net"
    with h5py.File(path, "w") as file:
        file["layer/0/\x1b[2J\u202e\x07"] = np.zeros(2)
        file["layer/0/type"] = b"dense"
        file["layer/0/shape"] = np.array([2])
        file["layer/0/weight"] = np.ones((2, 2))
    with pytest.raises(FileError) as caught:
        netx_file.read(path, steps=2)
    assert str(caught.value).isprintable()
    assert main(["import", str(path), "--steps", "2", "--out", str(tmp_path / "b.safetensors")]) == 2
    shown = capfd.readouterr().err
    assert shown.endswith("\n")
    assert shown[:-1].isprintable()
    assert "\\x1b[2J\\u202e\\x07" in shown
