"""Energy against accuracy and calibration: each thing that is varied moves the figures the way the counts say."""

import csv
import json

import numpy as np
import pytest
from small_recipe import small_recipe

from bitspike.cli import main
from bitspike.convert.collapse import collapse
from bitspike.errors import UsageError
from bitspike.pareto import Grid, bench_pareto
from bitspike.samples import SpikeData
from bitspike.sim.count_run import count_run
from bitspike.sim.counts_combined import without_zeros
from bitspike.sim.energy import energy
from bitspike.train import fit
from bitspike.train.recipe import parse_recipe

TEXT = small_recipe(epochs=3, members=3)
SAMPLES = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("pareto")
    fit(parse_recipe(TEXT, source="small.toml"), out=place / "run", progress=False)
    return place


@pytest.fixture(scope="module")
def run(folder):
    from bitspike.train import load_run

    return load_run(folder / "run")


@pytest.fixture(scope="module")
def pareto(run):
    grid = Grid(steps=(2, 4), members=(1, 2, 3), pruned=(0.0, 0.5))
    return bench_pareto([run], grid=grid, samples=SAMPLES)


def point(pareto, steps, members, pruned):
    (found,) = [p for p in pareto.points if (p.steps, p.members, p.pruned) == (steps, members, pruned)]
    return found


def test_the_whole_network_is_priced_as_energy_prices_it(run, pareto):
    data = run.test.first(SAMPLES)
    network = collapse(run.model, "map")
    whole = point(pareto, 4, 1, 0.0)
    estimate = energy(network, data=data, place=False)
    assert whole.energy_nj == pytest.approx(estimate.nominal_nj)
    assert whole.operations == estimate.counts.total("synaptic_operations").mean()
    assert len(pareto.points) == 12
    assert pareto.unpriced == tuple(sorted(estimate.unpriced))


def test_a_shorter_window_takes_the_operations_of_its_steps(run, pareto):
    data = run.test.first(SAMPLES)
    cut = SpikeData(name="cut", spikes=data.spikes[:, :2], labels=data.labels)
    counts = count_run(collapse(run.model, "map"), data=cut)
    short, whole = point(pareto, 2, 1, 0.0), point(pareto, 4, 1, 0.0)
    assert short.operations == counts.total("synaptic_operations").mean() < whole.operations
    assert short.energy_nj < whole.energy_nj


def test_a_member_more_takes_its_own_operations(run, pareto):
    data = run.test.first(SAMPLES)
    members = collapse(run.model, "committee", members=3)
    operations = [count_run(one, data=data).total("synaptic_operations").mean() for one in members]
    assert point(pareto, 4, 2, 0.0).operations == pytest.approx(sum(operations[:2]))
    assert point(pareto, 4, 3, 0.0).operations == pytest.approx(sum(operations))
    assert point(pareto, 4, 2, 0.0).energy_nj < point(pareto, 4, 3, 0.0).energy_nj


def test_pruned_weights_take_no_operation(pareto):
    for steps in (2, 4):
        for members in (1, 2, 3):
            whole, pruned = (point(pareto, steps, members, share) for share in (0.0, 0.5))
            assert pruned.operations < 0.75 * whole.operations
            assert pruned.energy_nj < whole.energy_nj


def test_zeros_that_are_stored_cost_as_much(run):
    """Of a dense matrix in memory the zeros are read too: only a sparse store saves them."""
    from bitspike.pareto import _Pruned

    data = run.test.first(SAMPLES)
    network = collapse(_Pruned(run.model, 0.5), "map")
    weights = np.concatenate([c.weights.matrix().ravel() for c in network.connections])
    assert np.mean(weights == 0) == pytest.approx(0.5, abs=0.01)
    stored, sparse = (energy(network, data=data, sparse=sparse) for sparse in (False, True))
    counts = stored.counts
    assert sparse.counts.total("synaptic_operations").tolist() == counts.total("effective_operations").tolist()
    saved = counts.total("synaptic_operations") - counts.total("effective_operations")
    assert stored.nominal_nj - sparse.nominal_nj == pytest.approx(0.0236 * saved.mean())
    again = without_zeros(without_zeros(counts))
    for quantity in ("weight_bits_read", "state_bits_read", "state_bits_written"):
        assert again.total(quantity).tolist() == sparse.counts.total(quantity).tolist()
        assert (again.total(quantity) < counts.total(quantity)).all()
    assert again.total("state_bits_read").tolist() == (counts.total("state_bits_read") - 16 * saved).tolist()


def test_marks_are_those_that_no_other_point_beats(pareto):
    for p in pareto.points:
        better = [q for q in pareto.points if q.energy_nj <= p.energy_nj and q.accuracy >= p.accuracy and q != p]
        assert p.best_accuracy == all((q.energy_nj, q.accuracy) == (p.energy_nj, p.accuracy) for q in better)
    assert min(pareto.points, key=lambda p: p.energy_nj).best_accuracy
    assert min(pareto.points, key=lambda p: p.ece).best_ece


def test_the_command_writes_table_and_figure(capsys, folder):
    arguments = ["bench", "pareto", folder / "run", "--members", "1,2", "--pruned", "0", "--samples", "20", "--out"]
    assert main([*map(str, arguments), str(folder / "out"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [p["steps"] for p in found["points"]] == [1, 1, 2, 2, 4, 4]
    rows = list(csv.DictReader((folder / "out" / "pareto.csv").read_text(encoding="utf-8").splitlines()))
    assert [float(row["energy_nj"]) for row in rows] == [p["energy_nj"] for p in found["points"]]
    assert (folder / "out" / "pareto.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (folder / "out" / "pareto.svg").read_text(encoding="utf-8")
    assert main([*map(str, arguments[:-1])]) == 0
    text = capsys.readouterr().out
    assert "not included: " in text.splitlines()[0]
    assert len(text.splitlines()) == 3 + 6


def test_mistakes_are_told(run):
    with pytest.raises(UsageError, match=r"members \(0,\), pruned \(0.0, 0.25, 0.5\); expected sizes of 1 or more"):
        Grid(members=(0,))
    with pytest.raises(UsageError, match="expected sizes of 1 or more, and shares from 0 to below 1"):
        Grid(pruned=(1.0,))
    with pytest.raises(UsageError, match=r"steps \(5,\); expected 1 to 4, the window of the run"):
        bench_pareto([run], grid=Grid(steps=(5,)))
    with pytest.raises(UsageError, match="pareto: found no runs; expected one or more"):
        bench_pareto([])


@pytest.mark.parametrize("steps", ["nan", "1e400", "2.5", "4,"])
def test_windows_are_whole_numbers(run, capsys, steps):
    assert main(["bench", "pareto", str(run.folder), "--steps", steps]) == 2
    assert capsys.readouterr().err == (
        f"bitspike: --steps {steps!r}; expected whole numbers with commas, such as 1,2,4\n"
    )
