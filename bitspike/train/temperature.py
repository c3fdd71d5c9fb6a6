"""A temperature fitted after training: one number that makes probabilities mean what they say. No torch here.

Probabilities p become softmax(log(p) / T). Of one network that divides its logits by T (Guo, Pleiss, Sun, Weinberger,
arXiv 1706.04599); of an average of networks it acts on the average. No T moves the most probable class. It is fitted on
the validation part and costs a chip nothing: read-outs stay the integers that they are.
"""

import numpy as np

from bitspike.errors import UsageError
from bitspike.train.calibration import Labels, Probabilities, softmax

#: No temperature outside is sought: a part without a mistake has no best one.
LOWEST, HIGHEST = 0.05, 20.0
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
    """Return the temperature in 0.05..20 under which the labels have the smallest NLL.

    The NLL is convex in b = 1 / T with the slope mean(sum_c p_b(c) log p(c) - log p(label)); its zero is found by
    halving, on a logarithmic scale.

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
    low, high = np.log(LOWEST), np.log(HIGHEST)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        expected = (softmax(logarithms / np.exp(middle)) * logarithms).sum(axis=1).mean()
        # Too sure of itself: the temperature has to rise.
        low, high = (middle, high) if expected > wanted else (low, middle)
    return float(np.exp((low + high) / 2.0))


def _logarithms(probabilities: Probabilities) -> Probabilities:
    return np.log(np.maximum(probabilities, _SMALLEST))
