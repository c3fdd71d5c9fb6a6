"""The side-by-side timing of engines: what it says of itself, and that its networks are as active as asked."""

import json

import numpy as np
import pytest

from bitspike.cli import main
from bitspike.errors import EngineError, UsageError
from bitspike.sim.speed import bench, cases, sides
from bitspike.sim.speed.bench import bench_sim


@pytest.fixture(scope="module")
def result():
    return bench_sim(activities=[0.1], batches=[1, 4], engines=["reference"], runs=2, steps=2)


def test_every_combination_has_our_engine_those_asked_for_and_the_bound(result):
    found = [(c.network, c.batch, c.engine) for c in result.cases]
    names = ["784-1024-1024-10", "conv 4x17x17"]
    assert found == [(n, b, e) for n in names for b in (1, 4) for e in ("fast", "reference", "bound")]
    for c in result.cases:
        assert c.samples_per_second > 0
        assert len(c.seconds) == (1 if c.engine == "bound" else 2)
        assert c.ratio == 1 or c.engine != "fast"


def test_ratio_is_ours_over_theirs(result):
    by_engine = {c.engine: c for c in result.cases if c.batch == 4 and c.network.startswith("784")}
    for c in by_engine.values():
        assert c.ratio == pytest.approx(by_engine["fast"].samples_per_second / c.samples_per_second)


def test_json_and_text(result):
    values = json.loads(json.dumps(result.as_json()))
    assert {"engine", "network", "activity", "batch", "samples_per_second", "ratio"} <= set(values["cases"][0])
    assert "fast over it" in str(result)
    assert "words of 64 bits ANDed and counted a second" in str(result)


@pytest.mark.parametrize("name", cases.NETWORKS)
def test_layers_are_about_as_active_as_the_input(name):
    network, measured = cases.make(name, 0.1, steps=10)
    assert 0.05 < measured < 0.2
    spikes = cases.spikes_for(network, 3, 0.1, seed=1)
    assert spikes.shape == (3, 10, network.input_size)
    assert np.array_equal(spikes, cases.spikes_for(network, 3, 0.1, seed=1))


def test_words_of_a_step():
    assert cases.words(cases.make("mlp", 0.3, steps=2)[0]) == 1024 * 13 + 1024 * 16 + 10 * 16
    conv = 32 * 7 * 7 * 2 + 64 * 5 * 5 * 5 + 256 * 25 + 10 * 4
    assert cases.words(cases.make("conv", 0.3, steps=2)[0]) == conv


@pytest.mark.parametrize(
    "name",
    [
        "onnx",
        "snntorch",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("norse", "spikingjelly", "lava")),
    ],
)
def test_every_side_runs(name):
    if name not in sides.available():
        pytest.skip(f"{name} is not installed")
    found = bench_sim(networks=["mlp"], activities=[0.05], batches=[2], engines=[name], runs=1, steps=2)
    assert [c.engine for c in found.cases] == ["fast", name, "bound"]


def test_a_side_that_fails_is_told(monkeypatch):
    side = sides._framework("nonsense")
    network, _ = cases.make("mlp", 0.3, steps=2)
    with pytest.raises(EngineError, match="nonsense: KeyError: 'nonsense'"):
        side(network, np.zeros((1, 2, 784), np.uint8)).__enter__()
    monkeypatch.setattr(sides, "run_reference", lambda network, few: sides.FastEngine(network).run(1 - few))
    with pytest.raises(EngineError, match="other scores than the reference; nothing was timed"):
        bench_sim(networks=["mlp"], activities=[0.3], batches=[1], engines=["fast"], runs=1, steps=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"networks": ["big"]}, "network 'big'; expected one of mlp, conv"),
        ({"activities": [0]}, "activity 0; expected more than 0 and less than 1"),
        ({"engines": ["gpu"]}, "engine 'gpu'; expected one of fast, reference"),
        ({"runs": 0}, "runs 0, batches"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(UsageError, match=message):
        bench_sim(**{"engines": ["fast"], "steps": 2, "batches": [1], **options})


def test_the_command(capsys):
    arguments = ["bench", "sim", "--networks", "mlp", "--activities", "5", "--batches", "2", "--runs", "1"]
    assert main([*arguments, "--steps", "4", "--engines", "fast", "--json"]) == 0
    assert [c["engine"] for c in json.loads(capsys.readouterr().out)["cases"]] == ["fast", bench.BOUND]
    assert main(["bench", "sim", "--batches", "one"]) == 2
    assert "--batches 'one'; expected numbers with commas" in capsys.readouterr().err
