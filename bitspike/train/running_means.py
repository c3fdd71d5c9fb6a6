"""Running means of parameters over the updates of a finish, kept in the optimiser's state, and so in a checkpoint."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch

MEAN = "mean"
"""Name of a parameter's running mean in the optimiser's state of it."""


def follow(optimiser: torch.optim.Optimizer, parameters: Iterable[torch.nn.Parameter], *, share: float) -> None:
    """Take the parameters' values into their means.

    Args:
        optimiser: has a state of each parameter; the first value is the first mean.
        parameters: those that have just been updated.
        share: of the new value in the new mean, from 0 to 1.
    """
    with torch.no_grad():
        for parameter in parameters:
            state = optimiser.state[parameter]
            if MEAN in state:
                state[MEAN].lerp_(parameter, share)
            else:
                state[MEAN] = parameter.detach().clone()


@contextmanager
def means_in_place(optimiser: torch.optim.Optimizer, parameters: Iterable[torch.nn.Parameter]) -> Iterator[None]:
    """Let the parameters have their means in this block, and their own values again after it."""
    means = {parameter: optimiser.state[parameter][MEAN] for parameter in parameters}
    before = {parameter: parameter.detach().clone() for parameter in means}
    with torch.no_grad():
        for parameter, value in means.items():
            parameter.copy_(value)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in before.items():
                parameter.copy_(value)
