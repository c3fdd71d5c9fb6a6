"""Training of spiking networks with one-bit weights on the chip's own lattice.

Names load lazily: importing this package, or :mod:`bitspike.train.data`, does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bitspike.train.model import SpikingNetwork
    from bitspike.train.modelfile import load_model
    from bitspike.train.recipe import Recipe, load_recipe
    from bitspike.train.run import Run, fit, load_run

__all__ = ["Recipe", "Run", "SpikingNetwork", "fit", "load_model", "load_recipe", "load_run"]

_HOMES = {
    "Recipe": "recipe",
    "Run": "run",
    "SpikingNetwork": "model",
    "fit": "run",
    "load_model": "modelfile",
    "load_recipe": "recipe",
    "load_run": "run",
}


def __getattr__(name: str) -> object:
    """Import the home of `name` at its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
