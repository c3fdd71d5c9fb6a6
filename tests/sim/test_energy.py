"""Energy against sums by hand: terms, ranges, spread, static power, sensitivity, what is missing, and baselines."""

from dataclasses import replace

import numpy as np
import pytest
from builders import chain, spikes_for

from bitspike.convert.connections import Conv2d, Dense
from bitspike.convert.network import Input, IntegerNetwork, Population, Readout
from bitspike.convert.rules import check
from bitspike.convert.weights import weights_of
from bitspike.errors import UsageError
from bitspike.samples import SpikeData
from bitspike.sim.baselines import baselines, leads_back
from bitspike.sim.count_run import count_run
from bitspike.sim.energy import Placed, energy, price
from bitspike.sim.mapped import map_run
from bitspike.sim.traffic import Hops
from bitspike.targets.chips import chip
from bitspike.targets.partition import partition
from bitspike.targets.prices import GROUPS, Price, PriceList, price_list


def data_for(network, samples=4, **options):
    spikes = spikes_for(network, samples=samples, **options)
    return SpikeData(name="random", spikes=spikes, labels=np.zeros(samples, np.int64))


def test_energy_is_counts_times_published_prices():
    network = chain()
    data = data_for(network)
    counts = count_run(network, data=data)
    sop, updates, active = (counts.total(q) for q in ("synaptic_operations", "updates", "active_updates"))
    estimate = energy(network, data=data, chip="loihi1", place=False)
    expected = (23.6 * sop + 81 * active + 52 * (updates - active) + 1.7 * counts.messages) / 1000
    assert estimate.per_sample_nj == pytest.approx(expected, rel=1e-12)
    assert estimate.nominal_nj == pytest.approx(expected.mean(), rel=1e-12)
    assert estimate.low_nj == pytest.approx(expected.mean() - 0.029 * active.mean(), rel=1e-12)
    assert estimate.high_nj == pytest.approx(expected.mean() + 0.029 * (updates - active).mean(), rel=1e-12)
    assert estimate.sd_nj == pytest.approx(expected.std(ddof=1))
    assert estimate.percentiles_nj == pytest.approx(tuple(np.percentile(expected, (5, 95))))
    assert sum(term.nominal_nj for term in estimate.terms) == pytest.approx(estimate.nominal_nj)
    assert sum(nominal for _, nominal, _ in estimate.groups.values()) == pytest.approx(estimate.nominal_nj)
    assert list(estimate.groups) == ["synapse", "neuron", "routing"]
    assert estimate.grade == "simulated before silicon"


def test_what_has_no_price_is_named_and_makes_it_partial():
    network = chain()
    data = data_for(network)
    estimate = energy(network, data=data, place=False)
    assert estimate.partial
    assert estimate.unpriced == (
        "spikes sent (no price)",
        "hops between cores (no placement)",
        "static power (no placement)",
        "barrier synchronisation (no price)",
    )
    assert estimate.not_included[-2:] == (
        "encoding of the input and transfer to and from the chip",
        "loading the weights",
    )
    whole = energy(network, data=data, chip="truenorth")
    assert whole.unpriced == ()
    assert not whole.partial
    assert whole.nominal_nj == pytest.approx(0.026 * whole.counts.total("synaptic_operations").mean())
    bare = energy(network, data=data, prices="spinnaker-seneca")
    assert bare.unpriced == (
        "neuron updates (no price)",
        "messages and hops (no price)",
        "hops between cores (no placement: no mesh of spinnaker is published)",
        "static power (no price)",
        "barrier synchronisation (no price)",
    )


def test_the_network_lies_on_cores_where_it_fits():
    """Hops, static power and the length of a step come from the partition, the placement and the busiest core."""
    network = chain()
    data = data_for(network)
    estimate = energy(network, data=data)
    assert estimate.unpriced == ("spikes sent (no price)", "barrier synchronisation (no price)")
    assigned = partition(network, "loihi1")
    mapped = map_run(assigned, data=data, chip=chip("loihi1"))
    assert estimate.cores == assigned.core_count == 1
    assert estimate.step_time_us == pytest.approx(mapped.time.serial_ns.mean() / 1000)
    assert estimate.counts.barrier_steps == 10 + max(assigned.network.latencies().values())
    terms = {term.event: term for term in estimate.terms}
    static = 0.815 * estimate.step_time_us * estimate.counts.barrier_steps
    assert terms["static_core"].nominal_nj == pytest.approx(static)
    assert terms["message"].events == (mapped.hops.messages + mapped.hops.entering).mean()
    assert "1 core; with the static power of the whole chip" in str(estimate)
    assert energy(network, data=data, step_time_us=10.0).step_time_us == 10.0


def test_a_network_that_does_not_fit_is_priced_without_cores_and_says_why():
    network = chain((4100, 3, 2), steps=2)
    estimate = energy(network, data=data_for(network, 1))
    hops, static = estimate.unpriced[1:3]
    assert hops.startswith("hops between cores (no placement: network chain does not fit loihi1: ")
    assert "4100 input axons, limit 4096" in hops
    assert static == "static power (no placement)"
    assert estimate.cores is None


def full_prices():
    """A price of 1 pJ (or 1 mW) for everything that can happen."""
    events = (
        "synaptic_operation", "active_update", "inactive_update", "spike", "message", "hop_east_west",
        "hop_north_south", "accumulator_access", "weight_read", "state_read", "state_write", "barrier",
    )  # fmt: skip
    shared = {"low": 1.0, "nominal": 1.0, "high": 1.0, "grade": "illustrative", "source": "a test", "prices": "ones"}
    prices = [Price(event=event, **shared) for event in events]
    prices += [Price(event=event, quantity="power", **shared) for event in ("static_core", "static_chip")]
    return PriceList(name="ones", chip="any", title="ones", prices=tuple(prices))


def test_a_placement_prices_hops_and_static_power():
    network = chain()
    counts = count_run(network, data=data_for(network))
    hops = Hops(
        messages=counts.messages * 2,
        within_tile=counts.none,
        east_west=counts.messages * 3,
        north_south=counts.none + 5,
        entering=counts.none + 7,
    )
    placed = Placed(hops=hops, cores=4, chips=2, step_time_us=2.5)
    estimate = price(counts, full_prices(), placed=placed)
    assert estimate.unpriced == ()
    assert not estimate.partial
    assert tuple(estimate.groups) == GROUPS
    terms = {term.event: term for term in estimate.terms}
    assert terms["message"].events == 2 * counts.messages.mean() + 7
    assert terms["hop_east_west"].events == 3 * counts.messages.mean()
    assert terms["hop_north_south"].nominal_nj == pytest.approx(0.005)
    assert terms["static_core"].nominal_nj == pytest.approx(4 * 2.5 * 10)  # mW and microseconds: nanojoules
    assert terms["barrier"].nominal_nj == pytest.approx(0.010)
    memory = sum(terms[e].events for e in ("accumulator_access", "weight_read", "state_read", "state_write"))
    bits = sum(counts.total(q) for q in ("weight_bits_read", "state_bits_read", "state_bits_written"))
    assert memory == pytest.approx(bits.mean() / 64)
    assert estimate.whole_chip_nj == pytest.approx(estimate.nominal_nj - 100 + 2 * 2.5 * 10)
    assert (estimate.cores, estimate.step_time_us) == (4, 2.5)
    faster = price(counts, full_prices(), placed=placed, step_time_us=1.0)
    assert faster.nominal_nj == pytest.approx(estimate.nominal_nj - 60)


def test_static_power_is_a_term_with_its_own_source():
    network = chain()
    counts = count_run(network, data=data_for(network))
    none = dict.fromkeys(("messages", "within_tile", "east_west", "north_south", "entering"), counts.none)
    placed = Placed(hops=Hops(**none), cores=3)
    estimate = price(counts, price_list("loihi1"), placed=placed, step_time_us=10.0)
    static = [term for term in estimate.terms if term.group == "static"]
    assert [(t.price.prices, t.price.grade) for t in static] == [("frady2020", "derived")]
    assert static[0].nominal_nj == pytest.approx(0.815 * 3 * 10 * 10)
    assert estimate.grade == "derived"
    assert "static power" not in " ".join(estimate.not_included)
    text = str(estimate)
    assert "frady2020: Frady" in text
    assert "a step of 10 us, 10 steps, 3 cores; with the static power of the whole chip" in text
    assert price(counts, price_list("loihi1"), placed=Placed(hops=Hops(**none), cores=3)).unpriced[1] == (
        "static power (no step time)"
    )
    with pytest.raises(UsageError, match="step time: found 0 us; expected a number above 0"):
        price(counts, price_list("loihi1"), step_time_us=0)


def test_sensitivity_moves_one_price_through_its_range_or_by_a_tenth():
    network = chain()
    counts = count_run(network, data=data_for(network))
    estimate = price(counts, price_list("loihi1"))
    first = estimate.sensitivity[0]
    biggest = max(estimate.terms, key=lambda t: t.nominal_nj)
    assert first.label == biggest.label
    assert first.share == pytest.approx(biggest.nominal_nj / estimate.nominal_nj)
    assert first.high_nj - estimate.nominal_nj == pytest.approx(0.1 * biggest.nominal_nj)
    prices = full_prices()
    wide = tuple(replace(p, high=100.0) if p.event == "spike" else p for p in prices.prices)
    estimate = price(counts, replace(prices, prices=wide))
    spikes = counts.total("spikes").mean()
    assert estimate.sensitivity[0].label == "spikes sent"
    assert estimate.sensitivity[0].high_nj == pytest.approx(estimate.nominal_nj + 0.099 * spikes)
    assert sum(s.share for s in estimate.sensitivity) == pytest.approx(1)


def convolution():
    """A convolution, then a dense read-out: two kinds of operations."""
    zero = np.zeros(8, int)
    return check(
        IntegerNetwork(
            name="conv",
            steps=4,
            inputs=(Input(name="input", shape=(1, 3, 3)),),
            populations=(
                Population(name="maps", shape=(2, 2, 2), dv=0, vth=1, bias_mantissa=zero),
                Population(name="out", shape=(1,), dv=0, vth=3, bias_mantissa=zero[:1]),
            ),
            connections=(
                Conv2d(
                    source="input", target="maps", source_shape=(1, 3, 3), kernel=(2, 2),
                    weights=weights_of([[1, 1, -1, 1], [1, 1, 1, 1]]),
                ),
                Dense(source="maps", target="out", weights=weights_of([[1] * 8])),
            ),
            readouts=(Readout(population="out", kind="spike_count"),),
        )
    )  # fmt: skip


def test_kinds_of_synapses_have_prices_of_their_own():
    network = convolution()
    estimate = energy(network, data=data_for(network), prices="sanafe")
    conv, dense = (estimate.counts.operations(kind).mean() for kind in ("conv", "dense"))
    synapse = [(t.label, t.nominal_nj) for t in estimate.terms if t.group == "synapse"]
    assert synapse == [
        ("synaptic operations, conv", pytest.approx(0.024 * conv)),
        ("synaptic operations", pytest.approx(0.0355 * dense)),
    ]


def test_the_text_is_short_and_says_it():
    network = chain()
    estimate = energy(network, data=data_for(network))
    text = str(estimate)
    assert repr(estimate) == f"<Energy of chain on loihi1: {estimate.nominal_nj:,.1f} nJ, partial>"
    assert len(text.splitlines()) <= 20
    for part in (
        "prices davies2018 + frady2020",
        "in all, partial",
        "moves the total most",
        "not included:",
        "on 45 nm",
    ):
        assert part in text
    assert "davies2018: Davies et al., Loihi, IEEE Micro 38(1), 2018, table 2; 14 nm, 0.75 V; simulated" in text


def test_one_sample_has_no_spread():
    network = chain()
    estimate = energy(network, data=data_for(network, 1))
    assert estimate.sd_nj == 0.0
    assert estimate.percentiles_nj == (estimate.nominal_nj,) * 2
    assert "percentile" not in str(estimate)


def test_more_spikes_and_more_steps_cost_more():
    network = chain(bias=False)
    quiet, loud = (energy(network, data=data_for(network, rate=rate)).nominal_nj for rate in (0.05, 0.6))
    assert quiet < loud
    data = data_for(network)
    cut = SpikeData(name="cut", spikes=data.spikes[:, :5], labels=data.labels)
    half, whole = (energy(network, data=d) for d in (cut, data))
    assert half.counts.total("updates").tolist() == (whole.counts.total("updates") // 2).tolist()
    assert half.nominal_nj < whole.nominal_nj


def test_baselines_by_hand():
    """12-9-7-4: 199 weights, 20 neurons; inputs of a connection 12 + 9 + 7, of which 12 have 8 bits at least."""
    network = chain()
    counts = count_run(network, data=data_for(network))
    spiking, binary, int8, float32 = baselines(counts)
    assert [b.operations for b in (binary, int8, float32)] == [199, 199, 199]
    assert (binary.memory_bits, int8.memory_bits) == (199 + 12 * 8 + 16 + 20, 8 * (199 + 28 + 20))
    assert float32.memory_bits == 32 * (199 + 28 + 20)
    assert binary.arithmetic_nj == pytest.approx((199 * 0.0075 + 20 * 0.053) / 1000)
    assert int8.arithmetic_nj == pytest.approx((199 * 0.3 + 20 * 0.1) / 1000)
    assert float32.arithmetic_nj == pytest.approx((199 * 4.6 + 20 * 0.9) / 1000)
    assert float32.memory_nj == pytest.approx(32 * 247 / 64 * 0.020)
    assert float32.nominal_nj == pytest.approx(float32.arithmetic_nj + float32.memory_nj)
    assert float32.low_nj < float32.nominal_nj < float32.high_nj
    assert spiking.nominal_nj == pytest.approx(price(counts, price_list("digital45")).nominal_nj)
    assert {b.steps for b in (binary, int8, float32)} == {1}


def test_a_kernel_is_read_once_and_slides():
    network = convolution()
    _, _, int8, _ = baselines(count_run(network, data=data_for(network)))
    assert int8.operations == 2 * 4 * 4 + 8
    assert int8.memory_bits == 8 * ((8 + 8) + (9 + 8) + (8 + 1))


def test_a_recurrent_network_needs_all_its_steps():
    network = chain()
    loop = Dense(source="hidden1", target="hidden1", delay=1, weights=weights_of(np.eye(9, dtype=int)))
    recurrent = check(replace(network, connections=(*network.connections, loop)))
    counts = count_run(recurrent, data=data_for(network))
    assert leads_back(counts)
    assert not leads_back(count_run(network, data=data_for(network)))
    assert [b.operations for b in baselines(counts)[1:]] == [10 * (199 + 81)] * 3
    assert "10 steps of the same shape" in str(price(counts, price_list("loihi1")))
