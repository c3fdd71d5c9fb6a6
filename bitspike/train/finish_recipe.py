"""The part of a recipe that tells how training ends on the network that will be deployed. No torch here."""

import dataclasses

from bitspike.train.schema import Checked, real, ruled, whole


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinishRecipe(Checked):
    """The last epochs, trained on the collapsed network itself.

    Its forward pass has the most probable weights and no noise, so that biases and the weights that are least certain
    adapt to the bits; gradients pass straight to the natural parameters. Before it the network was only ever seen as a
    mean and a variance, and many small errors of that view can add up, most of all over the steps of a recurrence.

    Attributes:
        epochs: how many of ``training.epochs``; 0 for none.
        rate: learning rate of natural parameters or means at their start; it falls as that before did.
        bias_rate: learning rate of the biases likewise, in weights.
        width: of the surrogate gradient, the arctangent, in weights: nothing else is left that could be its width.
        average: share of each update in a running mean of all parameters, which is then what is validated and kept, in
            place of the last ones; 0 for none. Certain weights flip for ever, and the network with them; the mean holds
            the weights that had their value most of the time.
        sharpness: factor on the natural parameters of the posterior that is kept. The most probable weights do not
            depend on it, the committee does; 0 for that of the last epoch before.
    """

    epochs: int = ruled(whole(0, 100_000), 0)
    rate: float = ruled(real(0, 1e3, above=True), 0.005)
    bias_rate: float = ruled(real(0, 1e3), 0.01)
    width: float = ruled(real(0.01, 1e6), 3.0)
    average: float = ruled(real(0, 1), 0.0)
    sharpness: float = ruled(real(0, 1e4), 0.0)
