"""bitspike: train spiking networks with one-bit weights, put them on a chip, and prove that nothing changed.

The functions here are what the commands do; they load when they are first used, so that ``import bitspike`` is quick
and does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bitspike.api import (
        Committee,
        FloatNetwork,
        collapse,
        encode,
        energy,
        export,
        from_nir,
        from_snntorch,
        import_file,
        lint,
        load,
        load_data,
        load_signals,
        lower,
        optimise,
        portability,
        quantise,
        report,
        simulate,
        verify,
    )
    from bitspike.convert.network import IntegerNetwork
    from bitspike.errors import BitspikeError
    from bitspike.samples import SpikeData

__version__ = "0.1.0"
__all__ = [
    "BitspikeError",
    "Committee",
    "FloatNetwork",
    "IntegerNetwork",
    "SpikeData",
    "collapse",
    "encode",
    "energy",
    "export",
    "from_nir",
    "from_snntorch",
    "import_file",
    "lint",
    "load",
    "load_data",
    "load_signals",
    "lower",
    "optimise",
    "portability",
    "quantise",
    "report",
    "simulate",
    "verify",
]
_ELSEWHERE = {
    "BitspikeError": "bitspike.errors",
    "IntegerNetwork": "bitspike.convert.network",
    "SpikeData": "bitspike.samples",
}


def __getattr__(name: str) -> object:
    """Import a public name at its first use."""
    if name not in __all__:
        raise AttributeError(f"module 'bitspike' has no attribute {name!r}")
    value: object = getattr(import_module(_ELSEWHERE.get(name, "bitspike.api")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
