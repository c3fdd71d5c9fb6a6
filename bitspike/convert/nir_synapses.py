"""Connections as NIR nodes: the path from a source's spikes to a target's input.

==============================  ==========================================================================
connection                      nodes on its path
==============================  ==========================================================================
dense                           Linear, or Affine with the target's bias; before it Flatten (start_dim 0)
                                where the source keeps its three dimensions
convolution                     Conv2d, of one group and with a square kernel (:func:`nir_form.square`)
sum pooling                     SumPool2d; where it is dilated, has an exponent, carries a bias or must be
                                portable, a Conv2d with ones (or 2^exponent) on its diagonal
identity                        an edge alone, for weight 1 within a step; Scale; or where it carries a bias
                                or must be portable, Linear or Affine or a 1x1 Conv2d with a diagonal
window between flat ones        Linear or Affine: the matrix that it is
==============================  ==========================================================================

A weight is ``weight * 2^exponent``, as a 32-bit float that holds it. Groups are written as zeros: NIR's reader (1.0.8)
refuses a grouped convolution for its number of channels, SpikingJelly has none. A Delay node of ``delay * dt`` stands
before the others.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.connections import Connection, Conv2d, Dense, Identity, SumPool2d, Windowed
from bitspike.convert.nir_form import NirForm, square
from bitspike.errors import UnsupportedError

if TYPE_CHECKING:
    import nir

Array = npt.NDArray[np.floating[Any]]
#: The most weights of a matrix that stands for a window or a shortcut; 256 MB as 32-bit floats.
MAX_MATRIX = 1 << 26


def synapses(
    c: Connection, form: NirForm, *, source: tuple[int, ...], target: tuple[int, ...], bias: Array | None, delay: int
) -> list[tuple[str, "nir.NIRNode"]]:
    """The nodes on the path of `c`, each with the ending of its name, in order; none for a plain edge.

    Args:
        c: any connection.
        form: the dialect.
        source, target: the shapes in which the ends are written.
        bias: in weight units, of the target's shape; None for none.
        delay: in steps, of the Delay node; 0 for none.

    Raises:
        UnsupportedError: naming a connection that is too large as a matrix.
    """
    import nir

    path: list[tuple[str, Any]] = []
    if delay:
        path.append(("_delay", nir.Delay(np.full(source, delay * form.dt, np.float32))))
    if len(target) == 1 and len(source) == 3:
        path.append(("_flatten", nir.Flatten(np.array(source), start_dim=0, end_dim=-1)))
    node: Any
    match _kind(c, form, flat=len(target) == 1, biased=bias is not None):
        case "edge":
            return path
        case "scale" if isinstance(c, Identity):
            node = nir.Scale(np.full(target, c.weight << c.exponent, np.float32))
        case "pool" if isinstance(c, SumPool2d):
            node = nir.SumPool2d(kernel_size=np.array(c.kernel), stride=np.array(c.stride), padding=np.array(c.padding))
        case "matrix":
            weight = _matrix(c)
            node = nir.Linear(weight) if bias is None else nir.Affine(weight, bias.astype(np.float32))
        case _:
            channels = np.zeros(target[0]) if bias is None else bias.reshape(target[0], -1)[:, 0]
            node = _conv(c, source, channels.astype(np.float32))
    return [*path, ("", node)]


def weights_in_node(c: Connection, form: NirForm, *, flat: bool, biased: bool) -> int:
    """How many weights the node of `c` holds."""
    match _kind(c, form, flat=flat, biased=biased):
        case "matrix":
            return c.shape[0] * c.shape[1]
        case "conv" if isinstance(c, Windowed):
            return c.target_channels * c.source_shape[0] * max(c.window) ** 2
    return 0


def _kind(c: Connection, form: NirForm, *, flat: bool, biased: bool) -> str:
    """Which row of the table above a connection is in; a target that is not `flat` has a source that is not."""
    if isinstance(c, Identity) and not biased:
        if c.weight << c.exponent == 1 and c.delay == 0:
            return "edge"
        if not form.portable:
            return "scale"
    if flat:
        return "matrix"
    plain = isinstance(c, SumPool2d) and c.exponent == 0 and c.dilation == (1, 1)
    return "pool" if plain and not biased and not form.portable else "conv"


def _matrix(c: Connection) -> Array:
    """All weights of a connection, (targets, sources), float32; UnsupportedError where they are too many."""
    if isinstance(c, Dense):
        return c.effective().astype(np.float32)
    rows, columns = c.shape
    if rows * columns > MAX_MATRIX:
        raise UnsupportedError(
            f"connection {c.name}: its {c.kind} between flat populations is a matrix of {rows}x{columns} in NIR, which "
            f"cannot undo a flattening; expected at most {MAX_MATRIX} weights"
        )
    matrix = np.zeros((rows, columns), np.float32)
    step = max(1, MAX_MATRIX // max(1, columns * 4))
    for first in range(0, columns, step):
        block = np.zeros((min(step, columns - first), columns), np.int64)
        block[np.arange(len(block)), first + np.arange(len(block))] = 1
        matrix[:, first : first + len(block)] = c.deliver(block).T
    return matrix


def _conv(c: Connection, source: tuple[int, ...], bias: Array) -> Any:
    """A connection between populations of three dimensions as a convolution of one group with a square kernel."""
    import nir

    if isinstance(c, Identity):
        kernel = np.eye(source[0]).reshape(source[0], source[0], 1, 1) * (c.weight << c.exponent)
        stride, padding, dilation = (1, 1), (0, 0), (1, 1)
    elif isinstance(c, Conv2d | SumPool2d):
        window = square(c)
        if window is None:
            raise UnsupportedError(f"connection {c.name}: its window has no square form")
        kernel = np.zeros((c.target_channels, source[0], window.size, window.size))
        for y in range(c.window[0]):
            for x in range(c.window[1]):
                kernel[:, :, window.before[0] + y, window.before[1] + x] = c.tap(y, x)
        stride, padding, dilation = c.stride, window.padding, c.dilation
    else:
        raise UnsupportedError(f"connection {c.name}: of kind {c.kind}; the NIR writer has no node for it")
    return nir.Conv2d(
        input_shape=np.array(source[1:]),
        weight=kernel.astype(np.float32),
        stride=np.array(stride),
        padding=np.array(padding),
        dilation=np.array(dilation),
        groups=1,
        bias=bias,
    )
