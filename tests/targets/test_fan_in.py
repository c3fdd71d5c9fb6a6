"""Sums in parts on the small chip: refused without, held with, and the same in every engine."""

import json
from dataclasses import replace
from shutil import which

import numpy as np
import pytest
from builders import chain, spikes_for
from lava_support import needs_lava
from recount import recount

from bitspike.cli import main
from bitspike.convert.passes.table import run_passes
from bitspike.convert.store import load, save
from bitspike.samples import SpikeData
from bitspike.sim.compare import first_divergence
from bitspike.sim.lowering import lower
from bitspike.sim.reference import run_reference
from bitspike.sim.verify import verify
from bitspike.targets.chips import Figure, chip
from bitspike.targets.partition import LimitError, partition


def with_limits(**limits):
    """The small chip with other figures."""
    figures = {name: Figure(value=value, source="test", grade="made up") for name, value in limits.items()}
    return replace(chip("tiny"), **figures)


#: No graded spikes, and axons for their digits.
BINARY = with_limits(payload_bits=0, input_axons=64, cores=24, synapse_bits=8192, synapse_formats=8)

#: The engine that compiles.
NEEDS_C = pytest.param("c", marks=pytest.mark.skipif(not which("gcc") and not which("clang"), reason="no C compiler"))


def wide():
    """10 neurons of 40 sources, and a read-out: the small chip has 32 input axons a core."""
    return chain((40, 10, 3), steps=8, readout="spike_count", vth=1)


def own(network, samples=6):
    return SpikeData(
        name="own", spikes=spikes_for(network, samples=samples, rate=0.6), labels=np.zeros(samples, np.int64)
    )


def test_refused_without_and_held_with():
    with pytest.raises(LimitError) as caught:
        lower(wide(), "tiny")
    [broken] = caught.value.violations
    assert str(broken) == (
        "population hidden1: one neuron: 40 input axons, limit 32 (fewer or pruned sources would help: "
        "`bitspike optimise --pass prune`, or a sum in parts: `--pass fan-in:32`)"
    )
    after = run_passes(wide(), ("fan-in:32",))
    found = lower(after, "tiny", data=own(wide()))
    assert [core.used() for core in found.partition.cores] == recount(found.partition)
    assert found.program.latency == 3
    assert found.mapped is not None


def test_a_chip_without_graded_spikes_gets_digits():
    network = chain((70, 3), steps=5, readout="spike_count", vth=1)
    with pytest.raises(LimitError, match=r"70 input axons, limit 64 .*, or a sum in parts: `--pass fan-in-binary:64`"):
        partition(network, BINARY)
    graded = run_passes(network, ("fan-in:64",))
    with pytest.raises(LimitError, match=r"population output_sum0: \d bits of payload, limit 0"):
        partition(graded, BINARY)
    after = run_passes(network, ("fan-in-binary:64",))
    found = partition(after, BINARY)
    assert [core.used() for core in found.cores] == recount(found)
    spikes = spikes_for(network, samples=10, rate=0.6)
    one, other = run_reference(network, spikes), run_reference(found.network, spikes)
    assert first_divergence(network, one, other) is None


def test_no_advice_where_two_sources_are_too_many():
    with pytest.raises(LimitError) as caught:
        partition(wide(), with_limits(input_axons=1))
    assert all("fan-in" not in v.help for v in caught.value.violations)


def test_the_number_fits_memory_too():
    """A list of one synapse takes a word of 16 bits: 48 bits hold those of three sources."""
    with pytest.raises(LimitError, match="40 input axons, limit 32") as caught:
        partition(wide(), with_limits(synapse_bits=48))
    helps = {v.resource: v.help for v in caught.value.violations if v.thing.startswith("population hidden1")}
    assert helps["bits of synaptic memory"].endswith("`--pass fan-in:3`")


@pytest.mark.parametrize("passes", [("fan-in:32",), ("fan-in-binary:32",)])
@pytest.mark.parametrize("engine", ["fast", "onnx", NEEDS_C, pytest.param("lava-models", marks=needs_lava)])
def test_every_engine_agrees(passes, engine):
    before = wide()
    after = run_passes(before, passes)
    data = own(before)
    one, other = run_reference(before, data.spikes), run_reference(after, data.spikes)
    assert first_divergence(before, one, other) is None
    assert np.array_equal(one.scores(before), other.scores(after))
    found = verify(after, data=data, engines=["reference", engine])
    assert found.passed
    assert verify(lower(after, "loihi2").partition.network, data=data, engines=["reference", engine]).passed


def test_the_commands(capsys, tmp_path):
    source, target = tmp_path / "wide.safetensors", tmp_path / "parts.safetensors"
    save(wide(), source)
    np.savez(tmp_path / "own.npz", spikes=own(wide()).spikes, labels=np.zeros(6, int))
    assert main(["lower", str(source), "--chip", "tiny"]) == 2
    assert "`--pass fan-in:32`" in capsys.readouterr().err
    command = [
        "optimise",
        str(source),
        "--pass",
        "fan-in:32",
        "--out",
        str(target),
        "--data",
        str(tmp_path / "own.npz"),
    ]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["answers"]["differing"] == 0
    assert load(target) == run_passes(wide(), ("fan-in:32",))
    assert main(["lower", str(target), "--chip", "tiny"]) == 0
    assert "chain on tiny: " in capsys.readouterr().out
