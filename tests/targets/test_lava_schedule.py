"""When samples enter a run and when they answer; and whose neuron is whose in Lava's order."""

import numpy as np

from bitspike.targets.lava.layout import from_lava, lava_shape, our_index, to_lava
from bitspike.targets.lava.schedule import Schedule

#: Two samples of three steps and two neurons, which tell sample, step and neuron apart.
SPIKES = np.arange(1, 13, dtype=np.uint8).reshape(2, 3, 2)


def test_samples_one_after_the_other_with_a_quiet_gap():
    schedule = Schedule(samples=2, steps=3, latency=4, gap=2, quiet=True)
    assert (schedule.runs, schedule.length, schedule.reset_interval) == (1, 14, 5)
    (stream,) = schedule.inputs(SPIKES)
    assert stream.shape == (14, 3)
    assert stream[:, 2].tolist() == [1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0]
    assert np.array_equal(stream[[2, 3, 4, 7, 8, 9], :2].reshape(2, 3, 2), SPIKES)
    assert not stream[[0, 1, 5, 6, 10, 11, 12, 13], :2].any()
    # A population that is late by 4 and copies its input answers in the steps that are read.
    late = np.roll(stream, 4, axis=0)
    assert np.array_equal(schedule.answers([late], 4)[..., :2], SPIKES)


def test_each_sample_in_a_run_of_its_own():
    schedule = Schedule(samples=2, steps=3, latency=1, gap=None)
    assert (schedule.runs, schedule.length) == (2, 4)
    assert schedule.reset_interval > schedule.length
    streams = schedule.inputs(SPIKES)
    assert [stream.shape for stream in streams] == [(4, 2), (4, 2)]
    assert np.array_equal(schedule.answers([np.roll(stream, 1, axis=0) for stream in streams], 1), SPIKES)


def test_a_space_lies_in_lavas_order():
    shape = lava_shape((2, 3, 4), in_space=True)
    assert shape == (4, 3, 2)
    ours = np.arange(24).reshape(1, 24)
    assert to_lava(ours, shape)[0, 3, 1, 1] == ours.reshape(2, 3, 4)[1, 1, 3]
    assert np.array_equal(from_lava(to_lava(ours, shape), shape), ours)
    assert lava_shape((2, 3, 4), in_space=False) == (24,)
    assert np.array_equal(our_index((24,)), np.arange(24))
