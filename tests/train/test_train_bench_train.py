"""The bench of training: its keys, its alternation, its refusals, and that both sides train; no time is asserted."""

import json
import math
import sys

import pytest
import torch

from bitspike.cli import main
from bitspike.errors import EngineError, MissingDependencyError, UsageError
from bitspike.train import bench_sides, bench_train, dynamics
from bitspike.train.bench_sides import BATCH, MNIST_RATE, SIDES, SIZES, STEPS, UPDATES, Side, synthetic
from bitspike.train.bench_train import TrainBench
from bitspike.train.bench_train import bench_train as measure
from bitspike.train.estimators import IWST
from bitspike.train.gumbel import GumbelRao
from bitspike.train.layers import dense
from bitspike.train.registers import Neuron

KEYS = {
    "ratio", "ratio_posterior", "ratio_bfloat16", "seconds", "seconds_are", "products_seconds", "peak_mib", "rates",
    "runs", "batches", "threads", "precision", "device",
    "network", "steps", "batch", "update_seconds",
}  # fmt: skip


@pytest.fixture
def small(monkeypatch):
    """Small layers, and no processes that measure memory."""
    pytest.importorskip("snntorch")
    for module in (bench_sides, bench_train):
        monkeypatch.setattr(module, "SIZES", (200, 100, 100, 10))
    monkeypatch.setattr(bench_train, "_peak_in_child", lambda name, threads, precision: 1.0)


def idle(step):
    """A side that makes steps of the test's own, and whose neurons fire every tenth time."""
    return Side(step=step, rates=lambda _spikes: [0.1, 0.1])


def test_the_command_prints_finite_positive_numbers(capsys):
    pytest.importorskip("snntorch")
    assert main(["bench", "train", "--quick", "--json", "--precision", "float32"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == KEYS
    for name in SIDES:
        assert len(found["update_seconds"][name]) == found["runs"] == 2
        values = [found["seconds"][name], *found["update_seconds"][name]]
        if sys.platform == "linux":
            values.append(found["peak_mib"][name])
        assert all(math.isfinite(value) and value > 0 for value in values)
        assert len(found["rates"][name]) == 2
        assert all(0 <= rate <= 1 for rate in found["rates"][name])
    assert found["ratio"] == pytest.approx(found["seconds"]["snntorch"] / found["seconds"]["bitspike"])
    assert found["products_seconds"] > 0
    assert (found["network"], found["steps"], found["batch"]) == ([784, 512, 512, 10], 25, 128)
    assert (found["batches"], found["threads"], found["precision"]) == (1, 1, "float32")
    assert found["seconds_are"] == "an epoch of 60000 samples, extrapolated from 1 of 469 updates a run"


def test_runs_alternate_after_one_update_of_each(small, monkeypatch):
    done = []
    for name in SIDES:
        monkeypatch.setitem(SIDES, name, lambda *_, name=name: idle(lambda _spikes, _labels: done.append(name)))
    told = []
    found = measure(runs=3, batches=2, notify=lambda *parts: told.append(parts))
    assert list(SIDES) == ["bitspike", "bitspike_posterior", "snntorch", "snntorch_bfloat16"]
    assert done == list(SIDES) + [name for name in SIDES for _ in range(2)] * 3
    assert told == [(name, run, 3) for run in range(3) for name in SIDES]
    assert (found.runs, found.batches) == (3, 2)


def test_medians_are_extrapolated_to_an_epoch():
    bench = TrainBench(
        measured=dict(zip(SIDES, ((1.0, 9.0, 2.0), (5.0, 3.0, 6.0), (4.0, 3.0, 8.0), (3.0, 3.0, 3.0)), strict=True)),
        products_alone=(0.5, 0.25, 0.75),
        rates=dict.fromkeys(SIDES, (0.125, 0.02)),
        peak_mib=dict(zip(SIDES, (10.0, 11.0, None, 1.0), strict=True)),
        batches=4,
        threads=1,
        precision="float32",
    )
    assert math.ceil(60_000 / 128) == UPDATES
    assert bench.seconds == {name: n * UPDATES for name, n in zip(SIDES, (2.0, 5.0, 4.0, 3.0), strict=True)}
    assert (bench.ratio, bench.ratio_posterior, bench.ratio_bfloat16) == (2.0, 0.8, 1.5)
    assert bench.products_seconds == 0.5 * UPDATES
    text = str(bench)
    assert "one epoch of 60 000 samples, extrapolated" in text
    assert "medians of 3 alternating runs of 4 batches, 1 threads" in text
    assert "ratio 2.00: snnTorch's time over bitspike's; 0.80 with posterior noise; 1.50 where snnTorch's" in text
    assert "12.5, 2.0" in text
    assert "…" not in text


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", list(SIDES))
def test_all_sides_learn_a_batch(small, name, precision, monkeypatch):
    """The loss of one batch, seen again and again, falls: an update is a whole one."""
    losses = []
    cross_entropy = torch.nn.functional.cross_entropy

    def noted(logits, labels):
        loss = cross_entropy(logits, labels)
        losses.append(float(loss.detach()))
        return loss

    monkeypatch.setattr(bench_sides.functional, "cross_entropy", noted)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        side = SIDES[name](precision, torch.device("cpu"))
        spikes, labels = synthetic(1)[0]
        for _ in range(30):
            side.step(spikes, labels)
    assert sum(losses[-5:]) < 0.98 * sum(losses[:5])


def test_spikes_have_mnists_mean_rate():
    (spikes, labels), again = synthetic(2)[0], synthetic(1)[0]
    assert spikes.shape == (STEPS, BATCH, SIZES[0])
    assert set(spikes.unique().tolist()) == {0.0, 1.0}
    assert float(spikes.mean()) == pytest.approx(MNIST_RATE, abs=0.001)
    assert 0 <= int(labels.min()) < int(labels.max()) <= 9
    assert torch.equal(spikes, again[0])


@pytest.mark.parametrize("name", list(SIDES))
def test_rates_are_the_means_of_the_bits(small, name):
    """Spikes come from what comes in: there are fewer without."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        side = SIDES[name]("float32", torch.device("cpu"))
    spikes, labels = synthetic(1)[0]
    for _ in range(20):
        side.step(spikes, labels)
    rates = side.rates(spikes)
    assert len(rates) == 2
    assert all(0 <= rate <= 1 for rate in rates)
    assert rates[0] > 0
    assert side.rates(torch.zeros_like(spikes))[0] < rates[0]


def test_threads_are_set_for_all_and_put_back(small, monkeypatch):
    seen = []
    for name in SIDES:
        monkeypatch.setitem(SIDES, name, lambda *_: idle(lambda _spikes, _labels: seen.append(torch.get_num_threads())))
    before = torch.get_num_threads()
    measure(runs=1, batches=1, threads=2)
    assert seen == [2] * 8
    assert torch.get_num_threads() == before


def test_each_side_has_its_own_products(small, monkeypatch):
    """Ours multiplies bfloat16; snnTorch's float32 products are rounded or not; nothing is left behind."""
    seen = []
    for module, name in ((torch.nn.functional, "linear"), (dense, "dense_moments")):
        product = getattr(module, name)

        def noted(*arguments, product=product):
            seen.append((arguments[0].dtype, torch.get_float32_matmul_precision()))
            return product(*arguments)

        monkeypatch.setattr(module, name, noted)
    before = torch.get_float32_matmul_precision()
    spikes, labels = synthetic(1)[0]
    found = {}
    for name, make in SIDES.items():
        seen.clear()
        make("bfloat16", torch.device("cpu")).step(spikes, labels)
        found[name] = seen[0]
    assert found == {
        "bitspike": (torch.bfloat16, "highest"),
        "bitspike_posterior": (torch.bfloat16, "highest"),
        "snntorch": (torch.float32, "highest"),
        "snntorch_bfloat16": (torch.float32, "medium"),
    }
    assert torch.get_float32_matmul_precision() == before


@pytest.mark.parametrize("name", ["runs", "batches", "threads"])
def test_impossible_numbers_are_refused(name, capsys):
    with pytest.raises(UsageError, match=f"^{name}: found 0; expected 1 or more$"):
        measure(**{name: 0})
    assert main(["bench", "train", f"--{name}", "0"]) == 2
    assert f"{name}: found 0; expected 1 or more" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_one_line_says_so(capsys):
    assert main(["bench", "train", "--quick", "--accelerator", "gpu"]) == 2
    assert "accelerator: found 'gpu'; expected cpu: torch sees no CUDA device here" in capsys.readouterr().err


def test_without_snntorch_one_line_names_what_installs_it(monkeypatch, capsys):
    for name in ("snntorch", "snntorch.surrogate"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match=r"is not installed; run: .*'bitspike\[snntorch\]'$"):
        measure(runs=1)
    assert main(["bench", "train", "--quick"]) == 2
    assert "bitspike[snntorch]" in capsys.readouterr().err


def test_a_process_that_fails_is_told_in_one_line():
    with pytest.raises(EngineError, match=r"^memory of nobody was not measured: KeyError: 'nobody'$"):
        bench_train._peak_in_child("nobody", 1, "float32")


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("du", [4096, 1000])
@pytest.mark.parametrize("estimator", [IWST(), GumbelRao(temperature=1.0)], ids=str)
def test_the_time_loop_gives_the_same_in_blocks_of_any_size(monkeypatch, reset, du, estimator):
    """What the backward pass handles together is a question of speed: 7 steps in blocks of 7, 3 and 1.

    Not always the same last bit: torch computes the odd numbers at a tensor's end in another way than its vectors.
    """
    generator = torch.Generator().manual_seed(3)
    drive, noise, weights = (torch.randn(7, 5, 24, generator=generator, dtype=torch.float64) * 3 for _ in range(3))
    results = []
    for block in (1 << 16, 3 * 5 * 24, 1):
        monkeypatch.setattr(dynamics, "_BLOCK", block)
        leaves = [one.clone().requires_grad_() for one in (drive, drive.square(), drive[0, 0])]
        before = [one.detach().clone() for one in (*leaves, noise)]
        neuron = Neuron(du=du, dv=500, vth=2, reset=reset)
        bits, ratio = dynamics.noisy_population(*leaves, noise, neuron=neuron, estimator=estimator, floor=0.5)
        loss = (weights * bits).sum() + 0.1 * ratio.square().sum()
        results.append([bits, ratio, *torch.autograd.grad(loss, leaves)])
        assert all(torch.equal(one, other) for one, other in zip((*leaves, noise), before, strict=True))
    assert 0 < float(results[0][0].detach().mean()) < 1
    for others in results[1:]:
        assert torch.equal(results[0][0], others[0])
        for one, other in zip(results[0], others, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)
