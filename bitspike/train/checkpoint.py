"""Checkpoints: everything that the next epoch needs, in one safetensors file.

Format ``bitspike-checkpoint``, version 1. Tensors, all float32: ``NAME.natural``, ``NAME.bias`` and
``NAME.recurrent`` of each layer that has them, and for each trained parameter P the state of Adam, ``P.exp_avg`` and
``P.exp_avg_sq``; rules whose steps are plain have no such state. The configuration holds ``epoch``,
the epochs done, and ``updates``, the updates done.
"""

import os

import numpy as np
import torch

from bitspike.errors import FileError
from bitspike.train.loop import Trainer
from bitspike.train.tensorfile import Tensors, no_more, read_tensors, take_tensor, write_tensors

CHECKPOINT_FILE = "checkpoint.safetensors"
_FORM, _VERSION = "bitspike-checkpoint", 1


def _parameters(trainer: Trainer) -> dict[str, torch.nn.Parameter]:
    return {
        f"{layer.name}.{name}": parameter
        for layer in trainer.model.populations
        for name, parameter in layer.named_parameters()
    }


def save_checkpoint(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """Write the state of a trainer between two epochs, atomically."""
    tensors: Tensors = {}
    for key, parameter in _parameters(trainer).items():
        tensors[key] = parameter.detach().numpy()
        for moment in trainer.moments if parameter.requires_grad else ():
            tensors[f"{key}.{moment}"] = trainer.optimiser.state[parameter][moment].numpy()
    config = {"epoch": trainer.epoch, "updates": trainer.epoch * trainer.updates}
    write_tensors(path, tensors, form=_FORM, version=_VERSION, config=config)


def restore_checkpoint(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """Set the state of a trainer of the same recipe; training then goes on bit for bit.

    Raises:
        FileError: a missing, damaged or foreign file, or one of another network. The trainer is then as it was.
    """
    config, tensors = read_tensors(path, form=_FORM, version=_VERSION)
    epoch, updates = config.get("epoch"), config.get("updates")
    if not isinstance(epoch, int) or not 1 <= epoch <= trainer.recipe.training.epochs:
        raise FileError(path, f"has epoch {epoch!r}; expected 1 to {trainer.recipe.training.epochs}")
    if updates != epoch * trainer.updates:
        raise FileError(path, f"has {updates!r} updates; expected {epoch * trainer.updates}")
    values: dict[str, torch.Tensor] = {}
    for key, parameter in _parameters(trainer).items():
        for name in (key, *(f"{key}.{moment}" for moment in trainer.moments if parameter.requires_grad)):
            found = take_tensor(path, tensors, name, shape=tuple(parameter.shape), dtype=np.float32)
            values[name] = torch.from_numpy(found)
    no_more(path, tensors)
    with torch.no_grad():
        for key, parameter in _parameters(trainer).items():
            parameter.copy_(values[key])
            if parameter.requires_grad and trainer.moments:
                state = {moment: values[f"{key}.{moment}"] for moment in trainer.moments}
                trainer.optimiser.state[parameter] = {"step": torch.tensor(float(updates)), **state}
    trainer.epoch = epoch
