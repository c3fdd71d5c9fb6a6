"""A committee's energy: all members run, and the figures grow as the counts say."""

import numpy as np
import pytest
from builders import chain, spikes_for

from bitspike import energy
from bitspike.convert.collapse import Committee
from bitspike.errors import UsageError
from bitspike.samples import SpikeData
from bitspike.sim.committee_energy import committee_energy
from bitspike.sim.count_run import count_run


@pytest.fixture(scope="module")
def data():
    spikes = spikes_for(chain(), samples=6)
    return SpikeData(name="random", spikes=spikes, labels=np.zeros(6, np.int64))


def members(count):
    return tuple(chain(seed=seed, vth=1) for seed in range(count))


def test_a_committee_is_the_sum_of_its_members(data):
    found = energy(Committee(members=members(3)), data=data, step_time_us=10.0)
    alone = [energy(member, data=data, step_time_us=10.0) for member in members(3)]
    per_sample = np.sum([one.per_sample_nj for one in alone], axis=0)
    assert found.whole.per_sample_nj == pytest.approx(per_sample)
    figures = [one.nominal_nj for one in alone]
    over = found.over_members
    assert (over["mean_nj"], over["sd_nj"]) == pytest.approx((np.mean(figures), np.std(figures, ddof=1)))
    assert (over["p5_nj"], over["p95_nj"]) == pytest.approx(tuple(np.percentile(figures, (5, 95))))
    steps = 3 * (10 + 3)  # each member has the window and the latency of its read-out
    assert found.whole.counts.barrier_steps == steps
    assert found.whole.cores == 3
    assert found.whole.low_nj == pytest.approx(sum(one.low_nj for one in alone))
    assert found.whole.high_nj == pytest.approx(sum(one.high_nj for one in alone))
    whole_chip = found.nominal_nj + (104 - 0.815) * 10 * steps
    assert found.whole.whole_chip_nj == pytest.approx(whole_chip)
    text = str(found)
    assert "3 members, all of which run" in text
    assert f"{steps} steps, 3 cores" in text
    assert "energy of one inference of 3 members" in text
    assert found.as_json()["members"] == pytest.approx(figures)


def test_a_member_more_costs_a_member_more(data):
    two, three = (committee_energy(members(count), data=data) for count in (2, 3))
    last = count_run(members(3)[2], data=data)
    for quantity in ("synaptic_operations", "updates", "spikes", "weight_bits_read"):
        more = three.whole.counts.total(quantity) - two.whole.counts.total(quantity)
        assert np.array_equal(more, last.total(quantity))
    assert three.nominal_nj == pytest.approx(two.nominal_nj + three.members[2].nominal_nj)
    ours, theirs = two.whole.baselines, three.whole.baselines
    assert [b.operations for b in theirs[1:]] == [1.5 * b.operations for b in ours[1:]]


def test_no_member_is_no_committee(data):
    with pytest.raises(UsageError, match="committee: found no members; expected one or more"):
        committee_energy((), data=data)
