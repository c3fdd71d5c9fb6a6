"""Verification in chunks: the same counts whatever their size, and a run that was stopped goes on."""

import json
from dataclasses import replace

import numpy as np
import pytest
from builders import chain, planted_faults, spikes_for

from bitspike.convert import ranges
from bitspike.errors import FileError, UsageError
from bitspike.samples import SpikeData, SpikeParts
from bitspike.sim import chunks as chunks_module
from bitspike.sim.engines import ENGINES, Engine, fast
from bitspike.sim.ledger import Ledger
from bitspike.sim.verify import verify
from bitspike.train.data import load_data, load_parts

NETWORK = chain((12, 9, 7, 4), steps=10)
FAULT = planted_faults(NETWORK)["threshold"][0]
DATA = SpikeData(name="random", spikes=spikes_for(NETWORK, samples=11), labels=np.arange(11))


def counted(result):
    """Everything but times, and on how many samples a reason was tried."""
    return [replace(row, seconds=0.0, reason=row.reason and replace(row.reason, samples=0)) for row in result.engines]


def proof(**options):
    return verify(NETWORK, data=DATA, engines=["reference"], against={"copy": FAULT}, **options)


@pytest.mark.parametrize("chunk", [1, 2, 5, 10, 11, 100])
def test_no_count_and_no_place_depends_on_the_chunk(chunk):
    whole = proof()
    assert not whole.passed
    assert whole.engines[0].samples == 11
    assert counted(proof(chunk=chunk)) == counted(whole)


def test_what_a_network_needs_is_made_once_for_all_chunks(monkeypatch):
    made, proved = [], []
    one, settled = fast.FastEngine, ranges._settled
    monkeypatch.setattr(fast, "FastEngine", lambda *given: made.append(given) or one(*given))
    monkeypatch.setattr(ranges, "_settled", lambda *given: proved.append(given) or settled(*given))
    ranges._proof.cache_clear()
    fast._engine.cache_clear()
    result = verify(NETWORK, data=DATA, engines=["fast", "reference"], chunk=2)
    assert [row.samples for row in result.engines] == [11, 11]
    assert (len(made), len(proved)) == (1, 1)


def test_a_reason_is_looked_for_once(monkeypatch, tmp_path):
    """Known causes are tried in the first chunk that parts, and after a stop not again."""
    from bitspike.sim import compare

    real, calls = compare.find_reason, []
    monkeypatch.setattr(compare, "find_reason", lambda *given: calls.append(1) or real(*given))
    assert proof(chunk=3, ledger=Ledger(tmp_path / "a.partial")).engines[1].differing_membranes
    assert len(calls) == 1
    lines = (tmp_path / "a.partial").read_text().splitlines()
    (tmp_path / "a.partial").write_text("\n".join(lines[:2]) + "\n")
    proof(chunk=3, ledger=Ledger(tmp_path / "a.partial", resume=True))
    assert len(calls) == 1


def test_the_first_place_is_that_in_the_data_and_not_in_the_chunk():
    network = chain((12, 9, 7, 4), steps=10, bias=False)
    copy = planted_faults(network)["threshold"][0]
    spikes = DATA.spikes.copy()
    spikes[:7] = 0  # without input and bias nothing reaches a threshold
    data = replace(DATA, spikes=spikes)
    found = verify(network, data=data, engines=["reference"], against={"copy": copy}, chunk=2)
    whole = verify(network, data=data, engines=["reference"], against={"copy": copy})
    assert found.engines[1].first == whole.engines[1].first
    assert found.engines[1].first.sample >= 7


def test_slow_engines_run_on_their_first_samples_only(monkeypatch):
    slow = Engine(name="slow", summary="", module="bitspike.sim.engines.reference", samples=5)
    monkeypatch.setitem(ENGINES, "slow", slow)
    monkeypatch.setitem(ENGINES, "other", replace(slow, name="other", samples=None))
    calls = []
    names = ["reference", "slow", "other"]
    result = verify(NETWORK, data=DATA, engines=names, chunk=3, notify=lambda *call: calls.append(call))
    assert [row.samples for row in result.engines] == [5, 5, 11]
    assert [call[0] for call in calls] == [*names, *names, *["reference", "other"] * 2]
    assert {call[2] for call in calls} == {10}
    first = verify(NETWORK, data=DATA, engines=["slow", "reference"], chunk=3)
    assert [row.samples for row in first.engines] == [5, 5]


def test_parts_of_a_data_set_are_the_data_set():
    whole, parts = load_data("digits", steps=5, seed=2), load_parts("digits", steps=5, seed=2)
    assert (len(parts), parts.name, parts.digest()) == (len(whole), whole.name, whole.digest())
    assert np.array_equal(parts.part(100, 117).spikes, whole.spikes[100:117])
    assert parts.first(19).digest() == whole.first(19).digest()
    assert np.array_equal(parts.part(350, 1000).labels, whole.labels[350:])
    with pytest.raises(UsageError, match="samples: 0; expected 1 or more"):
        parts.first(0)


def test_no_more_than_a_chunk_is_encoded_at_once(monkeypatch):
    monkeypatch.setattr("bitspike.samples._PART_SPIKES", 1)
    asked = []

    def encode(first, last):
        asked.append(last - first)
        return DATA.part(first, last)

    parts = SpikeParts(name="random", count=11, steps=10, neurons=12, encode=encode)
    result = verify(NETWORK, data=parts, engines=["reference"], against={"copy": FAULT}, chunk=4)
    assert (counted(result), result.data_digest) == (counted(proof()), DATA.digest())
    assert max(asked) == 8


def stopped_after(monkeypatch, runs):
    """Have the verification fail after so many runs, as a kill would end it."""
    real, done = chunks_module.simulate, []

    def simulate(*arguments, **options):
        if len(done) == runs:
            raise KeyboardInterrupt
        done.append(1)
        return real(*arguments, **options)

    monkeypatch.setattr(chunks_module, "simulate", simulate)


def test_a_run_that_was_stopped_loses_one_chunk(tmp_path, monkeypatch):
    path = tmp_path / "a.partial"
    with monkeypatch.context() as patch:
        stopped_after(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            proof(chunk=3, ledger=Ledger(path))
    with path.open("a") as file:  # the next line, half written
        file.write('{"first": 6, "la')
    calls = []
    result = proof(chunk=3, ledger=Ledger(path, resume=True), notify=lambda *call: calls.append(call))
    assert calls == [("reference", 4, 8), ("copy", 5, 8), ("reference", 6, 8), ("copy", 7, 8)]
    assert counted(result) == counted(proof())
    again = proof(chunk=3, ledger=Ledger(path, resume=True))
    assert again == result


def test_a_ledger_of_something_else_is_refused(tmp_path):
    path = tmp_path / "a.partial"
    proof(chunk=3, ledger=Ledger(path))
    with pytest.raises(UsageError, match=r"a.partial: is there already; resume it, or remove it"):
        proof(chunk=3, ledger=Ledger(path))
    with pytest.raises(FileError, match=r"a.partial: is of another verification: chunk 3; expected 4"):
        proof(chunk=4, ledger=Ledger(path, resume=True))
    with pytest.raises(FileError, match=r"is of another verification: network '"):
        verify(FAULT, data=DATA, engines=["reference"], against={"copy": FAULT}, ledger=Ledger(path, resume=True))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [], "is not a ledger of a verification"),
        (lambda lines: ["[" * 100000], "recursion"),
        (lambda lines: [lines[0], "{}"], "chunk: keys ; expected first, last"),
        (lambda lines: [lines[0], lines[2]], "has samples 3 to 6 after 0; expected consecutive chunks"),
        (lambda lines: [*lines, lines[1]], "has samples 0 to 3 after 11; expected consecutive chunks"),
        (lambda lines: [lines[0], lines[1].replace('"compared": ', '"compared": -')], "a count is negative"),
        (lambda lines: [lines[0], lines[1].replace('"compared": ', '"compared": 0.')], "compared is 0.1"),
        (lambda lines: [lines[0], lines[1].replace('"quantity": "', '"quantity": 3, "x": "')], "first: keys"),
        (lambda lines: [lines[0], lines[1].replace('"engines": ["reference"', '"engines": [7')], "found 7; expected"),
    ],
)
def test_a_damaged_ledger_is_refused_in_one_line(tmp_path, change, said):
    path = tmp_path / "a.partial"
    proof(chunk=3, ledger=Ledger(path))
    lines = path.read_text().splitlines()
    assert len(lines) == 5
    assert all(json.loads(line) for line in lines)
    path.write_text("".join(f"{line}\n" for line in change(lines)))
    with pytest.raises(FileError, match=said) as caught:
        proof(chunk=3, ledger=Ledger(path, resume=True))
    assert str(caught.value).isprintable()


def test_questions_that_make_no_sense():
    with pytest.raises(UsageError, match="chunk: 0; expected 1 or more"):
        proof(chunk=0)
    with pytest.raises(UsageError, match="reference is the name of an engine; expected another label"):
        verify(NETWORK, data=DATA, engines=["reference"], against={"reference": FAULT})
