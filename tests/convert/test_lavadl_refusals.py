"""What the reader of lava-dl's own files refuses: by the name of the layer and of the entry, in one line."""

import h5py
import numpy as np
import pytest
from lavadl_files import conv_layer, dense_layer, input_layer, lava_dl_file, neuron

from bitspike.convert import netx_file
from bitspike.convert.formats import import_file
from bitspike.convert.lavadl.input_neurons import InputNeurons, read_input_neurons
from bitspike.errors import FileError, UsageError

FIRST = [[2, -4, 6], [8, 0, -126]]


def told(path, **options):
    with pytest.raises(FileError) as caught:
        netx_file.read(path, **options)
    assert "\n" not in str(caught.value)
    return caught.value.problem


REFUSED = [
    ([dense_layer(FIRST, weight=np.array([[0.5, 1]]))], "layer 0: weight is not integers"),
    ([dense_layer(FIRST, weight=np.array([[np.nan, 1]]))], "layer 0: weight is not integers"),
    # A signalling NaN, which a damaged file can hold and rounding would warn of.
    (
        [dense_layer(FIRST, weight=np.array([[0x7F800001, 0]], np.uint32).view(np.float32))],
        "layer 0: weight is not integers",
    ),
    ([dense_layer(FIRST, weight=np.array([1, -1, 1]))],
     "layer 0: weight of shape (3,); expected (targets, sources)"),
    ([dense_layer(FIRST, shape=np.array([3]))], "layer 0: shape (3,), and 2 rows of weight; expected as many"),
    ([dense_layer(FIRST, shape=np.array([1 << 30]))], "layer 0: shape (1073741824,); expected 1 to 16777216 neurons"),
    ([dense_layer([[512, 1, 1]])], "layer 0: weights of more than 8 bits and sign; expected -256..255"),
    ([dense_layer(FIRST, type="conv")], "layer 0: weight of shape (2, 3); expected (channels, sources, height, width)"),
    ([dense_layer(FIRST, type="convT")], "layer 0: type 'convT', a transposed convolution; "),
    ([dense_layer(FIRST, type="dense_comp")], "layer 0: type 'dense_comp', complex weights; "),
    ([dense_layer(FIRST, **{"weight": None, "weight/real": np.ones((2, 3)), "weight/imag": np.ones((2, 3))})],
     "layer 0: type 'dense', complex weights; "),
    ([dense_layer(FIRST, type="kwta")], "layer 0: type 'kwta'; expected one of input, flatten, dense, "),
    ([dense_layer(FIRST, **{"neuron/type": "SDNN"})],
     "layer 0: neuron 'SDNN' (sigma-delta neurons, which send graded differences); expected CUBA or LOIHI"),
    ([dense_layer(FIRST, **{"neuron/type": "RF_PHASE"})],
     "layer 0: neuron 'RF_PHASE' (resonate-and-fire neurons); expected CUBA or LOIHI"),
    ([dense_layer(FIRST, **{"neuron/gradedSpike": True})],
     "layer 0: neuron/gradedSpike: graded spikes; expected binary ones"),
    ([dense_layer(FIRST, **{"neuron/refDelay": 5})],
     "layer 0: neuron/refDelay 5: a refractory time; expected 1, which is none"),
    ([dense_layer(FIRST, **{"neuron/wgtExp": 2})],
     "layer 0: neuron/wgtExp: an exponent of weights, which lava-dl's loader leaves out; expected 0"),
    ([dense_layer(FIRST, **{"neuron/weight_exp": np.array([1.0])})],
     "layer 0: neuron/weight_exp: an exponent of weights, which lava-dl's loader leaves out; expected 0"),
    ([dense_layer(FIRST, **{"neuron/vDecay": np.array([1, 2, 3])})],
     "layer 0: neuron/vDecay of 3 numbers; expected one for the layer, or 2"),
    ([dense_layer([[2]] * 3, **{"neuron/vDecay": np.array([1, 2, 1])})],
     "the last layer has several kinds of neurons in turn; expected those of a kind one after the other"),
    ([dense_layer(FIRST, **{"neuron/vDecay": 5000})], "population layer1: dv 5000; expected 0..4096"),
    ([dense_layer(FIRST, **{"neuron/vThMant": -1})], "population layer1: vth -1; expected 0..131071"),
    ([dense_layer(FIRST, **{"neuron/period": 2})],
     "layer 0: neuron/period is unknown; a reader that left it out could run another network"),
    ([dense_layer(FIRST, delay=np.array([0, 63]))], "layer 0: delays 0..63; expected 0..62"),
    ([dense_layer(FIRST, delay=np.array([0.5, 1.0]))], "layer 0: delay is not integers"),
    ([dense_layer(FIRST, delay=np.array([1, 2, 3, 4]))],
     "layer 0: delay of shape (4,); expected one number, 2 or 3"),
    ([dense_layer(FIRST, delay=np.array([0, 3]), bias=np.array([1, 0]))],
     "layer 0: delays and biases; lava-dl's training delays the spikes, its loader the input, and with a bias the two "
     "differ"),
    ([dense_layer([[2, 3], [4, 5]], type="dense_rec", weight_rec=np.ones((2, 2)), delay=np.array([0, 3]))],
     "layer 0: delays of a recurrent layer, which lava-dl's loader gives to both of its matrices and its training to "
     "the spikes; expected none"),
    ([dense_layer(FIRST, type="dense_rec")], "layer 0 has no weight_rec"),
    ([dense_layer(FIRST, type="dense_rec", weight_rec=np.ones((2, 3)))],
     "layer 0: weight_rec of shape (2, 3); expected (2, 2)"),
    ([dense_layer(FIRST, bias=np.ones(3))], "layer 0: bias of shape (3,); expected one for each of 2 channels"),
    ([input_layer(3, 0), dense_layer(FIRST)], "layer 0: shape (3, 0); expected 1 to 16777216 neurons"),
    ([input_layer(3, weight=36.0), dense_layer(FIRST)], "layer 0: weight is unknown"),
    ([input_layer(3, **neuron(type="SDNN")), dense_layer(FIRST)], "layer 0: neuron 'SDNN' (sigma-delta"),
    ([input_layer(3, **neuron()), dense_layer(FIRST)],
     "layer 0: input neurons with iDecay 1024; lava-dl's training drives the current and its loader the membrane, "
     "which is the same for 4096 only"),
    ([dense_layer(FIRST), input_layer(2)], "layer 1: an input; expected it as layer 0"),
    ([input_layer(3)], "has no layer of neurons"),
    ([{"shape": np.array([3])}], "layer 0 has no weight"),
    ([dense_layer(FIRST), dense_layer([[1, 2, -3]])], "layer 1: weight of shape (1, 3); expected (targets, 2)"),
    ([conv_layer(np.ones((2, 1, 2, 2)), (2, 3, 3))], "layer 0: conv without an input before it; give input_shape"),
    ([input_layer(4), conv_layer(np.ones((2, 1, 2, 2)), (2, 3, 3))],
     "layer 1: conv after a shape (4,); expected three dimensions"),
    ([input_layer(1, 4, 4), conv_layer(np.ones((2, 1, 2, 2)), (2, 4, 4))],
     "layer 1: shape (2, 4, 4); its windows on (1, 4, 4) give (2, 3, 3)"),
    ([input_layer(1, 4, 4), conv_layer(np.ones((2, 2, 2, 2)), (2, 3, 3))],
     "layer 1: kernels (2, 2, 2, 2) in 1 groups on 1 channels; expected the channels of a group in each"),
    ([input_layer(1, 4, 4), conv_layer(np.ones((2, 1, 2, 2)), (2, 3, 3), stride=np.array([0, 1]))],
     "layer 1: Geometry(stride=(0, 1), padding=(0, 0), dilation=(1, 1), groups=1); expected stride and dilation from "),
    ([input_layer(1, 4, 4), conv_layer(np.ones((2, 1, 2, 2)), (2, 3, 3), delay=np.array([1, 0]))],
     "layer 1: delays of a convolution, which lava-dl's loader leaves out; expected none"),
    ([input_layer(1, 4, 4), conv_layer(np.ones((2, 1, 2, 2)), (2, 3, 3)), dense_layer([[1] * 18])],
     "layer 2: dense after a layer of shape (2, 3, 3); expected a flatten between"),
    ([input_layer(1, 5, 5),
      {"type": "pool", "shape": np.array([1, 3, 3]), "weight": np.ones((1, 1, 2, 2)), "stride": 2} | neuron()],
     "layer 1: shape (1, 3, 3); its windows on (1, 5, 5) give (1, 2, 2)"),
    ([dense_layer(FIRST), {"type": "average", "shape": np.array([3])}],
     "layer 1: an average of 3 groups; expected a divisor of the neurons before"),
]  # fmt: skip


@pytest.mark.parametrize(("layers", "expected"), REFUSED)
def test_what_is_refused(tmp_path, layers, expected):
    assert told(lava_dl_file(tmp_path / "a.net", layers), steps=5).startswith(expected)


def test_a_layer_that_lava_dl_wrote_nothing_of(tmp_path):
    path = lava_dl_file(tmp_path / "a.net", [dense_layer(FIRST), dense_layer([[1, 2]])])
    with h5py.File(path, "a") as file:
        del file["layer/0"]
        file.create_group("layer/0")
    assert told(path, steps=2) == "layer 0 has no entries (lava-dl writes none of KWTA); found layer 1"


def test_a_window_is_needed(tmp_path):
    path = lava_dl_file(tmp_path / "a.net", [dense_layer(FIRST)])
    assert told(path) == "is lava-dl's own NetX file, which says no window; give steps"
    assert told(path, steps=0) == "network netx: steps 0; expected 1..1048576"
    with pytest.raises(UsageError, match="dt: format netx takes no such option"):
        import_file(path, dt=1)
    with h5py.File(path, "a") as file:
        file["simulation/Ts"], file["simulation/tSample"] = 3, 64
    assert told(path) == "simulation: 64 in steps of 3 is no window; give steps"


def test_input_neurons_refuse(tmp_path):
    neurons = InputNeurons(shape=(2,), weight=64, bias=0, dv=0, vth=100)
    for call, expected in [
        (lambda: neurons.drive(np.array([[np.inf, 1]])), "values of type float64; expected finite numbers"),
        (lambda: neurons.drive(np.array(["a"])), "values of type <U1; expected finite numbers"),
        (
            lambda: neurons.spikes(np.array([1, 2]), 4),
            r"drive of shape \(2,\), int64; expected integers \(samples, 2\)",
        ),
        (lambda: neurons.spikes(np.array([[0.5, 2]]), 4), r"drive of shape \(1, 2\), float64; expected integers"),
        (lambda: neurons.spikes(np.array([[5000, 2]]), 4), "drive 2..5000; the bias of a neuron holds -4096..4095"),
        (lambda: neurons.spikes(np.array([[1, 2]]), 0), "steps 0; expected 1..1048576"),
        (lambda: neurons.spikes(np.array([[-4096, 2]]), 40), "a membrane leaves its 24 bits at step 31; "),
    ]:
        with pytest.raises(UsageError, match=expected):
            call()
    with pytest.raises(FileError, match="its first layer is not an input with neurons"):
        read_input_neurons(lava_dl_file(tmp_path / "a.net", [dense_layer(FIRST)]))
