"""What NIR's own checks leave out, looked at before a file is written."""

from collections import Counter
from collections.abc import Iterator
from math import isfinite
from typing import Any

import numpy as np

from bitspike.convert.nir_form import DT_RANGE
from bitspike.convert.nir_graph import fields_of

POSITIVE = ("tau", "tau_syn", "tau_mem", "r", "w_in", "v_threshold", "threshold", "delay")
#: Of a window: integers, which have lengths of their own.
_WINDOW = ("input_shape", "stride", "padding", "dilation", "kernel_size")
_SHAPES = ("shape", "input_type")
RESETS = ("zero",)


def find_faults(nodes: dict[str, Any], dtype: type[np.floating[Any]] = np.float32) -> Iterator[str]:
    """Numbers that are not finite or not positive, lengths that differ, other types than `dtype`."""
    for name, node in nodes.items():
        arrays = {key: value for key, value in fields_of(node).items() if isinstance(value, np.ndarray)}
        for key, value in arrays.items():
            if key in _WINDOW + _SHAPES:
                yield from _extents(name, key, value)
                continue
            if value.dtype not in (np.float32, dtype):
                yield f"node {name}: {key} is {value.dtype}; expected {np.dtype(dtype)}"
            if not bool(np.all(np.isfinite(value))):
                yield f"node {name}: {key} is not finite"
            if key in POSITIVE and not bool(np.all(value > 0)):
                yield f"node {name}: {key} is not positive"
        rows = Counter(value.shape[:1] for key, value in arrays.items() if key not in _WINDOW + _SHAPES)
        if len(rows) > 1:
            yield f"node {name}: fields of different lengths {sorted(row[0] if row else 1 for row in rows)}"
        parameters = {value.shape for key, value in arrays.items() if key not in ("weight", "bias", *_WINDOW, *_SHAPES)}
        if len(parameters) > 1 or () in parameters:
            yield f"node {name}: parameters of shapes {sorted(parameters)}; expected one, and one number a neuron"


def metadata_faults(metadata: dict[str, Any]) -> Iterator[str]:
    """A time step or a reset that is not stated: NIR has a field for neither."""
    dt = metadata.get("dt")
    if not (isinstance(dt, float) and isfinite(dt) and DT_RANGE[0] <= dt <= DT_RANGE[1]):
        yield f"metadata dt {dt!r}; expected {DT_RANGE[0]}..{DT_RANGE[1]} seconds"
    if metadata.get("reset") not in RESETS:
        yield f"metadata reset {metadata.get('reset')!r}; expected {' or '.join(RESETS)}"
    if not metadata.get("discretisation"):
        yield "metadata discretisation is missing"


def _extents(name: str, key: str, value: Any) -> Iterator[str]:
    least = 0 if key == "padding" else 1
    if value.dtype.kind not in "iu" or value.ndim != 1 or not bool(np.all(value >= least)):
        yield f"node {name}: {key} is {value.tolist()}; expected integers of {least} or more"
