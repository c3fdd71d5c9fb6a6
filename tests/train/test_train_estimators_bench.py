"""The bench of the estimators: the enumeration against autograd path by path, and the structure of its numbers."""

import itertools
import json
import math
import re
import sys

import pytest
import torch

from bitspike.cli import main
from bitspike.cli.bench import app as bench_app
from bitspike.errors import MissingDependencyError, UsageError
from bitspike.train.bench_estimators import _short, bench_estimators, cases
from bitspike.train.bench_figure import check_matplotlib
from bitspike.train.enumeration import BitNetwork, estimated_gradient, exact_gradient, random_network
from bitspike.train.estimators import IWST, Tempered, noisy_bit
from bitspike.train.gumbel import GumbelRao
from bitspike.train.noise import Gaussian, Logistic
from bitspike.train.surrogates import Surrogate

SATURATIONS, COUPLINGS = (0.0, 1.0), (0.3, 1.0)


@pytest.fixture(scope="module")
def bench():
    return bench_estimators(quick=True)


def network(depth=3, units=6, coupling=0.5, saturation=0.7, seed=11):
    return random_network(depth=depth, units=units, coupling=coupling, saturation=saturation, seed=seed)


def paths(net, estimator, noise):
    """Probability, loss and single-sample gradient of every path of bits, by running autograd through noisy_bit."""
    scale = torch.full((net.units,), 1 / noise.deviation, dtype=torch.float64)
    strings = list(itertools.product((0.0, 1.0), repeat=net.units))
    for choice in itertools.product(strings, repeat=len(net.offsets)):
        first = net.offsets[0].clone().requires_grad_()
        z, probability = first, 1.0
        for layer, wanted in enumerate(choice):
            sign = 2 * torch.tensor(wanted, dtype=torch.float64) - 1
            probability *= float(noise.probability(sign * z.detach() / scale).prod())
            bits = noisy_bit(z, scale, sign * 1e3, estimator)
            assert tuple(bits.tolist()) == wanted
            if layer < len(net.weights):
                z = net.means(layer + 1, bits)
        loss = net.loss(bits)
        loss.backward()
        yield probability, float(loss.detach()), first.grad


@pytest.mark.parametrize(
    ("estimator", "noise"),
    [
        (IWST(), Gaussian()),
        (IWST(alpha=0.5), Gaussian()),
        (Tempered(temper=0.3), Gaussian()),
        (IWST(alpha=0.2, noise=Logistic()), Logistic()),
        (GumbelRao(temperature=1.0), Logistic()),
        (GumbelRao(temperature=0.4), Logistic()),
    ],
    ids=str,
)
def test_moments_are_those_of_autograd_over_all_paths(estimator, noise):
    net = network(depth=2, units=3)
    found = list(paths(net, estimator, noise))
    assert sum(p for p, _, _ in found) == pytest.approx(1.0, rel=1e-12)
    mean = sum(p * gradient for p, _, gradient in found)
    variance = sum(p * (gradient - mean).square() for p, _, gradient in found)
    moments = estimated_gradient(net, estimator, noise)
    torch.testing.assert_close(moments.mean, mean, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(moments.variance, variance, rtol=1e-9, atol=1e-14)


def test_exact_gradient_is_the_difference_quotient_of_the_expected_loss():
    net, noise, step = network(depth=2, units=3), Gaussian(), 1e-5
    gradient = exact_gradient(net, noise)

    def expected(offset):
        moved = BitNetwork(
            offsets=(offset, *net.offsets[1:]), weights=net.weights, quadratic=net.quadratic, linear=net.linear
        )
        return sum(p * loss for p, loss, _ in paths(moved, IWST(), noise))

    for unit in range(net.units):
        change = step * torch.eye(net.units, dtype=torch.float64)[unit]
        slope = (expected(net.offsets[0] + change) - expected(net.offsets[0] - change)) / (2 * step)
        assert float(gradient[unit]) == pytest.approx(slope, rel=1e-7, abs=1e-10)


@pytest.mark.parametrize(("function", "slope"), [("atan", 2.0), ("fast_sigmoid", 25.0), ("sigmoid", 1.0)])
@pytest.mark.parametrize("noise", [Gaussian(), Logistic()], ids=str)
def test_surrogates_moments_are_those_of_many_draws(function, slope, noise):
    pytest.importorskip("snntorch")
    net, surrogate = network(depth=1, units=3), Surrogate(function=function, slope=slope, noise=noise)
    mean = net.offsets[0].expand(200_000, 3).clone().requires_grad_()
    eps = noise.draw(mean.shape, torch.Generator().manual_seed(1)).double() * noise.deviation
    bits = noisy_bit(mean, torch.full_like(mean, 1 / noise.deviation), eps, surrogate)
    net.loss(bits).sum().backward()
    moments = estimated_gradient(net, surrogate, noise)
    error = mean.grad.std(0) / math.sqrt(200_000)
    assert ((mean.grad.mean(0) - moments.mean).abs() < 5 * error).all()
    torch.testing.assert_close(moments.variance, mean.grad.var(0), rtol=0.04, atol=1e-4)


@pytest.mark.parametrize("saturation", [0.0, 1.0, 3.0, 8.0])
@pytest.mark.parametrize("noise", [Gaussian(), Logistic()], ids=str)
def test_half_is_unbiased_at_one_layer_at_any_saturation(noise, saturation):
    net = network(depth=1, saturation=saturation)
    exact = exact_gradient(net, noise)
    torch.testing.assert_close(
        estimated_gradient(net, IWST(alpha=0.5, noise=noise), noise).mean, exact, rtol=1e-11, atol=1e-14
    )


def test_straight_throughs_bias_grows_with_saturation_by_its_formula():
    """One unit and f = x**2: the relative bias is (alpha - 1/2) f'' / (f(1) - f(0)) = 2 alpha - 1."""
    found = []
    for mean in (0.0, 0.5, 1.0, 2.0, 4.0):
        net = BitNetwork(
            offsets=(torch.tensor([mean], dtype=torch.float64),),
            weights=(),
            quadratic=torch.tensor([[2.0]], dtype=torch.float64),
            linear=torch.zeros(1, dtype=torch.float64),
        )
        exact = float(exact_gradient(net, Gaussian()))
        p = 0.5 * math.erfc(-mean / math.sqrt(2))
        bias = {a: float(estimated_gradient(net, IWST(alpha=a), Gaussian()).mean) / exact - 1 for a in ("p", 0.5, 0.8)}
        assert bias["p"] == pytest.approx(2 * (p - 0.5), abs=1e-12)
        assert bias[0.5] == pytest.approx(0.0, abs=1e-12)
        assert bias[0.8] == pytest.approx(0.6, abs=1e-12)
        found.append(bias["p"])
    assert found == sorted(found)
    assert found[-1] > 0.99


def test_at_half_probability_all_members_coincide(bench):
    for noise, names in (("gaussian", ("alpha = p", "tempered 0.5", "alpha = 1/2")), ("logistic", ("alpha = p",) * 1)):
        for name in names:
            cell = bench.cell(noise=noise, estimator=name, depth=1, saturation=0.0, coupling=0.0)
            assert cell.bias < 1e-12
            assert cell.cosine == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_family_trades_bias_for_spread_where_units_saturate(bench, depth):
    for coupling in COUPLINGS if depth > 1 else (0.0,):
        at = {"noise": "gaussian", "depth": depth, "saturation": 1.0, "coupling": coupling}
        straight, middle, half = (
            bench.cell(estimator=name, **at) for name in ("alpha = p", "tempered 0.5", "alpha = 1/2")
        )
        assert straight.bias > middle.bias > half.bias
        assert straight.spread < middle.spread < half.spread


def test_bias_of_straight_through_is_more_where_units_saturate():
    """Three layers, weak weights, as in the deep check: saturation is what biases straight-through, and only it."""
    nets = {s: [network(coupling=0.1, saturation=s, seed=seed) for seed in range(4)] for s in (0.0, 1.0, 2.0)}

    def bias(alpha, saturation):
        parts = [
            (estimated_gradient(n, IWST(alpha=alpha), Gaussian()).mean, exact_gradient(n, Gaussian()))
            for n in nets[saturation]
        ]
        return math.sqrt(
            sum(float((m - g).square().sum()) for m, g in parts) / sum(float(g.square().sum()) for _, g in parts)
        )

    straight = [bias("p", s) for s in (0.0, 1.0, 2.0)]
    assert straight == sorted(straight)
    assert straight[0] < 0.01
    assert straight[1] > 0.1
    assert all(bias(0.5, s) < 0.01 for s in (0.0, 1.0, 2.0))


def test_no_alpha_cures_the_bias_of_strong_weights(bench):
    at = {"noise": "gaussian", "depth": 3, "saturation": 0.0}
    for name in ("alpha = p", "alpha = 1/2"):
        weak, strong = (bench.cell(estimator=name, coupling=c, **at).bias for c in COUPLINGS)
        assert strong > 4 * weak
    straight, half = (bench.cell(estimator=name, coupling=1.0, **at) for name in ("alpha = p", "alpha = 1/2"))
    assert half.bias > 0.8 * straight.bias


def test_spread_of_half_grows_with_depth(bench):
    at = {"noise": "gaussian", "saturation": 1.0}
    spreads = [
        bench.cell(estimator="alpha = 1/2", depth=depth, coupling=1.0 if depth > 1 else 0.0, **at).spread
        for depth in (1, 2, 3)
    ]
    assert spreads == sorted(spreads)
    assert spreads[2] > 2 * spreads[0]
    excess = [
        half / bench.cell(estimator="alpha = p", depth=depth, coupling=0.3 if depth > 1 else 0.0, **at).spread
        for depth, half in (
            (d, bench.cell(estimator="alpha = 1/2", depth=d, coupling=0.3 if d > 1 else 0.0, **at).spread)
            for d in (1, 2, 3)
        )
    ]
    assert excess == sorted(excess)


def test_gumbel_rao_is_the_straight_through_gumbel_softmax_with_less_spread(bench):
    """Both have one mean (Rao and Blackwell); sigmoid 1 with logistic noise is the latter at temperature 1."""
    pytest.importorskip("snntorch")
    for depth, saturation, coupling in cases(quick=True):
        at = {"noise": "logistic", "depth": depth, "saturation": saturation, "coupling": coupling}
        rao, softmax = (bench.cell(estimator=name, **at) for name in ("Gumbel-Rao 1", "sigmoid 1"))
        assert rao.bias == pytest.approx(softmax.bias, rel=1e-5)
        assert rao.cosine == pytest.approx(softmax.cosine, abs=1e-6)
        assert rao.spread < softmax.spread


def test_gradients_vanish_where_weights_are_weak(bench):
    at = {"noise": "gaussian", "estimator": "alpha = p", "saturation": 0.0}
    assert bench.cell(depth=3, coupling=0.3, **at).gradient < 0.3 * bench.cell(depth=2, coupling=0.3, **at).gradient


def test_impossible_networks_are_refused():
    for change, message in (
        ({"depth": 0}, "depth: found 0; expected 1 or more"),
        ({"units": 11}, "units: found 11; exp"),
    ):
        with pytest.raises(UsageError, match=message):
            network(**change)
    with pytest.raises(KeyError):
        bench_estimators_of_nothing().cell(noise="x", estimator="y", depth=1, saturation=0.0, coupling=0.0)


def bench_estimators_of_nothing():
    from bitspike.train.bench_estimators import EstimatorBench

    return EstimatorBench(cells=(), networks=0, seconds=0.0, left_out=())


def test_the_command_prints_a_table_and_writes_the_figure(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    assert main(["bench", "estimators", "--quick", "--json", "--out", str(tmp_path / "new")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"noise", "estimator", "depth", "saturation", "coupling", "gradient", "bias", "spread", "cosine"} == set(
        found["cells"][0]
    )
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "estimators.json",
        "estimators.png",
        "estimators.svg",
    ]
    assert (tmp_path / "new" / "estimators.png").read_bytes()[:4] == b"\x89PNG"
    assert "<svg" in (tmp_path / "new" / "estimators.svg").read_text()
    assert json.loads((tmp_path / "new" / "estimators.json").read_text())["cells"] == found["cells"]


def test_the_text_holds_every_case(bench):
    text = str(bench)
    assert "gaussian noise: bias and spread over the gradient" in text
    assert len(re.findall(r"^ +[123] +[01] ", text, re.MULTILINE)) == 2 * len(cases(quick=True))
    assert max(len(line) for line in text.splitlines()) <= 110
    assert "…" not in text


def test_without_snntorch_the_surrogates_are_left_out_and_said_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "snntorch", None)
    monkeypatch.setitem(sys.modules, "snntorch.surrogate", None)
    monkeypatch.setattr("bitspike.train.bench_estimators.cases", lambda *, quick: [(1, 0.0, 0.0)])
    found = bench_estimators(quick=True)
    assert {cell.estimator for cell in found.cells} == {
        "alpha = p", "tempered 0.5", "alpha = 1/2", "Gumbel-Rao 0.5", "Gumbel-Rao 1",
    }  # fmt: skip
    assert "left out: surrogate gradients: " in str(found)


def test_without_matplotlib_the_figure_is_refused_at_once(monkeypatch, capsys, tmp_path):
    for name in [one for one in sys.modules if one.partition(".")[0] == "matplotlib"] + ["matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError):
        check_matplotlib()
    assert main(["bench", "estimators", "--quick", "--out", str(tmp_path / "new")]) == 2
    err = capsys.readouterr().err
    assert "is not installed; run: python -m pip install 'bitspike[plot]'" in err
    assert not (tmp_path / "new").exists()


def test_a_file_is_no_folder(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "file").write_text("x")
    assert main(["bench", "estimators", "--out", str(tmp_path / "file")]) == 2
    assert "is a file; expected a folder" in capsys.readouterr().err


@pytest.mark.parametrize("command", [group.name for group in bench_app.registered_commands])
def test_every_help_of_the_group(capsys, command):
    assert main(["bench", command, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"bitspike bench {command}" in out
    assert "--json" in out


def test_numbers_take_four_characters():
    values = (0.0, 0.00049, 0.0005, 0.9994, 0.9996, 9.994, 9.996, 99.94, 99.96, 123.4, 9999.4)
    assert [_short(value) for value in values] == [
        "   0", "   0", ".001", ".999", "1.00", "9.99", "10.0", "99.9", " 100", " 123", "9999",
    ]  # fmt: skip
