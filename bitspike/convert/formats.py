"""The file formats of a network, by name and by the ending of a file's name."""

import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from bitspike.convert.imported import Imported
from bitspike.convert.network import IntegerNetwork
from bitspike.errors import UsageError
from bitspike.files import existing_file


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """A format: its module has a writer and a reader, both called with a path.

    Attributes:
        name: as ``--format`` takes it.
        summary: who reads such files.
        endings: of file names; the first is the one that is suggested.
        module, writer, reader: where the functions are.
        importer: the function that reads other tools' files too and says what they leave open; empty where the reader
            does all there is.
        options: what `reader` and `importer` take beside the path.
    """

    name: str
    summary: str
    endings: tuple[str, ...]
    module: str
    writer: str = "write"
    reader: str = "read"
    importer: str = ""
    options: tuple[str, ...] = ()


FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        Format(
            name="safetensors", summary="our own file", endings=(".safetensors",), module="bitspike.convert.store",
            writer="save", reader="load",
        ),
        Format(name="nir", summary="any reader of NIR", endings=(".nir",), module="bitspike.convert.nir_file"),
        Format(name="onnx", summary="ONNX Runtime", endings=(".onnx",), module="bitspike.convert.onnx_file"),
        Format(name="netx", summary="lava-dl's NetX", endings=(".net", ".h5", ".hdf5"),
               module="bitspike.convert.netx_file", importer="import_file", options=("steps", "input_shape")),
    )
}  # fmt: skip


def format_of(path: str | os.PathLike[str], name: str | None = None) -> Format:
    """The format called `name`, or else the one that the ending of `path` says.

    Raises:
        UsageError: for an unknown name or ending, with those that exist.
    """
    if name is not None:
        if name not in FORMATS:
            raise UsageError(f"format {name!r}; expected one of {', '.join(FORMATS)}")
        return FORMATS[name]
    ending = Path(path).suffix.lower()
    for form in FORMATS.values():
        if ending in form.endings:
            return form
    known = ", ".join(e for form in FORMATS.values() for e in form.endings)
    raise UsageError(f"{path}: ending {ending!r} names no format; expected one of {known}, or a format by name")


def export(
    network: IntegerNetwork, path: str | os.PathLike[str], format_name: str | None = None, **options: Any
) -> Format:
    """Write `network` to `path`, read it back, compare for equality; the file appears only where all of it worked.

    Args:
        network: a legal network.
        path: where to; its ending says the format unless `format_name` does.
        format_name: a name of :data:`FORMATS`.
        options: the writer's: ``form="step"`` for ONNX; ``dt`` in seconds, ``portable``, ``encode_soft_reset`` for NIR.

    Raises:
        UnsupportedError: where the format cannot say something that the network has.
    """
    form = format_of(path, format_name)
    getattr(import_module(form.module), form.writer)(network, path, **options)
    return form


def load(path: str | os.PathLike[str], format_name: str | None = None, **options: Any) -> IntegerNetwork:
    """Read a network from any of our formats; arguments and errors as for :func:`import_file`."""
    return import_file(path, format_name, **options).network


def import_file(path: str | os.PathLike[str], format_name: str | None = None, **options: Any) -> Imported:
    """Read a network that we or another tool wrote, and tell what the file leaves open.

    Args:
        path: of the file; its ending says the format unless `format_name` does.
        format_name: a name of :data:`FORMATS`.
        options: of the format's reader: ``steps`` and ``input_shape`` for lava-dl's own NetX files.

    Raises:
        UsageError: for an option that the format does not have.
        FileError: in one line, for a file that is missing, damaged, or not what its format is.
    """
    existing_file(path)
    form = format_of(path, format_name)
    for option in options:
        if option not in form.options:
            raise UsageError(f"{option}: format {form.name} takes no such option")
    module = import_module(form.module)
    if form.importer:
        imported: Imported = getattr(module, form.importer)(path, **options)
        return imported
    return Imported(network=getattr(module, form.reader)(path, **options))
