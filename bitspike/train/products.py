"""Mean and variance of the summed input, by one product instead of two.

Bits are their own squares, so that x @ mu and x**2 @ (1 - mu**2) have the factor x in common: one product with both
matrices under each other makes both. No gradient goes from the variance to x (arXiv 2505.17962). In bfloat16 the
factors have 8 significant bits: bits and small whole numbers are exact, means of weights are rounded; sums are kept in
single precision inside a product and rounded once. Where few bits are set, dense products with them are made from
their events; see :mod:`bitspike.train.events`.
"""

from contextlib import AbstractContextManager
from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.nn import functional

from bitspike.train.events import find_events

Precision = Literal["float32", "bfloat16"]

_LAST = torch.channels_last
"""The order of memory in which a processor convolves fastest, copies to it and back included."""


class _Dense(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, spikes: Tensor, weights: Tensor, rows: int) -> Tensor:
        ctx.events = find_events(spikes.flatten(0, -2))
        ctx.save_for_backward(spikes if ctx.events is None else None, weights)
        ctx.rows = rows
        if ctx.events is None:
            return functional.linear(spikes, weights)
        return ctx.events.times(weights).reshape(*spikes.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None]:
        spikes, weights = ctx.saved_tensors
        flat = gradient.flatten(0, -2)
        if ctx.events is not None:
            to_weights = ctx.events.outer(flat)
        elif spikes.dtype == torch.bfloat16:
            # A copy of the transpose costs less than what the product loses without it.
            to_weights = (spikes.flatten(0, -2).T.contiguous() @ flat).T
        else:
            to_weights = flat.T @ spikes.flatten(0, -2)
        to_spikes = gradient[..., : ctx.rows] @ weights[: ctx.rows] if ctx.needs_input_grad[0] else None
        return to_spikes, to_weights, None


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, kernels: Tensor, rows: int, stride: int, padding: int) -> Tensor:  # noqa: PLR0917
        images, kernels = (one.contiguous(memory_format=_LAST) for one in (images, kernels))
        ctx.save_for_backward(images, kernels)
        ctx.rows, ctx.stride, ctx.padding = rows, stride, padding
        return functional.conv2d(images, kernels, stride=stride, padding=padding).contiguous()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None, None, None]:
        images, kernels = ctx.saved_tensors
        options = None, (ctx.stride,) * 2, (ctx.padding,) * 2, (1, 1), False, (0, 0), 1
        back = torch.ops.aten.convolution_backward
        gradient = gradient.contiguous(memory_format=_LAST)
        to_images = None
        with _one_order():
            _, to_kernels, _ = back(gradient, images, kernels, *options, (False, True, False))
            if ctx.needs_input_grad[0]:
                means = gradient[:, : ctx.rows].contiguous(memory_format=_LAST)
                to_images, _, _ = back(means, images, kernels[: ctx.rows], *options, (True, False, False))
                to_images = to_images.contiguous()
        return to_images, to_kernels, None, None, None


def _one_order() -> AbstractContextManager[None]:
    """Let a GPU add what a convolution sends back in one order, so that a run can be repeated bit for bit."""
    flags = torch.backends.cudnn.flags
    return flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=torch.backends.cudnn.allow_tf32)


def whole_mantissas() -> AbstractContextManager[None]:
    """Let a GPU convolve float32 with all 24 bits of its factors in this block."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=False, allow_tf32=False)


def stacked(mean: Tensor, variance: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Return means and then variances of weights, shape (2 * rows, columns), or means alone.

    Args:
        mean: shape (rows, columns).
        variance: the same shape, or one row for all; None for weights without noise.
        dtype: of the result.
    """
    return (mean if variance is None else torch.cat([mean, variance.expand_as(mean)])).to(dtype)


def dense_moments(spikes: Tensor, weights: Tensor, rows: int) -> Tensor:
    """Return means and variances of dense input, shape (..., 2 * rows).

    Args:
        spikes: 0 or 1, shape (..., columns).
        weights: as :func:`stacked` gives them, of the type of `spikes`.
        rows: how many of the weights' rows are means.
    """
    return cast(Tensor, _Dense.apply(spikes, weights, rows))  # type: ignore[no-untyped-call]


def conv_moments(images: Tensor, kernels: Tensor, rows: int, *, stride: int, padding: int) -> Tensor:
    """Return means and variances of convolved input, shape (images, 2 * rows, height, width).

    Args:
        images: 0 or 1, shape (images, channels, height, width).
        kernels: as :func:`stacked` gives them, shape (2 * rows, channels, height, width), of the type of `images`.
        rows: how many of the kernels are means.
        stride: vertical and horizontal.
        padding: vertical and horizontal.
    """
    return cast(Tensor, _Conv.apply(images, kernels, rows, stride, padding))  # type: ignore[no-untyped-call]


def native_precision() -> Precision:
    """Return ``bfloat16`` where this processor has instructions that multiply it, else ``float32``."""
    return "bfloat16" if torch.cpu._is_avx512_bf16_supported() else "float32"


def chosen_precision(wanted: Precision | Literal["auto"], device: torch.device) -> Precision:
    """Return the precision of a recipe on a device: ``auto`` is the native one; of a GPU too, not emulated."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return native_precision()
