"""Run by a test in a process of its own: lava-dl's training library builds a network, runs it and exports it.

``python lavadl_slayer.py FOLDER KIND ...`` writes ``KIND.net``, and ``KIND.npz`` with the input ``x`` and what each
block gave, (samples, ..., steps).
"""

import sys
import types
from pathlib import Path

import h5py
import numpy as np

from bitspike.targets.lava.repair import import_lava

import_lava()
# A part of it that needs OpenCV and torchvision, and that nothing here uses.
sys.modules["lava.lib.dl.slayer.object_detection"] = types.ModuleType("object_detection")

import torch  # noqa: E402
from lava.lib.dl import slayer  # noqa: E402

NEURON = {"threshold": 0.5, "current_decay": 0.4, "voltage_decay": 0.2, "requires_grad": False}


def blocks(kind):
    """The blocks and the shape of their input."""
    make = slayer.block.cuba
    late = {"delay_shift": False}
    if kind == "conv":
        at_once = NEURON | {"current_decay": 1.0}
        return [
            make.Input(at_once, weight=0.5, bias=0.1, **late),
            make.Conv(NEURON, 2, 4, 3, padding=1, weight_scale=3, **late),
            make.Pool(NEURON, 2, weight_scale=0.5, **late),
            make.Conv(NEURON, 4, 4, (3, 2), stride=(1, 2), groups=2, weight_scale=5, **late),
            make.Flatten(),
            make.Dense(NEURON, 16, 5, weight_scale=4, **late),
        ], (2, 8, 8)
    if kind == "recurrent":
        return [
            make.Recurrent(NEURON, 6, 5, weight_scale=3, **late),
            make.Dense(NEURON, 5, 5, weight_scale=4, delay=True, **late),
            make.Affine(NEURON, 5, 3, weight_scale=3),
        ], (6,)
    return [make.KWTA(NEURON, 6, 7, 2, **late)], (6,)


def forget(block):
    """Clear what a block keeps from the run before, and give it delays where it has any."""
    if getattr(block, "delay", None) is not None:
        block.delay.delay.data = torch.randint(0, 5, block.delay.delay.shape).float()
    if hasattr(block, "spike_state"):
        block.spike_state = torch.zeros(1)
    # A recurrent block makes the neurons of the blocks after it persistent, too: they share their parameters.
    if hasattr(block, "neuron"):
        block.neuron.current_state = torch.zeros(1)
        block.neuron.voltage_state = torch.zeros(1)


def run(chain, x):
    """What each block gives."""
    outputs = {}
    for index, block in enumerate(chain):
        x = block(x)
        outputs[f"y{index}"] = x.detach().numpy()
    return outputs


def main(kind, folder):
    """Build, run and export."""
    torch.manual_seed(0)
    chain, shape = blocks(kind)
    x = (torch.rand(3, *shape, 20) < 0.4).float()
    run(chain, x)  # which is what gives shapes to the blocks
    for block in chain:
        forget(block)
    outputs = run(chain, x)
    with h5py.File(folder / f"{kind}.net", "w") as file:
        for index, block in enumerate(chain):
            block.export_hdf5(file.create_group(f"layer/{index}"))
    np.savez(folder / f"{kind}.npz", x=x.numpy(), **outputs)


if __name__ == "__main__":
    for wanted in sys.argv[2:]:
        main(wanted, Path(sys.argv[1]))
