"""A temperature fitted after training: one number that makes probabilities mean what they say. No torch here.

Probabilities p become softmax(log(p) / T). Of one network that divides its logits by T (Guo, Pleiss, Sun, Weinberger,
arXiv 1706.04599); of an average of networks it acts on the average. No T moves the most probable class. It is fitted on
the validation part and costs a chip nothing: read-outs stay the integers that they are.

A small validation part says little of T, and one without a mistake would have it 0: the first mistake of the test part
then costs without bounds. So log T has a normal prior of mean 0, which many samples overrule.
"""

import numpy as np

from bitspike.errors import UsageError
from bitspike.train.calibration import Labels, Probabilities, softmax

#: No temperature outside is sought.
LOWEST, HIGHEST = 0.05, 20.0
#: Deviation of the prior of log T. Of 1, 0.5 and 0.3 and no prior, 0.5 or 0.3 had the smallest NLL where 180 samples of
#: the digits fit it and others judge: 0.075 and 0.072 (no prior 0.19, no temperature 0.069) for the most probable bits,
#: 0.114 and 0.115 (0.13 and 0.17) for a posterior of three tenths of the sharpness, which needs one of 0.4.
DEVIATION = 0.5
_GRID = 65
_HALVINGS = 60
_SMALLEST = 1e-300


def heated(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Return softmax(log(p) / temperature), row by row.

    Raises:
        UsageError: a temperature that is not above 0.
    """
    if not temperature > 0:
        raise UsageError(f"temperature: found {temperature}; expected a number above 0")
    return softmax(_logarithms(probabilities) / temperature)


def fit_temperature(probabilities: Probabilities, labels: Labels) -> float:
    """Return the most probable temperature in 0.05..20, given the labels and the prior.

    With b = 1 / T the mean NLL has the slope mean(sum_c p_b(c) log p(c) - log p(label)) in b, and the prior adds
    (log T)**2 / (2 * DEVIATION**2 * samples). Of temperatures on a logarithmic grid the best is taken, and between its
    neighbours a zero of the sum's slope is found by halving.

    Args:
        probabilities: shape (samples, classes), of samples that the network was not trained on.
        labels: shape (samples,).

    Raises:
        UsageError: shapes that do not fit.
    """
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not len(labels):
        raise UsageError(
            f"probabilities of shape {probabilities.shape} and labels of shape {labels.shape}; "
            "expected (samples, classes) and (samples,), with samples"
        )
    logarithms = _logarithms(probabilities)
    wanted = logarithms[np.arange(len(labels)), labels].mean()
    grid = np.linspace(np.log(LOWEST), np.log(HIGHEST), _GRID)
    loss = [_mean_nll(logarithms, wanted, log) + log**2 / (2 * DEVIATION**2 * len(labels)) for log in grid]
    best = int(np.argmin(loss))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, _GRID - 1)]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        expected = (softmax(logarithms / np.exp(middle)) * logarithms).sum(axis=1).mean()
        prior = middle * np.exp(middle) / (DEVIATION**2 * len(labels))
        # Too sure of itself: the temperature has to rise.
        low, high = (middle, high) if expected - wanted > prior else (low, middle)
    return float(np.exp((low + high) / 2.0))


def _mean_nll(logarithms: Probabilities, wanted: float, log: float) -> float:
    """Return the mean NLL at the temperature exp(log); `wanted` is the mean logarithm of the labels' probabilities."""
    scaled = logarithms / np.exp(log)
    most = scaled.max(axis=1)
    total = most + np.log(np.exp(scaled - most[:, None]).sum(axis=1))
    return float(total.mean() - wanted / np.exp(log))


def _logarithms(probabilities: Probabilities) -> Probabilities:
    return np.log(np.maximum(probabilities, _SMALLEST))
