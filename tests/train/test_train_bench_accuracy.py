"""The bench of accuracy: sides, seeds, what is not run again, its table and its conditions."""

import dataclasses
import json
import shutil

import pytest
import torch
from small_recipe import small_recipe

from bitspike.cli import main
from bitspike.errors import FileError, UsageError
from bitspike.train import bench_accuracy as bench_module
from bitspike.train.accuracy_table import AccuracyBench, Outcome
from bitspike.train.bench_accuracy import bench_accuracy
from bitspike.train.bench_search import SideOptions, search
from bitspike.train.recipe import parse_recipe
from bitspike.train.straight_through import straight_through

TEXT = small_recipe(members=3)
SIDES = ("bitspike", "straight-through", "snntorch")


@pytest.fixture(scope="module")
def recipe():
    return parse_recipe(TEXT, source="small.toml")


@pytest.fixture(autouse=True)
def _snntorch():
    pytest.importorskip("snntorch")


@pytest.fixture(scope="module")
def folder(recipe, tmp_path_factory):
    pytest.importorskip("snntorch")
    found = tmp_path_factory.mktemp("bench")
    bench_accuracy(recipe, seeds=(0, 3), sides=SIDES, out=found)
    return found


SAMPLES = 200


def outcome(side, seed, accuracy, ece, kinds=("map",)):
    """An outcome whose kinds have the given accuracies and calibration errors."""
    scores = {
        kind: {"accuracy": a, "ece": e, "nll": 0.5, "brier": 0.1}
        for kind, a, e in zip(kinds, accuracy, ece, strict=True)
    }
    return Outcome(
        side=side, seed=seed, raw=scores, fitted=scores, temperature=dict.fromkeys(kinds, 1.0), samples=SAMPLES,
        wrong={kind: list(range(SAMPLES - round(SAMPLES * a))) for kind, a in zip(kinds, accuracy, strict=True)},
        validation=dict.fromkeys(kinds, 0.9), seconds=2.0, weight_bits=100,
        members={"posterior": 16, "committee": 8} if len(kinds) > 1 else {},
    )  # fmt: skip


OURS = ("posterior", "committee", "map")


def table(*outcomes):
    return AccuracyBench(recipe="small", data="digits", outcomes=outcomes)


def test_the_command_trains_each_side_with_each_seed(recipe, folder, tmp_path, capsys):
    file = tmp_path / "small.toml"
    file.write_text(TEXT, encoding="utf-8")
    arguments = ["bench", "accuracy", str(file), "--seeds", "0,3", "--sides", ",".join(SIDES), "--out", str(folder)]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["recipe"], found["data"], found["seeds"]) == ("small", "digits", [0, 3])
    assert tuple(found["summary"]) == SIDES
    assert [(run["side"], run["seed"]) for run in found["runs"]] == [(side, seed) for seed in (0, 3) for side in SIDES]
    weights = 64 * 12 + 120
    for run in found["runs"]:
        ours = run["side"] == "bitspike"
        assert tuple(run["raw"]) == tuple(run["fitted"]) == (OURS if ours else ("map",))
        assert run["weight_bits"] == (32 if run["side"] == "snntorch" else 1) * weights
        assert run["members"] == ({"posterior": 3, "committee": 3} if ours else {})
        assert run["seconds"] > 0
        for kind, scores in run["raw"].items():
            assert set(scores) == {"accuracy", "nll", "ece", "brier"}
            assert scores["accuracy"] == run["fitted"][kind]["accuracy"]
            assert 0 <= run["validation"][kind] <= 1
            assert run["samples"] == 360
            assert scores["accuracy"] == pytest.approx(1 - len(run["wrong"][kind]) / 360, abs=1e-12)
    assert [(one["of"], one["than"]) for one in found["differences"]] == [
        ("posterior", "most probable bits"),
        ("most probable bits", "straight-through"),
        ("most probable bits", "snntorch"),
    ]
    assert found["differences"][0]["value"] == pytest.approx(sum(found["gaps"]) / 2, abs=1e-12)
    assert len(found["gaps"]) == 2
    assert all(isinstance(each["holds"], bool) for each in found["conditions"])
    told = [(one["than"], one["score"]) for one in found["calibration"]]
    assert told == [(than, score) for than in ("map", "straight-through") for score in ("nll", "brier")]
    for one in found["calibration"]:
        side = "bitspike" if one["than"] == "map" else one["than"]
        less, than = (
            found["summary"][of][kind]["fitted"][one["score"]]["mean"]
            for of, kind in (("bitspike", "committee"), (side, "map"))
        )
        assert one["value"] == pytest.approx(less - than, abs=1e-9)
        assert one["low"] < one["high"]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "small on digits, test part: mean and deviation over seeds 0, 3" in text
    assert text.count("of the committee less straight-through: ") == 2


def test_finished_runs_are_not_run_again(recipe, folder, monkeypatch):
    def refuse(*_arguments, **_options):
        raise AssertionError

    monkeypatch.setattr(bench_module, "train_snntorch", refuse)
    monkeypatch.setattr("bitspike.train.run._train", refuse)
    told = []
    found = bench_accuracy(recipe, seeds=(3, 0), sides=SIDES, out=folder, notify=lambda *parts: told.append(parts))
    assert found.seeds == (3, 0)
    assert told[0] == ("bitspike, seed 3", 0, 2 * len(SIDES))
    with pytest.raises(AssertionError):
        bench_accuracy(recipe, seeds=(1,), sides=("snntorch",), out=folder)


def test_both_sides_repeat_themselves(recipe, folder):
    again = bench_accuracy(recipe, seeds=(3,), sides=("bitspike", "snntorch"))
    kept = bench_accuracy(recipe, seeds=(3,), sides=("bitspike", "snntorch"), out=folder)
    for one, other in zip(again.outcomes, kept.outcomes, strict=True):
        assert dataclasses.replace(one, seconds=0) == dataclasses.replace(other, seconds=0)


def test_runs_of_another_recipe_or_rate_are_refused(recipe, folder):
    other = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, epochs=3))
    for side in ("bitspike", "snntorch"):
        with pytest.raises(UsageError, match=r"^training\.epochs: found 3; expected 2, as in the run"):
            bench_accuracy(other, seeds=(0,), sides=(side,), out=folder)
    with pytest.raises(UsageError, match=r"^snntorch rate: found 0\.5; expected 0\.001, as in the run in "):
        bench_accuracy(recipe, seeds=(0,), sides=("snntorch",), out=folder, options=SideOptions(snntorch_rate=0.5))


@pytest.mark.parametrize("text", ["{", "[]", '{"rate": 1.0}', '{"rate": 1.0, "side": "snntorch", "more": 1}'])
def test_a_damaged_result_is_told(recipe, folder, tmp_path, text):
    (tmp_path / "snntorch-0").mkdir()
    for name in ("recipe.toml", "result.json"):
        (tmp_path / "snntorch-0" / name).write_bytes((folder / "snntorch-0" / name).read_bytes())
    (tmp_path / "snntorch-0" / "result.json").write_text(text, encoding="utf-8")
    with pytest.raises(FileError, match=r"is no result of this bench"):
        bench_accuracy(recipe, seeds=(0,), sides=("snntorch",), out=tmp_path)


@pytest.mark.parametrize("side", SIDES)
def test_seconds_of_another_device_do_not_stand_in_the_table(recipe, folder, tmp_path, side):
    copy = tmp_path / f"{side}-0"
    shutil.copytree(folder / f"{side}-0", copy)
    result = json.loads((copy / "result.json").read_text(encoding="utf-8"))
    assert result["device"] == "cpu"
    (copy / "result.json").write_text(json.dumps(result | {"device": "cuda"}), encoding="utf-8")
    with pytest.raises(UsageError, match=r"^accelerator: found cpu; expected cuda, as for the run in "):
        bench_accuracy(recipe, seeds=(0,), sides=(side,), out=tmp_path)


@pytest.mark.parametrize(("key", "lacks"), [("fitted", "a committee"), ("wrong", "the rows that it has wrong")])
def test_a_run_of_an_earlier_version_is_told(recipe, folder, tmp_path, key, lacks):
    old = tmp_path / "bitspike-0"
    old.mkdir()
    for file in (folder / "bitspike-0").iterdir():
        (old / file.name).write_bytes(file.read_bytes())
    result = json.loads((old / "result.json").read_text(encoding="utf-8"))
    del result["test"][key]
    (old / "result.json").write_text(json.dumps(result), encoding="utf-8")
    with pytest.raises(FileError, match=rf"holds a run of an earlier version, without {lacks}; expected a new folder"):
        bench_accuracy(recipe, seeds=(0,), sides=("bitspike",), out=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "0,x"], "--seeds '0,x'; expected whole numbers with commas"),
        (["--seeds", "1,1"], "seeds: found '1,1'; expected one or more, each once"),
        (["--sides", "bitspike,norse"], "sides: found 'norse'; expected some of bitspike, straight-through, snntorch"),
        (["--snntorch-rate", "0", "--sides", "snntorch"], "rate: found 0.0; expected a number above 0"),
        pytest.param(
            ["--accelerator", "gpu"],
            "accelerator: found 'gpu'; expected cpu: torch sees no CUDA device here",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here"),
        ),
    ],
)
def test_impossible_arguments_are_refused(tmp_path, capsys, arguments, message):
    file = tmp_path / "small.toml"
    file.write_text(TEXT, encoding="utf-8")
    assert main(["bench", "accuracy", str(file), *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("patience = 1", "training.patience: found 1; expected 0 in this bench, whose sides all train the same epochs"),
        ('keep = "best"', "training.keep: found 'best'; expected 'last' in this bench, whose"),
    ],
)
def test_sides_do_not_choose_their_epochs(tmp_path, capsys, line, message):
    (tmp_path / "small.toml").write_text(f"{TEXT}{line}\n", encoding="utf-8")
    assert main(["bench", "accuracy", str(tmp_path / "small.toml"), "--out", str(tmp_path / "runs")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_conditions_hold_where_they_hold():
    found = table(
        outcome("bitspike", 0, (0.970, 0.970, 0.970), (0.01, 0.01, 0.02), OURS),
        outcome("bitspike", 1, (0.975, 0.960, 0.970), (0.01, 0.01, 0.02), OURS),
        outcome("straight-through", 0, (0.95,), (0.03,)),
        outcome("straight-through", 1, (0.98,), (0.03,)),
        outcome("snntorch", 0, (0.99,), (0.01,)),
        outcome("snntorch", 1, (0.99,), (0.01,)),
    )
    assert found.gaps == pytest.approx((0, 0.005))
    assert [each.holds for each in found.conditions] == [True] * 7
    text = str(found)
    assert "97.00 ± 0.00" in text
    assert "96.50 ± 2.12" in text
    assert "bitspike, committee of 8" in text
    assert "posterior less most probable bits +0.25 points; seed by seed +0.00, +0.50" in text
    assert "97.00% against 96.50%, +0.50 ± 2.12 points seed by seed" in text
    assert found.as_json()["summary"]["straight-through"]["map"]["raw"]["accuracy"]["mean"] == pytest.approx(0.965)


def test_conditions_fail_where_they_fail():
    found = table(
        outcome("bitspike", 0, (0.976, 0.97, 0.970), (0.01, 0.02, 0.02), OURS),
        outcome("straight-through", 0, (0.97,), (0.02,)),
        outcome("snntorch", 0, (0.991,), (0.01,)),
    )
    assert [each.holds for each in found.conditions] == [False] * 7
    assert "FAILS  most probable bits within 2 points of snnTorch: 97.00% against 99.10%, -2.10 points" in str(found)


def test_differences_have_intervals_and_are_judged_by_them():
    found = table(
        outcome("bitspike", 0, (0.97, 0.97, 0.97), (0.01, 0.01, 0.02), OURS),
        outcome("bitspike", 1, (0.97, 0.97, 0.96), (0.01, 0.01, 0.02), OURS),
        outcome("straight-through", 0, (0.80,), (0.03,)),
        outcome("straight-through", 1, (0.81,), (0.03,)),
        outcome("snntorch", 0, (1.0,), (0.01,)),
        outcome("snntorch", 1, (1.0,), (0.01,)),
    )
    gap, straight, full = found.differences
    assert (gap.value, straight.value, full.value) == pytest.approx((0.005, 0.16, -0.035))
    for one in found.differences:
        assert one.samples == SAMPLES
        assert one.low <= one.value <= one.high
    # A share of 0.16 of 200 samples has a deviation of about sqrt(0.16 * 0.84 / 200) = 0.026.
    assert straight.high - straight.low == pytest.approx(2 * 1.96 * 0.026, rel=0.15)
    assert str(gap).endswith("): no difference that 200 samples could tell")
    assert str(straight).startswith("most probable bits less straight-through: +16.00 points (+1")
    assert str(straight).endswith("): better")
    assert str(full).endswith("): worse")
    assert all(str(one) in str(found) for one in found.differences)
    assert table(outcome("snntorch", 0, (0.9,), (0.1,))).differences == ()


def test_conditions_that_no_side_can_tell_are_left_out():
    alone = table(outcome("bitspike", 0, (0.97, 0.97, 0.97), (0.01, 0.01, 0.02), OURS))
    assert [each.name.split()[0] for each in alone.conditions] == ["collapse", "the", "the"]
    assert table(outcome("snntorch", 0, (0.9,), (0.1,))).conditions == ()


def test_straight_through_changes_weights_spikes_and_rate_alone(recipe):
    found = straight_through(recipe, width=3.0, rate=0.01)
    assert found.posterior.family == "latent"
    assert (found.estimator.name, found.estimator.noise, found.estimator.floor) == ("surrogate", "none", 3.0)
    assert found.training == dataclasses.replace(recipe.training, rate=0.01, sharpness=1.0)
    assert (found.data, found.network) == (recipe.data, recipe.network)
    with pytest.raises(UsageError, match=r"^floor: found 0"):
        straight_through(recipe, width=0)


def test_the_best_on_validation_is_taken_and_each_candidate_told():
    accuracies = {0.5: 0.7, 1.0: 0.8, 2.0: 0.8}
    asked = []

    def run(side, options):
        values = options.of(side)
        asked.append((side, *values.values()))
        base = 0.02 if side == "straight-through" else 1e-3
        wide = values.get("width", 8.0) == 3.0
        one = outcome(side, 0, [0.1], [0.1])
        return dataclasses.replace(one, validation={"map": accuracies[round(values["rate"] / base, 9)] + 0.1 * wide})

    options = SideOptions(factors=(0.5, 1.0, 2.0), widths=(8.0, 3.0))
    found, trials = search(options, SIDES, run)
    # The first of equal ones.
    assert (found.straight_rate, found.straight_width, found.snntorch_rate) == (0.02, 3.0, 1e-3)
    assert len(asked) == len(trials) == 9
    assert [str(one) for one in trials if one.taken] == [
        "taken  straight-through, rate 0.02, width 3: 90.00% on validation",
        "taken  snntorch, rate 0.001: 80.00% on validation",
    ]
    assert str(trials[0]) == "tried  straight-through, rate 0.01, width 8: 70.00% on validation"
    asked.clear()
    # A single candidate is no search, but it is what was asked for.
    found, trials = search(SideOptions(factors=(0.5,), widths=(3.0,)), SIDES, run)
    assert (found.straight_rate, found.straight_width, found.snntorch_rate) == (0.01, 3.0, 5e-4)
    assert trials == ()
    assert search(options, ("bitspike",), run) == (options, ())
    assert search(SideOptions(), SIDES, run) == (SideOptions(), ())
    assert asked == []


def test_what_was_searched_is_not_trained_again(recipe, tmp_path):
    options = SideOptions(factors=(0.01, 1.0))
    told = []
    found = bench_accuracy(
        recipe,
        seeds=(0, 1),
        sides=("snntorch",),
        out=tmp_path,
        options=options,
        notify=lambda *one: told.append(one[0]),
    )
    assert told == ["snntorch, rate 1e-05", "snntorch, rate 0.001", "snntorch, seed 0", "snntorch, seed 1"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "snntorch-0-rate-0.001", "snntorch-0-rate-1e-05", "snntorch-1-rate-0.001",
    ]  # fmt: skip
    assert [one.taken for one in found.trials] == [False, True]
    assert found.calibration == ()
    assert found.trials[1].validation == found.outcomes[0].validation["map"]
    assert found.as_json()["trials"][1]["values"] == {"rate": 0.001}
    assert str(found.trials[1]) in str(found)


def test_calibration_is_told_of_the_values_that_were_chosen(recipe, tmp_path):
    options = SideOptions(factors=(1.0, 0.001))
    found = bench_accuracy(recipe, seeds=(0,), sides=SIDES[:2], out=tmp_path, options=options)
    # The trial that was taken is not the last.
    assert [one.taken for one in found.trials] == [True, False]
    ours, straight = found.outcomes
    less = ours.fitted["committee"]["nll"] - straight.fitted["map"]["nll"]
    assert {one.score: one.value for one in found.calibration if one.than == "straight-through"}["nll"] == (
        pytest.approx(less, abs=1e-9)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rates", "1,x"], "--rates '1,x'; expected numbers with commas, such as 0.3,1,3"),
        (["--rates", "1,1"], "rates: found 1.0,1.0; expected numbers above 0, each once"),
        (["--widths", "0"], "widths: found 0.0; expected numbers above 0, each once"),
        (["--rates", "nan"], "rates: found nan; expected numbers above 0, each once"),
    ],
)
def test_impossible_searches_are_refused(arguments, message, tmp_path, capsys):
    file = tmp_path / "small.toml"
    file.write_text(TEXT, encoding="utf-8")
    assert main(["bench", "accuracy", str(file), *arguments]) == 2
    assert message in capsys.readouterr().err
