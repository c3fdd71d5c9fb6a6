"""Checkpoints: everything that the next epoch needs, in one safetensors file.

Format ``bitspike-checkpoint``, version 2. Tensors, all float32: ``NAME.bias`` of each layer that has one, what its
posteriors are made of, named as in a model file, and for each trained parameter P the state of Adam, ``P.exp_avg`` and
``P.exp_avg_sq``, which rules of plain steps do not have, and ``P.mean`` where a running mean is kept; where the recipe
keeps the best epoch and an earlier one was the best, its parameters as ``best.P``.
The configuration holds ``epoch``, the epochs done; ``updates``, the updates done; ``processes``, how many trained, and
``device``, on what kind; ``data``, the SHA-256 of what :attr:`bitspike.train.loop.Trainer.data_digest` says;
``best_epoch``, the best epoch so far, 0 for none; and ``best_accuracy``, its accuracy on the validation part, 0 to 1.
"""

import os
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bitspike.errors import FileError
from bitspike.train.best import Best
from bitspike.train.loop import Trainer
from bitspike.train.running_means import MEAN
from bitspike.train.tensorfile import Tensors, no_more, read_tensors, take_tensor, write_tensors

CHECKPOINT_FILE = "checkpoint.safetensors"
_FORM, _VERSION = "bitspike-checkpoint", 2


def _parameters(trainer: Trainer) -> dict[str, torch.nn.Parameter]:
    found: dict[str, torch.nn.Parameter] = {}
    for layer in trainer.model.populations:
        if layer.bias is not None:
            found[f"{layer.name}.bias"] = layer.bias
        for key, (module, attribute) in layer.stored().items():
            found[f"{layer.name}.{key}"] = getattr(module, attribute)
    return found


def _state_keys(trainer: Trainer) -> dict[str, str]:
    """Return the key of each parameter in the state of the network, by its name in the file."""
    keys = {id(parameter): key for key, parameter in trainer.model.named_parameters()}
    return {name: keys[id(parameter)] for name, parameter in _parameters(trainer).items()}


def save_checkpoint(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """Write the state of a trainer between two epochs, atomically."""
    tensors: Tensors = {}
    for key, parameter in _parameters(trainer).items():
        tensors[key] = parameter.detach().cpu().numpy()
        for moment in trainer.moments(trainer.epoch) if parameter.requires_grad else ():
            tensors[f"{key}.{moment}"] = trainer.optimiser.state[parameter][moment].cpu().numpy()
    best = trainer.best
    if best is not None and best.state and best.epoch < trainer.epoch:
        tensors |= {f"best.{name}": best.state[key].cpu().numpy() for name, key in _state_keys(trainer).items()}
    config = {
        "epoch": trainer.epoch,
        "updates": trainer.epoch * trainer.updates,
        "processes": trainer.processes.count,
        "device": trainer.processes.device.type,
        "data": trainer.data_digest,
        "best_epoch": 0 if best is None else best.epoch,
        "best_accuracy": 0.0 if best is None else best.accuracy,
    }
    write_tensors(path, tensors, form=_FORM, version=_VERSION, config=config)


def restore_checkpoint(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """Set the state of a trainer of the same recipe; training then goes on bit for bit.

    Raises:
        FileError: a missing, damaged or foreign file, or one of another network or of other processes. The trainer is
            then as it was.
    """
    config, tensors = read_tensors(path, form=_FORM, version=_VERSION)
    _check_config(trainer, config, path)
    values: dict[str, Tensor] = {}
    moments = trainer.moments(config["epoch"])
    for key, parameter in _parameters(trainer).items():
        for name in (key, *(f"{key}.{moment}" for moment in moments if parameter.requires_grad)):
            found = take_tensor(path, tensors, name, shape=tuple(parameter.shape), dtype=np.float32)
            values[name] = torch.from_numpy(found).to(parameter.device)
    best = _best(trainer, config, tensors, values, path)
    no_more(path, tensors)
    trainer.epoch = config["epoch"]
    trainer.best = best
    with torch.no_grad():
        for key, parameter in _parameters(trainer).items():
            parameter.copy_(values[key])
            if parameter.requires_grad and moments:
                state = {moment: values[f"{key}.{moment}"] for moment in moments}
                trainer.optimiser.state[parameter] = {
                    "step": torch.tensor(float(trainer.steps)).to(parameter.device),
                    **state,
                }


def _check_config(trainer: Trainer, config: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Raise FileError unless the configuration is one that this trainer could have written."""
    epoch, updates = config.get("epoch"), config.get("updates")
    if not isinstance(epoch, int) or not 1 <= epoch <= trainer.recipe.training.epochs:
        raise FileError(path, f"has epoch {epoch!r}; expected 1 to {trainer.recipe.training.epochs}")
    if updates != epoch * trainer.updates:
        raise FileError(path, f"has {updates!r} updates; expected {epoch * trainer.updates}")
    # Sums in another order, or by other hardware, would differ in their last bits.
    for key, here in (("processes", trainer.processes.count), ("device", trainer.processes.device.type)):
        if config.get(key) != here:
            raise FileError(path, f"was trained with {key} {config.get(key)!r}; found {here!r} to resume it with")
    # Checkpoints of early versions do not say.
    if config.get("data", trainer.data_digest) != trainer.data_digest:
        raise FileError(path, f"was trained on other samples; found {trainer.recipe.data.name} changed since then")
    best_epoch, accuracy = config.get("best_epoch"), config.get("best_accuracy")
    if not isinstance(best_epoch, int) or not 0 <= best_epoch <= epoch:
        raise FileError(path, f"has best_epoch {best_epoch!r}; expected 0 to {epoch}")
    if not isinstance(accuracy, float) or not 0 <= accuracy <= 1:
        raise FileError(path, f"has best_accuracy {accuracy!r}; expected a fraction from 0 to 1")


def _best(
    trainer: Trainer, config: dict[str, Any], tensors: Tensors, values: dict[str, Tensor], path: str | os.PathLike[str]
) -> Best | None:
    """Return the best epoch, its tensors taken from `tensors`, or from the present `values` where it was the last."""
    epoch = config["best_epoch"]
    if epoch == 0:
        return None
    state: dict[str, Tensor] = {}
    if trainer.recipe.training.keep == "best":
        keys = _state_keys(trainer)
        for name, parameter in _parameters(trainer).items():
            # The present network is that of the running means where an epoch keeps them.
            found = values.get(f"{name}.{MEAN}", values[name])
            if epoch < config["epoch"]:
                array = take_tensor(path, tensors, f"best.{name}", shape=tuple(parameter.shape), dtype=np.float32)
                found = torch.from_numpy(array).to(parameter.device)
            state[keys[name]] = found.clone()
    return Best(epoch=epoch, accuracy=config["best_accuracy"], state=state)
