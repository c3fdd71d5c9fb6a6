"""The noisy population of :mod:`bitspike.train.fused` on a GPU: one Triton kernel for all steps in each direction."""

import os
import shutil
from functools import cache
from importlib.util import find_spec
from typing import Any, cast

import torch
from torch import Tensor

from bitspike.train.noise import Logistic, Silent
from bitspike.train.population import Settings
from bitspike.train.processes import whole


@cache
def there() -> bool:
    """Whether Triton can run: torch for CUDA brings it, and it needs a C compiler."""
    compilers = (os.environ.get("CC", "cc"), "gcc", "clang")
    return find_spec("triton") is not None and any(shutil.which(one) for one in compilers)


def _constants(settings: Settings, *, spread: bool, carried: bool) -> dict[str, Any]:
    """Return what both kernels are compiled for."""
    from bitspike.train.kernels.gpu import BLOCK, GAUSSIAN, LOGISTIC, NONE

    noise = NONE if isinstance(settings.noise, Silent) else GAUSSIAN
    return {
        "NOISE": LOGISTIC if isinstance(settings.noise, Logistic) else noise,
        "SPREAD": spread,
        "ZERO": settings.neuron.reset == "zero",
        "SUMMED": settings.summed,
        "CARRIED": carried,
        "CURRENT": settings.neuron.keep_u != 0,
        "BLOCK": BLOCK,
        # Products and sums are rounded one after the other, as elsewhere, in every version of Triton.
        "enable_fp_fusion": False,
    }


def _decays(settings: Settings) -> tuple[float, float, float, float]:
    neuron = settings.neuron
    return neuron.keep_u, neuron.keep_v, float(neuron.vth), settings.floor


class _Population(torch.autograd.Function):
    """The loop; `recurrent` has the weights' means and variances, shape (2 * neurons, neurons), or is None."""

    @staticmethod
    def forward(  # noqa: PLR0917
        ctx: Any, moments: Tensor, bias: Tensor, recurrent: Tensor | None, keys: Tensor | None, settings: Settings
    ) -> tuple[Tensor, Tensor]:
        from bitspike.train.kernels.gpu import BLOCK, NONE, forward

        steps, samples, width = moments.shape
        neurons = len(bias)
        ctx.constants = constants = _constants(settings, spread=width > neurons, carried=recurrent is not None)
        moments, fixed = moments.contiguous(), bias.detach().float().contiguous()
        bits = moments.new_empty((steps, samples, neurons))
        distances = torch.empty_like(bits)
        # A distance tells the bit and s is the floor where there is neither noise nor variance.
        scales = torch.empty_like(bits) if constants["NOISE"] != NONE or constants["SPREAD"] else bits
        states = moments.new_zeros((5, samples, neurons), dtype=torch.float32) if recurrent is not None else fixed
        sums = moments.new_zeros((samples, neurons), dtype=torch.float32) if settings.summed else fixed
        share = settings.share or whole(samples)
        words = fixed if keys is None else keys
        grid = (-(-samples * neurons // BLOCK),)

        def run(inputs: Tensor, first: int, count: int) -> None:
            forward[grid](
                inputs, fixed, states, words, bits[first], distances[first], scales[first], sums,
                count, samples, neurons, first, share.start, share.batch, *_decays(settings), **constants,
            )  # fmt: skip

        if recurrent is None:
            run(moments, 0, steps)
        else:
            for step in range(steps):
                fed = moments[step] if step == 0 else torch.addmm(moments[step], bits[step - 1], recurrent.T)
                run(fed, step, 1)
        ctx.save_for_backward(bits, distances, scales, recurrent)
        ctx.settings, ctx.width = settings, width
        ctx.set_materialize_grads(False)
        return bits, sums.sum() if settings.summed else fixed.new_zeros(())

    @staticmethod
    def backward(ctx: Any, to_bits: Tensor | None, to_auxiliary: Tensor | None) -> tuple[Tensor | None, ...]:
        from bitspike.train.kernels.gpu import BLOCK, NONE, backward

        bits, distances, scales, recurrent = ctx.saved_tensors
        settings: Settings = ctx.settings
        steps, samples, neurons = bits.shape
        to_bits = torch.zeros_like(bits) if to_bits is None else to_bits.contiguous()
        weight = bits.new_zeros((), dtype=torch.float32) if to_auxiliary is None else to_auxiliary.float()
        to_moments = bits.new_empty((steps, samples, ctx.width))
        carried = recurrent is not None
        to_bias = bits.new_zeros((samples, neurons), dtype=torch.float32)
        states = bits.new_zeros((5, samples, neurons), dtype=torch.float32) if carried else to_bias
        importance = settings.alpha >= 0 and ctx.constants["NOISE"] != NONE
        grid = (-(-samples * neurons // BLOCK),)

        def run(above: Tensor, first: int, count: int) -> None:
            backward[grid](
                above, weight, bits[first], distances[first], scales[first], states, to_moments[first], to_bias,
                count, samples, neurons, *_decays(settings), settings.alpha, **ctx.constants, IMPORTANCE=importance,
            )  # fmt: skip

        to_recurrent = None
        if recurrent is None:
            run(to_bits, 0, steps)
        else:
            for step in range(steps - 1, -1, -1):
                above = to_bits[step]
                if step < steps - 1:
                    above = torch.addmm(above, to_moments[step + 1, :, :neurons], recurrent[:neurons])
                run(above, step, 1)
            to_recurrent = to_moments[1:].flatten(0, 1).T @ bits[:-1].flatten(0, 1)
        return to_moments, to_bias.sum(0), to_recurrent, None, None


def population(
    moments: Tensor, bias: Tensor, keys: Tensor | None, settings: Settings, recurrent: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Run a population; see :func:`bitspike.train.fused.fused_population`.

    Args:
        moments, bias, recurrent: as there, on one device.
        keys: two words of the noise, int64, on that device; None without noise.
        settings: everything else.
    """
    result = _Population.apply(moments, bias, recurrent, keys, settings)  # type: ignore[no-untyped-call]
    return cast(tuple[Tensor, Tensor], result)
