"""The portability report: what frameworks make of our NIR files, counted spike by spike, and said in one line each."""

import json
import subprocess
from dataclasses import replace

import nir
import numpy as np
import pytest
from builders import chain, change_population

import bitspike
from bitspike.cli import main
from bitspike.convert import nir_file
from bitspike.convert.connections import Conv2d, Dense, Identity, SumPool2d
from bitspike.convert.network import Input, IntegerNetwork, Population, Readout
from bitspike.convert.rules import check
from bitspike.convert.store import save
from bitspike.convert.weights import weights_of
from bitspike.errors import FileError, MissingDependencyError, UnsupportedError, UsageError
from bitspike.samples import SpikeData
from bitspike.sim import portability as package
from bitspike.sim.portability import FLOATS, portability, worker
from bitspike.sim.portability.frameworks import FRAMEWORKS, Framework, install_framework, select

NOTHING = Framework(name="brian9", imports=("brian9",), alone=("brian9==1",), beside=("more",))


def bits(seed, *shape):
    return weights_of(np.random.default_rng(seed).choice([-1, 1], shape))


def neurons(name, *shape, **more):
    return Population(
        **{"name": name, "shape": shape, "vth": 2, "bias_mantissa": np.zeros(int(np.prod(shape)), int)} | more
    )


def network_of(shape, populations, connections):
    return check(
        IntegerNetwork(
            name="ported",
            steps=12,
            inputs=(Input(name="input", shape=shape),),
            populations=populations,
            connections=connections,
            readouts=(Readout(population=populations[-1].name, kind="spike_count"),),
        )
    )


def dense():
    network = change_population(chain((16, 20, 20, 8), dv=0, readout="spike_count"), "hidden2", dv=4096, vth=1)
    return change_population(network, "output", vth=1)


def convolutional():
    """Groups, a stride, padding, a bias a channel, a pool, a shortcut's join."""
    conv = Conv2d(
        source="input", target="conv", source_shape=(2, 9, 9), kernel=(3, 3), stride=(2, 2), padding=(1, 1),
        weights=bits(0, 4, 9), groups=2,
    )  # fmt: skip
    pool = SumPool2d(source="conv", target="pool", source_shape=(4, 5, 5), kernel=(2, 2), stride=(2, 2))
    bias = np.repeat([64, 0, -64, 32], 25)
    return network_of(
        (2, 9, 9),
        (
            neurons("conv", 4, 5, 5, dv=0, bias_mantissa=bias),
            neurons("pool", 4, 2, 2, dv=4096, vth=1),
            neurons("out", 5, dv=0),
        ),
        (conv, pool, Dense(source="pool", target="out", weights=bits(1, 5, 16))),
    )


def recurrent():
    """A population that feeds itself a step later."""
    return network_of(
        (12,),
        (neurons("hidden", 20, dv=0, vth=3), neurons("out", 5, dv=4096, vth=1)),
        (
            Dense(source="input", target="hidden", weights=bits(2, 20, 12)),
            Dense(source="hidden", target="hidden", weights=bits(3, 20, 20), delay=1),
            Dense(source="hidden", target="out", weights=bits(4, 5, 20)),
        ),
    )


def loops():
    """A loop over three populations and one over one, under names whose order is not that of a step."""
    return network_of(
        (8,),
        (neurons("z", 10, dv=0), neurons("m", 10, dv=0), neurons("a", 5, dv=0)),
        (
            Dense(source="input", target="z", weights=bits(1, 10, 8)),
            Dense(source="z", target="m", weights=bits(2, 10, 10)),
            Dense(source="m", target="m", weights=bits(5, 10, 10), delay=1),
            Dense(source="m", target="a", weights=bits(3, 5, 10)),
            Dense(source="a", target="z", weights=bits(6, 10, 5), delay=1),
        ),
    )


def leaky():
    return chain((64, 60, 60, 10), dv=300, vth=6, steps=40)


def installed(name):
    if not FRAMEWORKS[name].available:
        pytest.skip(f"{name} is not installed; add it with: {FRAMEWORKS[name].install}")


NETWORKS = {"dense": dense, "convolutional": convolutional, "recurrent": recurrent, "loops": loops}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("recurrent", "norse"),
        ("convolutional", "spikingjelly"),
        ("loops", "spikingjelly"),
        ("dense", "snntorch"),
        pytest.param("loops", "norse", marks=pytest.mark.slow),
        pytest.param("dense", "norse", marks=pytest.mark.slow),
        pytest.param("convolutional", "norse", marks=pytest.mark.slow),
        pytest.param("dense", "spikingjelly", marks=pytest.mark.slow),
        pytest.param("recurrent", "spikingjelly", marks=pytest.mark.slow),
        pytest.param("convolutional", "snntorch", marks=pytest.mark.slow),
        pytest.param("recurrent", "snntorch", marks=pytest.mark.slow),
    ],
)
def test_a_framework_runs_our_portable_file_to_the_same_spikes(kind, name):
    installed(name)
    network = NETWORKS[kind]()
    report = portability(network, samples=6, names=[name])
    found = report.reading(name)
    assert (found.outcome, found.reason, found.version) == ("ran", "", FRAMEWORKS[name].version)
    assert found.compared == 6 * network.steps * sum(p.size for p in network.populations)
    assert report.reading(FLOATS).wrong == 0
    if (kind, name) == ("recurrent", "snntorch"):  # its reader wires the loop otherwise: told, not hidden
        assert found.wrong > 0
        assert "No population of this network truncates: a difference is the reader's own." in str(report)
        return
    assert (found.differing, found.first) == (dict.fromkeys((p.name for p in network.populations), 0), None)
    assert report.passed


def test_a_leaky_network_differs_by_the_truncation_alone():
    installed("spikingjelly")
    network = leaky()
    report = portability(network, samples=4, names=["spikingjelly"])
    found, floats = report.reading("spikingjelly"), report.reading(FLOATS)
    assert found.wrong == floats.wrong > 0
    assert (found.beyond_floats, found.first == replace(floats.first)) == (0, True)
    assert not report.passed
    assert report.truncating == dict.fromkeys(("hidden1", "hidden2", "output"), "dv 300")
    assert "The lattice truncates what decays to 1/64, float readers do not: hidden1 (dv 300), " in str(report)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("norse", "LI: TypeError: Norse has no module for it and would leave it out"),
        pytest.param("spikingjelly", "LI: ValueError: Unknown node type", marks=pytest.mark.slow),
        pytest.param("snntorch", "LI: ValueError: Unknown node type", marks=pytest.mark.slow),
    ],
)
def test_a_node_that_a_framework_cannot_read_is_named(name, reason):
    installed(name)
    report = portability(leaky(), samples=1, names=[name], portable=False)
    found = report.reading(name)
    assert (found.outcome, found.node, found.compared) == ("refused", "output", 0)
    assert found.reason.startswith(reason)
    assert f"{name}: node output: {reason}" in str(report)
    assert report.passed  # a reader that says that it cannot read is no silent difference


def test_the_floats_of_the_file_are_read_without_any_framework():
    """Our own float engine shows what the truncation does, and says so."""
    report = portability(leaky(), samples=3, names=[])
    (floats,) = report.readings
    assert (floats.reader, floats.outcome, floats.version) == (FLOATS, "ran", None)
    assert floats.wrong == sum(floats.differing.values()) > 0
    network, place = leaky(), floats.first
    data = np.random.default_rng(0).random((3, 40, 64)) < 0.3
    record = bitspike.simulate(network, data=SpikeData(name="x", spikes=data, labels=np.zeros(3, int)))
    trace = record.traces[place.population].spikes
    assert int(trace[place.sample, place.step, place.neuron]) == place.expected == 1 - int(place.found)
    assert report.data == "random spikes"
    printed = str(report)
    assert f"floats: spikes that differ: hidden1 {floats.differing['hidden1']}, hidden2 " in printed
    assert f"first at {place}" in printed
    assert json.loads(json.dumps(report.as_json()))["readings"][0]["first"]["population"] == place.population


def test_a_retimed_network_is_aligned():
    """Populations answer a step later each; their windows are compared, not the same steps."""
    from bitspike.convert.retime import retime

    network = retime(chain((16, 20, 20, 8), dv=0, bias=False))
    with pytest.raises(UnsupportedError, match="a delay of 1"):
        portability(network)
    report = portability(network, portable=False, names=[])
    assert report.reading(FLOATS).equal
    assert report.reading(FLOATS).compared > 0


def test_a_framework_that_is_not_there(monkeypatch):
    monkeypatch.setitem(FRAMEWORKS, "brian9", NOTHING)
    report = portability(dense(), names=["brian9"])
    found = report.reading("brian9")
    assert (found.outcome, found.version, report.passed) == ("missing", None, True)
    assert found.reason == (
        "not installed; run: bitspike doctor --install brian9 (pip install more; pip install --no-deps brian9==1)"
    )
    assert "brian9               missing" in str(report)


REFUSES = "import pathlib, sys; pathlib.Path(sys.argv[3], 'refused.json').write_text('[\"n\", \"why\"]')"


@pytest.mark.parametrize(
    ("code", "outcome", "reason"),
    [
        ("raise SystemExit('no such thing')", "failed", "no such thing"),
        ("import time; time.sleep(60)", "failed", "longer than 0.5 s"),
        ("", "failed", "code 0"),
        (REFUSES, "refused", "why"),
    ],
)
def test_a_framework_that_fails(monkeypatch, code, outcome, reason):
    monkeypatch.setitem(FRAMEWORKS, "brian9", replace(NOTHING, imports=("json",)))
    monkeypatch.setattr(package, "WORKER", ("-c", code))
    report = portability(dense(), names=["brian9"], time_limit_s=0.5 if "sleep" in code else 60)
    found = report.reading("brian9")
    assert (found.outcome, found.reason) == (outcome, reason)
    assert report.passed == (outcome == "refused")


def test_a_framework_that_sends_other_spikes(monkeypatch):
    """Every spike that differs is counted, and the first is found."""
    monkeypatch.setitem(FRAMEWORKS, "brian9", replace(NOTHING, imports=("json",), fixed_dt=1.0))
    network = dense()
    nothing = (
        "import json, numpy as np, pathlib, sys; f = pathlib.Path(sys.argv[3]); s = np.load(f / 'spikes.npy').shape; "
        "sizes = {'hidden1': 20, 'hidden2': 20, 'output': 8}; "
        "np.savez(f / 'out.npz', **{n: np.full((s[0], s[1], sizes[n]), n == 'output', 'f4') "
        "for n in json.loads((f / 'names.json').read_text())})"
    )
    monkeypatch.setattr(package, "WORKER", ("-c", nothing))
    data = SpikeData(name="ones", spikes=np.ones((2, 12, 16), np.uint8), labels=np.zeros(2, np.int64))
    record = bitspike.simulate(network, data=data)
    found = portability(network, data=data, names=["brian9"]).reading("brian9")
    traces = {name: trace.spikes for name, trace in record.traces.items()}
    expected = {name: int((spikes != (name == "output")).sum()) for name, spikes in traces.items()}
    assert found.differing == expected
    assert found.beyond_floats == sum(expected.values())
    assert found.reason == "takes every file for a step of 1 s; this one has 0.0001 s"
    places = [
        (*map(int, place), rank)
        for rank, (name, spikes) in enumerate(traces.items())
        for place in np.argwhere(spikes != (name == "output"))
    ]
    sample, step, neuron, rank = min(places, key=lambda place: (place[0], place[1], place[3], place[2]))
    first = found.first
    assert (first.sample, first.step, first.neuron, first.population) == (sample, step, neuron, list(traces)[rank])


def test_mistakes(tmp_path):
    with pytest.raises(UsageError, match="framework 'brian'; expected one of norse, spikingjelly, snntorch"):
        portability(dense(), names=["brian"])
    with pytest.raises(UsageError, match="samples 0; expected 1 or more"):
        portability(dense(), samples=0)
    with pytest.raises(FileError, match=r"none\.nir: no such file"):
        portability(tmp_path / "none.nir")
    assert select() == tuple(FRAMEWORKS.values())


def test_installing(monkeypatch):
    ran = []

    def run(command, **options):
        ran.append(command[1:])
        return subprocess.CompletedProcess(command, 0 if len(ran) < 3 else 1, "", "one\ntwo\n")

    monkeypatch.setitem(FRAMEWORKS, "brian9", NOTHING)
    assert list(install_framework("brian9", run)) == ["Installed more.", "Installed brian9==1."]
    assert ran == [
        ["-m", "pip", "install", "--quiet", "more"],
        ["-m", "pip", "install", "--quiet", "--no-deps", "brian9==1"],
    ]
    with pytest.raises(MissingDependencyError, match="pip install more: two"):
        list(install_framework("brian9", run))
    monkeypatch.setitem(FRAMEWORKS, "brian9", replace(NOTHING, imports=("json",)))
    assert list(install_framework("brian9", run)) == ["brian9 is installed already."]


def test_a_join_that_norse_computes_too_early(tmp_path):
    """Its executor walks depth first; a shortcut that is an edge alone is on the way, one with weights is not."""
    shapes = {"weights": bits(3, 10, 10)}
    skip = network_of(
        (10,),
        (neurons("a", 10, dv=0), neurons("b", 10, dv=0), neurons("c", 10, dv=0, vth=3)),
        (
            Dense(source="input", target="a", **shapes),
            Dense(source="a", target="b", **shapes),
            Dense(source="b", target="c", **shapes),
            Dense(source="a", target="c", weights=bits(4, 10, 10)),
        ),
    )
    plain = replace(skip, connections=(*skip.connections[:3], Identity(source="a", target="c", size=10)))
    loop = replace(plain, connections=(*plain.connections, Dense(source="c", target="c", delay=1, **shapes)))
    found = []
    for network in (skip, plain, loop):
        nir_file.write(network, tmp_path / "a.nir", portable=True)
        found.append(worker._early(nir.read(tmp_path / "a.nir")))
    assert found == [("c", "Norse computes it before its input a_to_c, which so arrives a step late"), None, None]


def test_two_outputs_are_refused_before_nirtorch_loops_for_ever(tmp_path):
    network = dense()
    more = replace(network, readouts=(*network.readouts, Readout(population="hidden2", kind="spike_count", answer="b")))
    nir_file.write(more, tmp_path / "a.nir")
    with pytest.raises(worker._RefusedError) as caught:
        worker._imported(None, nir.read(tmp_path / "a.nir"))
    # The second in the order of a step, which the file keeps.
    assert caught.value.args == ("output_hidden2", "nirtorch takes one Output node; the file has 2")


def test_the_command(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(package, "select", lambda names: ())
    save(chain((64, 12, 10), dv=0, steps=16), tmp_path / "net.safetensors")
    export = ["export", str(tmp_path / "net.safetensors"), "--out", str(tmp_path / "a.nir"), "--portable", "--check"]
    assert main([*export, "--data", "digits", "--samples", "3", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["check"]["form"], said["check"]["samples"], said["check"]["passed"]) == ("portable", 3, True)
    assert said["check"]["data"].startswith("digits")
    assert main(export) == 0
    assert "portable NIR of chain on random spikes, 20 samples of 16 steps" in capsys.readouterr().out


def test_the_same_from_python(tmp_path):
    network = chain((64, 12, 10), dv=0, steps=16)
    report = bitspike.portability(network, data="digits", samples=2, names=[])
    assert (report.samples, report.reading(FLOATS).equal) == (2, True)
    nir_file.write(network, tmp_path / "a.nir")
    assert bitspike.portability(tmp_path / "a.nir", data="digits", samples=2, names=[]).form == "exact"
