"""The repair that lets Lava 0.10 be imported by Python 3.11 and later, lava-dl 0.6 without torch, both with numpy 2.4.

Lava's ``lava.magma.compiler.var_model`` declares dataclasses whose fields default to instances of other dataclasses.
Since Python 3.11 such a default must be hashable, and that is all that keeps Lava from being imported. The module is
imported here once, with those classes made hashable; nothing that is installed is changed. Its reshaping ports use an
argument that numpy 2.4 no longer has, and are given another way to reshape.
"""

import dataclasses
import importlib
import multiprocessing
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import Any

from bitspike.errors import MissingDependencyError, UnsupportedError

INSTALL = "bitspike doctor --install lava"
#: The one module of Lava 0.10 that Python 3.11 refuses.
BROKEN = "lava.magma.compiler.var_model"
#: Its import sets how this whole Python process starts others, and fails where that is settled.
_START_METHOD = "lava.magma.runtime.message_infrastructure.multiprocessing"
_NETX = "lava.lib.dl.netx"
_SLAYER = "lava.lib.dl.slayer"


def has_lava() -> bool:
    """Whether lava-nc is installed; found, not imported."""
    return _found("lava.magma.core.process.process")


def has_lava_dl() -> bool:
    """Whether lava-dl's network reader is installed; found, not imported."""
    return _found(_NETX)


def require_lava() -> None:
    """Raise MissingDependencyError, with the command to install it, where Lava is not installed."""
    if not has_lava():
        raise MissingDependencyError(f"Lava is not installed; run: {INSTALL}")


def require_lava_dl() -> None:
    """Raise MissingDependencyError, with the command to install it, where lava-dl is not installed."""
    if not has_lava_dl():
        raise MissingDependencyError(f"lava-dl is not installed; run: {INSTALL}")


def import_lava() -> None:
    """Make Lava importable: after this, plain ``from lava... import ...`` works. Repeated calls cost nothing.

    Raises:
        MissingDependencyError: where Lava, or what it needs, is not installed; with the command to install it.
    """
    if _START_METHOD in sys.modules:
        return
    require_lava()
    try:
        with repaired():
            importlib.import_module(BROKEN)
        with _same_start_method():
            importlib.import_module(_START_METHOD)
        _reshape_by_position()
    except ImportError as error:
        missing = error.name or str(error)
        raise MissingDependencyError(f"Lava lacks {missing}; run: {INSTALL}") from None


@contextmanager
def repaired() -> Iterator[None]:
    """Within the block, dataclasses of Lava's one broken module are hashable; every other class is left as it is.

    They get a hash from their fields, as ``unsafe_hash=True`` gives it. ``dataclasses.dataclass`` is replaced for the
    length of the block, so import nothing in other threads meanwhile.
    """
    original = dataclasses.dataclass

    def dataclass(cls: type | None = None, /, **options: Any) -> Any:
        def decorate(decorated: type) -> type:
            if decorated.__module__ == BROKEN:
                options.setdefault("unsafe_hash", True)
            return original(decorated, **options)

        return decorate if cls is None else decorate(cls)

    dataclasses.dataclass = dataclass
    try:
        yield
    finally:
        dataclasses.dataclass = original


@contextmanager
def _same_start_method() -> Iterator[None]:
    """Leave the start method of ``multiprocessing`` as it was, set or not."""
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(None, force=True)
    try:
        yield
    finally:
        multiprocessing.set_start_method(before, force=True)


def import_netx() -> types.ModuleType:
    """lava-dl's own ``lava.lib.dl.netx.hdf5``, imported without torch, matplotlib or OpenCV.

    Its package imports torch only for modules that a network file does not need. They are replaced by empty ones for
    the rest of this process, and torch is not found: Lava's compiler executes every file of the package once more, and
    does without those that fail. So call it in a process of its own: neither torch nor lava-dl's training library
    (slayer) can be imported afterwards.

    Raises:
        MissingDependencyError: where Lava or lava-dl is not installed; with the command to install it.
    """
    import_lava()
    require_lava_dl()
    for name, contents in _stubs().items():
        if name not in sys.modules:
            sys.modules[name] = _stub(name, contents)
    sys.meta_path.insert(0, _WithoutTorch())
    return importlib.import_module(f"{_NETX}.hdf5")


def _reshape_by_position() -> None:
    """Let Lava's reshaping ports work with numpy 2.4.

    They name an argument of ``numpy.reshape`` by a name that it no longer has.
    """
    from lava.magma.core.process.ports.ports import ReshapePort

    def forward(port: Any) -> Callable[[Any], Any]:
        return partial(_reshaped, port.shape)

    def backward(port: Any) -> Callable[[Any], Any]:
        return partial(_reshaped, port.old_shape)

    ReshapePort.get_transform_func_fwd = forward
    ReshapePort.get_transform_func_bwd = backward


def _reshaped(shape: tuple[int, ...], data: Any) -> Any:
    return data.reshape(shape)


def _stubs() -> dict[str, dict[str, Callable[..., Any]]]:
    return {
        f"{_NETX}.sequential_modules": {},
        _SLAYER: {},
        f"{_SLAYER}.neuron": {},
        f"{_SLAYER}.neuron.rf": {"neuron_params": _resonate_and_fire},
    }


def _stub(name: str, contents: dict[str, Callable[..., Any]]) -> types.ModuleType:
    """A module called `name`; Lava's compiler asks every module of a package for its file, so it names one."""
    module = types.ModuleType(name, "Stands in for a part of lava-dl that needs torch.")
    module.__file__ = __file__
    module.__path__ = []
    module.__dict__.update(contents)
    return module


class _WithoutTorch(MetaPathFinder):
    """Finds no torch. (An entry None in ``sys.modules`` would do, but scipy takes any entry for the real one.)"""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002
        if fullname == "torch":
            raise ModuleNotFoundError("torch is left out of this process", name=fullname)
        return None


def _resonate_and_fire(_device: Any) -> dict[str, Any]:
    raise UnsupportedError("the file holds resonate-and-fire neurons; expected CUBA neurons")


def _found(name: str) -> bool:
    """Whether the module is there, and not only the empty folders that an uninstallation leaves behind."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return name in sys.modules
    return name in sys.modules or (spec is not None and spec.origin is not None)
