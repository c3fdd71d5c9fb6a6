"""snnTorch models as float networks: the spikes of every class and convention, and every refusal by its line."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import bitspike
from bitspike.convert.snntorch_model import trace_snntorch
from bitspike.errors import BitspikeError, DivergenceError, UnsupportedError, UsageError
from bitspike.sim.floating import simulate_float

snn = pytest.importorskip("snntorch", reason="snnTorch is not installed")
from snntorch_support import CLASSES, COMBINATIONS, STEPS, Explicit, dyadic, neurons  # noqa: E402


def same_spikes(traced):
    """Spikes of the model; raises where one differs from the float engine's."""
    record = simulate_float(traced.network, traced.inputs, record=list(traced.spikes), dtype="float32")
    for label, spikes in traced.spikes.items():
        assert np.array_equal(record.traces[label].spikes, spikes), label
    return {label: int(spikes.sum()) for label, spikes in traced.spikes.items()}


@pytest.mark.parametrize(("kind", "reset", "late"), COMBINATIONS)
def test_every_class_reset_and_delay_gives_the_models_own_spikes(kind, reset, late):
    model = dyadic(Explicit(kind, reset_mechanism=reset, reset_delay=late))
    counts = same_spikes(trace_snntorch(model, (STEPS, 32, 6)))
    assert min(counts.values()) > 50


def test_conventions_differ_where_the_classes_do():
    read = {}
    for kind in CLASSES:
        model = dyadic(Explicit(kind, reset_mechanism="zero"))
        read[kind] = trace_snntorch(model, (STEPS, 2, 6)).network.node("lif1")
    assert [read[kind].reset_swallows for kind in CLASSES] == [False, True, True, True]
    held = trace_snntorch(Explicit(reset_delay=False), (STEPS, 2, 6)).network.node("lif1")
    assert held.residual_held
    assert not held.reset_late


def sequential(**settings):
    """The form with hidden states."""
    hidden = {"beta": 0.5, "threshold": 0.5, "init_hidden": True, **settings}
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), snn.Leaky(**hidden), nn.AvgPool2d(2), nn.Dropout(0.5),
        nn.Flatten(), nn.Linear(36, 5), nn.Identity(), snn.Synaptic(alpha=0.5, **hidden, output=True),
    )  # fmt: skip


def test_sequential_with_hidden_states():
    model = sequential().train()
    traced = trace_snntorch(model, (3, 2, 6, 6))
    assert [node.kind for node in traced.network.nodes] == [
        "input",
        "conv",
        "conv",
        "neurons",
        "pool",
        "affine",
        "neurons",
    ]
    assert traced.network.inputs[0].shape == (2, 6, 6)
    assert traced.network.outputs == ("synaptic8",)
    assert any("statistics" in note for note in traced.network.notes)
    assert all(module.training for module in model.modules())
    counts = same_spikes(trace_snntorch(dyadic(sequential()), (3, 2, 6, 6)))
    assert min(counts.values()) > 0


class Step(nn.Module):
    """One step; the states are handed in and out."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(6, 8)
        self.lif1 = neurons("RSynaptic", 8)
        self.lif2 = snn.RLeaky(beta=0.5, threshold=0.5, all_to_all=False, V=torch.linspace(-0.5, 0.5, 8))

    def forward(self, x, spk1, syn1, mem1, spk2, mem2):  # noqa: PLR0917
        spk1, syn1, mem1 = self.lif1(self.fc1(x), spk1, syn1, mem1)
        spk2, mem2 = self.lif2(spk1 * 0.5, spk2, mem2)
        return spk1, syn1, mem1, spk2, mem2


def test_a_module_of_one_step():
    traced = trace_snntorch(dyadic(Step()), (16, 6))
    assert traced.inputs.shape == (16, 4, 6)
    assert traced.network.outputs == ("lif2",)
    assert min(same_spikes(traced).values()) > 0


class Skipping(Explicit):
    """A skip connection, a loop from the second population to the first, views, and a gain."""

    def __init__(self, order="time"):
        super().__init__()
        self.order = order
        self.back = nn.Linear(12, 12, bias=False)

    def forward(self, x):
        mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        steps = x.shape[1] if self.order == "batch" else x.shape[-1] if self.order == "last" else len(x)
        recorded = torch.zeros(steps, 4, 12)
        spk2 = None
        for step in range(steps):
            now = x[:, step] if self.order == "batch" else x[..., step] if self.order == "last" else x[step]
            cur1 = self.fc1(now.view(4, -1))
            if spk2 is not None:
                cur1 = cur1 + self.back(spk2)
            spk1, mem1 = self.lif1(cur1, mem1)
            cur2 = self.fc2(spk1) - 0.5 * spk1
            cur2 += 2 * spk1
            spk2, mem2 = self.lif2(cur2, mem2)
            recorded[step] = spk2
        return recorded.sum(0)


@pytest.mark.parametrize(
    ("order", "shape"), [("time", (STEPS, 4, 2, 3)), ("batch", (4, STEPS, 2, 3)), ("last", (4, 2, 3, STEPS))]
)
def test_skips_loops_views_and_any_axis_of_time(order, shape):
    traced = trace_snntorch(dyadic(Skipping(order)), shape)
    delays = {(edge.source, edge.target): edge.delay for edge in traced.network.edges}
    assert delays["lif2", "back"] == 1
    assert delays["lif1", "fc2"] == 0
    assert traced.inputs.shape == (4, STEPS, 6)
    assert min(same_spikes(traced).values()) > 0


class Static(Explicit):
    """A layer before the loop, the same sample in every step, and a layer behind the last neurons."""

    def __init__(self):
        super().__init__(threshold=0.5)
        self.out = nn.Linear(12, 3)

    def forward(self, x):
        mem1 = self.lif1.init_leaky()
        cur1, total = self.fc1(x), 0.0
        for _ in range(5):
            spk1, mem1 = self.lif1(cur1, mem1)
            total = total + self.out(spk1)
        return total


def test_static_samples_and_a_last_layer_without_neurons():
    traced = trace_snntorch(dyadic(Static()), (4, 6))
    assert traced.inputs.shape == (4, 5, 6)
    assert np.array_equal(traced.inputs[:, 0], traced.inputs[:, 4])
    assert any("same sample" in note for note in traced.network.notes)
    assert not traced.network.node("readout").spiking
    record = simulate_float(traced.network, traced.inputs, dtype="float32")
    model = dyadic(Static())
    with torch.no_grad():
        logits = model(torch.as_tensor(traced.inputs[:, 0], dtype=torch.float32)).numpy()
    assert np.array_equal(record.output[:, -1], logits)


def test_a_membrane_that_nothing_resets_is_a_readout():
    class Membrane(Explicit):
        def forward(self, x):
            mem1, recorded = self.lif1.reset_mem(), []
            for now in x:
                _, mem1 = self.lif1(self.fc1(now), mem1)
                recorded.append(mem1)
            return torch.stack(recorded)

    assert not trace_snntorch(Membrane(reset_mechanism="none"), (4, 2, 6)).network.node("lif1").spiking
    with pytest.raises(UnsupportedError, match="returns its membrane, and it spikes and resets"):
        trace_snntorch(Membrane(), (4, 2, 6))


def test_learned_and_vector_parameters():
    beta, threshold = torch.linspace(0.25, 1.5, 12), torch.linspace(0.5, 1.0, 12)
    model = dyadic(Explicit(beta=beta, threshold=threshold, learn_beta=True, learn_threshold=True))
    node = trace_snntorch(model, (STEPS, 4, 6)).network.node("lif1")
    assert node.beta.max() == 1  # snnTorch clamps
    assert np.array_equal(node.threshold, threshold.double().numpy())


def test_from_snntorch_says_how_many_spikes_differ():
    network = bitspike.from_snntorch(dyadic(Explicit()), (STEPS, 4, 6), name="mine")
    assert network.name == "mine"
    assert "0 of" in network.notes[-1]


def test_from_snntorch_refuses_what_was_misread(monkeypatch):
    from bitspike.convert import snntorch_model

    real = snntorch_model.read_neurons

    def wrong(*args, **named):
        return replace(real(*args, **named), threshold=9.0)

    monkeypatch.setattr(snntorch_model, "read_neurons", wrong)
    with pytest.raises(DivergenceError, match="spike in the model and not in what was read"):
        bitspike.from_snntorch(dyadic(Explicit()), (STEPS, 4, 6))


def body(function):
    """A model whose step is `function(model, x, step)`; returns spikes and their sum."""

    class Model(Explicit):
        def forward(self, x):
            self.lif1.reset_mem(), self.lif2.reset_mem()
            return torch.stack([function(self, x[step], step) for step in range(len(x))])

    return Model(init_hidden=True)


def test_models_that_differ_from_step_to_step_are_refused():
    def gain(model, x, step):
        return model.lif1(model.fc1(x) * (1.0 + step))

    with pytest.raises(UnsupportedError, match="lif1: step 0 computes factor"):
        trace_snntorch(body(gain), (4, 2, 6))

    def layer(model, x, step):
        return model.lif1(model.fc1(x) if step else model.fc1(x) + model.fc1(x))

    with pytest.raises(UnsupportedError, match=r"step 0 computes fc1\(sample\) \+ fc1\(sample\), the last step fc1"):
        trace_snntorch(body(layer), (4, 2, 6))


REFUSED = {
    "relu": (lambda m, x, t: m.lif1(functional.relu(m.fc1(x))), "function 'relu' between"),
    "max_pool": (lambda m, x, t: m.lif1(functional.max_pool1d(m.fc1(x), 1)), "a maximum, is no sum of spikes"),
    "stack": (
        lambda m, x, t: m.lif2(m.fc2(torch.cat([m.lif1(m.fc1(x))[:, :6], x], 1))),
        "different origin side by side",
    ),
    "product": (lambda m, x, t: m.lif2(m.lif1(m.fc1(x)) * m.fc1(x)), "function 'mul' between"),
    "constant": (lambda m, x, t: m.lif1(m.fc1(x) + 1), r"function '\+' between"),
    "slice": (lambda m, x, t: m.lif1(m.fc1(torch.cat([x[:, 3:], x[:, :3]], 1))), "a part of the sample"),
    "noise": (lambda m, x, t: m.lif1(torch.rand(2, 12)), "does not come from the sample"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_lies_between_modules_and_is_not_linear_is_refused(name):
    function, line = REFUSED[name]
    with pytest.raises(UnsupportedError, match=line):
        trace_snntorch(body(function), (4, 2, 6))


SETTINGS = {
    "inhibition": ({"inhibition": True}, "inhibition=True"),
    "graded": ({"graded_spikes_factor": 2.0}, "graded_spikes_factor 2"),
    "threshold": ({"threshold": -1.0}, "a threshold of -1"),
    "shape": ({"beta": torch.rand(2, 12)}, "beta of shape"),
    "spike": ({"spike_grad": torch.sigmoid}, "expected a step"),
    "quant": ({"state_quant": lambda x: x}, "state_quant"),
}


@pytest.mark.filterwarnings("ignore:Inhibition is an unstable feature")
@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_no_chip_has_are_refused(name):
    settings, line = SETTINGS[name]
    with pytest.raises(BitspikeError, match=line):
        trace_snntorch(body(lambda m, x, t: m.lif1(m.fc1(x))).__class__(init_hidden=True, **settings), (4, 2, 6))


def test_a_normalisation_of_each_step_is_refused():
    class Timed(Explicit):
        def __init__(self):
            super().__init__()
            self.norm = snn.BatchNormTT1d(12, 4)

        def forward(self, x):
            mem, recorded = self.lif1.reset_mem(), []
            for step in range(4):
                spikes, mem = self.lif1(self.norm[step](self.fc1(x[step])), mem)
                recorded.append(spikes)
            return torch.stack(recorded)

    with pytest.raises(UnsupportedError, match=r"step 0 computes norm_0\(fc1\(sample\)\), the last step norm_3"):
        trace_snntorch(Timed(), (4, 2, 6))


def test_maximum_pooling_is_refused_with_what_to_use_instead():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), snn.Leaky(beta=0.5, init_hidden=True))
    with pytest.raises(UnsupportedError, match="max_pool2d, a maximum, is no sum of spikes; expected AvgPool2d"):
        trace_snntorch(model, (2, 1, 6, 6))


def test_other_classes_and_overrides_are_refused():
    class Mine(snn.Leaky):
        def _base_state_function(self, input_):
            return input_

    for module, line in (
        (snn.Alpha(alpha=0.9, beta=0.5, init_hidden=True), "neurons of class Alpha"),
        (snn.Lapicque(beta=0.5, init_hidden=True), "neurons of class Lapicque"),
        (snn.LeakyParallel(4, 4), "neurons of class LeakyParallel"),
        (Mine(beta=0.5, init_hidden=True), "has a _base_state_function of its own"),
    ):
        with pytest.raises(UnsupportedError, match=line):
            trace_snntorch(nn.Sequential(nn.Linear(4, 4), module), (2, 4))
    changed = snn.Leaky(beta=0.5, init_hidden=True)
    changed.reset_mechanism = "zero"
    with pytest.raises(UnsupportedError, match="was set after the module was made"):
        trace_snntorch(nn.Sequential(nn.Linear(4, 4), changed), (2, 4))
    hooked = nn.Sequential(nn.Linear(4, 4), snn.Leaky(beta=0.5, init_hidden=True))
    hooked[1].register_forward_hook(lambda *_: None)
    with pytest.raises(UnsupportedError, match="a forward hook"):
        trace_snntorch(hooked, (2, 4))


def test_states_that_are_changed_between_steps_are_refused():
    class Cleared(Explicit):
        def forward(self, x):
            return torch.stack([self.lif1(self.fc1(now), torch.zeros(2, 12))[0] for now in x])

    with pytest.raises(UnsupportedError, match="step 1: its state mem is not what the module left"):
        trace_snntorch(Cleared(), (4, 2, 6))

    def damped(model, x, step):
        model.lif1.mem = model.lif1.mem * 0.5
        return model.lif1(model.fc1(x))

    with pytest.raises(UnsupportedError, match="was changed from outside"):
        trace_snntorch(body(damped), (4, 2, 6))


def test_a_population_that_is_called_twice_a_step_is_refused():
    def twice(model, x, step):
        return model.lif2(model.fc2(model.lif1(model.fc2(model.lif1(model.fc1(x))))))

    with pytest.raises(UnsupportedError, match="lif1 8, lif2 4; expected one of each"):
        trace_snntorch(body(twice), (4, 2, 6))


def test_mistakes_of_the_caller_are_told_in_one_line():
    for model, sample, line in (
        (Explicit(), (4, 2, 7), "fails on a sample of shape"),
        (Explicit(), (0, 2), "expected a batch"),
        (Explicit(), 3, "expected a tensor or a shape"),
        (nn.Linear(2, 2), (2, 2), "no snnTorch neuron was called"),
        (None, (2, 2), "expected a torch module"),
    ):
        with pytest.raises(UsageError, match=line) as caught:
            trace_snntorch(model, sample)
        assert "\n" not in str(caught.value)


def test_the_model_is_left_as_it_was():
    model = Explicit()
    sample = torch.rand(STEPS, 3, 6)
    before = model(sample)
    states = model.lif1.mem.clone()
    trace_snntorch(model, sample)
    assert torch.equal(model.lif1.mem, states)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch.equal(model(sample), before)
