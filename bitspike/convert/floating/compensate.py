"""Rounding weights one source after the other, each error made up for by the weights that are still to be rounded.

What a neuron sees of an error is its product with the spikes of the sources. Where sources spike together, an error of
one weight can be taken back by another. With `gram`, the sums of products of what pairs of sources leave in a membrane,
the error to be kept small is quadratic, and this is the greedy solution of Frantar and others for large language models
(GPTQ, arXiv 2210.17323, after Optimal Brain Surgeon): columns in the order of their own weight in `gram`, the finest
ones last.
"""

import numpy as np
import numpy.typing as npt

from bitspike.convert.floating.nodes import Reals

#: Added to the diagonal of the Gram matrix, as a share of its mean: pairs are known from few samples.
DAMPING = 0.02


def compensated(weights: Reals, steps: Reals, low: Reals, high: Reals, gram: Reals) -> npt.NDArray[np.int64]:
    """Whole numbers of `steps` near `weights`, (targets, columns), so that ``gram`` sees little of the errors.

    Args:
        weights: what is wanted.
        steps: what each column is a multiple of.
        low, high: the range of each column's numbers.
        gram: (columns, columns), positive semi-definite.
    """
    columns = len(steps)
    order = np.lexsort((-np.diagonal(gram), -steps))
    damped = gram[np.ix_(order, order)] + np.eye(columns) * (DAMPING * np.mean(np.diagonal(gram)) + 1e-12)
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    rest = weights[:, order].astype(np.float64)
    found = np.zeros(weights.shape, np.int64)
    for place, column in enumerate(order):
        whole = np.clip(np.rint(rest[:, place] / steps[column]), low[column], high[column])
        found[:, column] = whole
        error = (rest[:, place] - whole * steps[column]) / upper[place, place]
        rest[:, place + 1 :] -= error[:, None] * upper[place, place + 1 :]
    return found
