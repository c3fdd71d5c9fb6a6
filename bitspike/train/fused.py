"""The noisy population of :mod:`bitspike.train.dynamics`, by compiled kernels; those here are for a CPU.

The equations are the same. What differs: mean and variance of the input come in one tensor, as one matrix product makes
them; numbers are single precision throughout, or bfloat16 between layers; a bit's noise is never stored, since only the
bit matters: it is the less likely one with its probability, by a random word that is a hash of step, sample, neuron and
two keys. Which estimators run here :func:`bitspike.train.population.known` tells; others and double precision use the
definition. On a GPU the kernels of :mod:`bitspike.train.fused_gpu` do the same.
"""

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bitspike.train import fused_gpu
from bitspike.train.estimators import Estimator
from bitspike.train.noise import Logistic, Silent
from bitspike.train.population import Settings, known
from bitspike.train.processes import Share, whole
from bitspike.train.registers import Neuron
from bitspike.train.threads import in_threads

Array = npt.NDArray[Any]
_KINDS: dict[torch.dtype, tuple[torch.dtype, Any]] = {
    torch.float32: (torch.int32, np.uint32),
    torch.bfloat16: (torch.int16, np.uint16),
}
"""Integers of the same width: how torch and numpy see the bits of a float."""


def can_run(estimator: Estimator, device: torch.device) -> bool:
    """Whether the kernels know this estimator on this device."""
    if not known(estimator):
        return False
    return device.type == "cpu" or (device.type == "cuda" and fused_gpu.there())


def draw_keys(generator: torch.Generator) -> Tensor:
    """Return two random words, the keys of a population's noise, as int64 on the generator's device."""
    return torch.randint(1 << 32, (2,), generator=generator, device=generator.device)


def _decays(settings: Settings) -> tuple[np.float32, ...]:
    neuron, floor = settings.neuron, settings.floor
    return tuple(np.float32(value) for value in (neuron.keep_u, neuron.keep_v, neuron.vth, floor * floor))


def _flags(settings: Settings) -> tuple[bool, ...]:
    kinds = (isinstance(settings.noise, kind) for kind in (Logistic, Silent))
    return settings.neuron.reset == "zero", *kinds, settings.summed


def _words(values: Tensor) -> Array:
    """Return bfloat16 as uint16 and float32 as it is, without a copy."""
    values = values.detach()
    return values.view(torch.int16).numpy().view(np.uint16) if values.dtype == torch.bfloat16 else values.numpy()


def _bits(values: Tensor) -> Array:
    """Return the bits of floats as unsigned integers, without a copy."""
    signed, unsigned = _KINDS[values.dtype]
    return values.detach().view(signed).numpy().view(unsigned)


class _SilentPopulation(torch.autograd.Function):
    """The loop without noise where s is the floor alone: less to compute and to keep."""

    @staticmethod
    def forward(ctx: Any, means: Tensor, bias: Tensor, settings: Settings) -> Tensor:
        from bitspike.train.kernels.silent import forward

        bits, distances = torch.empty_like(means), torch.empty_like(means)
        inputs, fired, kept = _words(means.contiguous()), _bits(bits), _words(distances)
        fixed = bias.detach().float().contiguous().numpy()
        decays, (zero, *_) = _decays(settings), _flags(settings)
        in_threads(
            means.shape[1],
            lambda first, last: forward(inputs, fixed, decays, zero, fired, kept, first, last),
        )
        ctx.save_for_backward(distances)
        ctx.settings = settings
        return bits

    @staticmethod
    def backward(ctx: Any, to_bits: Tensor) -> tuple[Tensor, Tensor, None]:
        from bitspike.train.kernels.silent import backward

        (distances,) = ctx.saved_tensors
        settings: Settings = ctx.settings
        to_means = torch.empty_like(distances)
        to_bias = np.zeros(distances.shape[1:], np.float32)
        above, kept, result = (_words(one) for one in (to_bits.contiguous(), distances, to_means))
        decays, (zero, *_) = _decays(settings), _flags(settings)
        slope, floor = np.float32(settings.alpha), np.float32(settings.floor)
        in_threads(
            distances.shape[1],
            lambda first, last: backward(above, kept, decays, zero, slope, floor, result, to_bias, first, last),
        )
        return to_means, torch.from_numpy(to_bias.sum(0)), None


class _Population(torch.autograd.Function):
    """The loop; `recurrent` has the weights' means and variances, shape (2 * neurons, neurons), or is None."""

    @staticmethod
    def forward(  # noqa: PLR0917
        ctx: Any, moments: Tensor, bias: Tensor, recurrent: Tensor | None, keys: Array, settings: Settings
    ) -> tuple[Tensor, Tensor]:
        from bitspike.train.kernels.forward import forward

        steps, samples, _ = moments.shape
        neurons = len(bias)
        bits = torch.empty((steps, samples, neurons), dtype=moments.dtype)
        distances, scales = (torch.empty_like(bits) for _ in range(2))
        states, auxiliary = np.zeros((5, samples, neurons), np.float32), np.zeros(samples)
        moments = moments.contiguous()
        fired, kept, spread = _bits(bits), _words(distances), _words(scales)
        fixed = bias.detach().float().contiguous().numpy()

        share = settings.share or whole(samples)
        decays, flags = _decays(settings), _flags(settings)

        def run(inputs: Array, rows: slice) -> None:
            place = rows.start, share.start, share.batch
            in_threads(
                samples,
                lambda first, last: forward(
                    inputs, fixed, states, keys, place, decays, flags,
                    fired[rows], kept[rows], spread[rows], auxiliary, first, last,
                ),
            )  # fmt: skip

        if recurrent is None:
            run(_words(moments), slice(0, steps))
        else:
            for step in range(steps):
                fed = moments[step] if step == 0 else torch.addmm(moments[step], bits[step - 1], recurrent.T)
                run(_words(fed)[None], slice(step, step + 1))
        ctx.save_for_backward(bits, distances, scales, recurrent)
        ctx.settings, ctx.width = settings, moments.shape[2]
        ctx.set_materialize_grads(False)
        return bits, torch.tensor(auxiliary.sum(), dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, to_bits: Tensor | None, to_auxiliary: Tensor | None) -> tuple[Tensor | None, ...]:
        from bitspike.train.kernels.backward import backward

        bits, distances, scales, recurrent = ctx.saved_tensors
        settings: Settings = ctx.settings
        decays, flags, alpha = _decays(settings), _flags(settings), np.float32(settings.alpha)
        steps, samples, neurons = bits.shape
        to_bits = torch.zeros_like(bits) if to_bits is None else to_bits.contiguous()
        weight = np.float32(0.0 if to_auxiliary is None else float(to_auxiliary))
        to_moments = torch.empty((steps, samples, ctx.width), dtype=bits.dtype)
        states, to_bias = np.zeros((5, samples, neurons), np.float32), np.zeros((samples, neurons), np.float32)
        fired, kept, spread, result = _bits(bits), _words(distances), _words(scales), _words(to_moments)

        def run(above: Array, rows: slice) -> None:
            in_threads(
                samples,
                lambda first, last: backward(
                    above, weight, fired[rows], kept[rows], spread[rows], states, decays, flags,
                    alpha, result[rows], to_bias, first, last,
                ),
            )  # fmt: skip

        to_recurrent = None
        if recurrent is None:
            run(_words(to_bits), slice(0, steps))
        else:
            means = recurrent[:neurons]
            for step in range(steps - 1, -1, -1):
                above = to_bits[step]
                if step < steps - 1:
                    above = torch.addmm(above, to_moments[step + 1, :, :neurons], means)
                run(_words(above)[None], slice(step, step + 1))
            to_recurrent = to_moments[1:].flatten(0, 1).T @ bits[:-1].flatten(0, 1)
        return to_moments, torch.from_numpy(to_bias.sum(0)), to_recurrent, None, None


def fused_population(
    moments: Tensor,
    bias: Tensor,
    keys: Tensor | None,
    *,
    neuron: Neuron,
    estimator: Estimator,
    floor: float,
    recurrent: Tensor | None = None,
    summed: bool = False,
    share: Share | None = None,
) -> tuple[Tensor, Tensor]:
    """Run a population with posterior noise.

    Args:
        moments: means, then variances of the summed input from the populations before, shape (steps, samples, 2 *
            neurons), in weights and weights squared; or means alone, shape (steps, samples, neurons). float32 or
            bfloat16.
        bias: in weights, shape (neurons,).
        keys: of the noise, as :func:`draw_keys` gives them; None without noise.
        neuron: decays, threshold and reset.
        estimator: one that :func:`can_run` knows.
        floor: standard deviation of the membrane's own noise, in weights, above 0.
        recurrent: means, then variances of the weights from the population's own bits of the step before, shape (2 *
            neurons, neurons) or (neurons, neurons), as `moments`, of the same type; None where there are none.
        summed: whether the auxiliary sum is wanted.
        share: which samples of a batch these are, where others have the rest; the noise is that of the whole batch.

    Returns:
        Bits, shape (steps, samples, neurons), of the type of `moments`; and the sum of (v / s)**2 before reset over
        steps, samples and neurons, 0 where it is not wanted. Both carry gradients.
    """
    settings = Settings(neuron=neuron, estimator=estimator, floor=floor, summed=summed, share=share)
    if moments.device.type != "cpu":
        return fused_gpu.population(moments, bias, keys, settings, recurrent)
    if isinstance(estimator.noise, Silent) and moments.shape[-1] == len(bias) and recurrent is None and not summed:
        bits = _SilentPopulation.apply(moments, bias, settings)  # type: ignore[no-untyped-call]
        return bits, torch.zeros(())
    words = np.zeros(2, np.uint32) if keys is None else keys.numpy().astype(np.uint32)
    result = _Population.apply(moments, bias, recurrent, words, settings)  # type: ignore[no-untyped-call]
    return cast(tuple[Tensor, Tensor], result)
