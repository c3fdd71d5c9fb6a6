"""Small files as lava-dl's own blocks write them: floats that hold integers, 1-d texts, unused sizes."""

import h5py
import numpy as np


def lava_dl_file(path, layers, *, texts=True):
    """Write `layers`, each a dict of entries by path (and ``type``, dense by default), in this order."""

    def text(value):
        return np.array([value.encode()]) if texts else value

    with h5py.File(path, "w") as file:
        for index, layer in enumerate(layers):
            group = file.create_group(f"layer/{index}")
            group["type"] = text(layer.get("type", "dense"))
            for key, value in layer.items():
                if key != "type" and value is not None:
                    group[key] = text(value) if isinstance(value, str) else value
    return path


def neuron(**changes):
    """The entries of a CUBA neuron."""
    found = {"type": "CUBA", "iDecay": 1024, "vDecay": 128, "vThMant": 80, "refDelay": 1, "gradedSpike": False}
    return {f"neuron/{key}": value for key, value in (found | changes).items()}


def dense_layer(matrix, **changes):
    """A dense layer of `matrix`, (targets, sources)."""
    weight = np.array(matrix)
    sizes = {"shape": np.array([len(weight)]), "inFeatures": weight.shape[1], "outFeatures": len(weight)}
    return {"weight": weight.astype("f4")} | sizes | neuron() | changes


def conv_layer(kernels, shape, **changes):
    """A convolution of `kernels`, (channels, sources, height, width), whose neurons are in `shape`."""
    found = {
        "type": "conv", "shape": np.array(shape), "weight": np.array(kernels, "f4"), "stride": np.array([1, 1]),
        "padding": np.array([0, 0]), "dilation": np.array([1, 1]), "groups": 1, "kernelSize": np.array([1, 1]),
        "inChannels": 1, "outChannels": 1,
    }  # fmt: skip
    return found | neuron() | changes


def input_layer(*shape, **changes):
    """An input; without changes one without neurons."""
    return {"type": "input", "shape": np.array(shape)} | changes
