r"""Training rules: how a batch becomes one or more updates of a network's posterior.

| rule | forward | step of the natural parameter w |
|---|---|---|
| ``adam`` | noise of the posterior (arXiv 2505.17962) | Adam, in :mod:`bitspike.train.loop` or, with a teacher, here |
| ``bisnn-st`` | y = sign(w) | w <- w - eta * dL/dy |
| ``bisnn-bayes`` | y = tanh((w + d) / tau), relaxed | w <- (1 - eta * rho) * w - eta * (dL/dmu - rho * w0) |
| ``bisnn-bayes-bits`` | y = -1 or +1, drawn | the same |

The three ``bisnn`` rules are those of Jang, Skatchkovsky, Simeone, "BiSNN" (arXiv 2012.08300), the last with bits in
the forward pass in place of its relaxation. Taken over: posterior, draws, steps without momentum or clipping, the
boxcar derivative of a spike, and the local losses. What differs: the neuron is the chip's own, on its lattice, its
current and membrane memory in place of the paper's two synaptic filters, its reset in place of the refractory filter;
weights are -1 and +1 and thresholds whole weights, where the paper divides by sqrt(fan-in) (so the boxcar is that much
wider and lower here); biases are integers of the chip, trained by plain gradient steps, and not binary; learning rates
fall on a cosine. A trained network therefore collapses and verifies as that of any other rule.
"""

from bitspike.train.rules.build import build_updater
from bitspike.train.rules.updater import Updater

__all__ = ["Updater", "build_updater"]
