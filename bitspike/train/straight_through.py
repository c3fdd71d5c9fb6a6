"""A recipe's network trained by plain straight-through: the baseline of one-bit weights without a posterior.

The weights are the signs of latent ones and the gradient passes to them as if they were those; spikes are certain and
have snnTorch's arctangent as surrogate gradient, as ST-BiSNN of Jang, Skatchkovsky, Simeone (arXiv 2012.08300) has a
surrogate of its own. Architecture, thresholds, decays, biases, read-out, epochs and batches are the recipe's.
"""

import dataclasses

from bitspike.train.estimator_recipe import EstimatorRecipe
from bitspike.train.finish_recipe import FinishRecipe
from bitspike.train.posterior_recipe import PosteriorRecipe
from bitspike.train.recipe import Recipe
from bitspike.train.rule_recipe import DistilRecipe, RuleRecipe

#: Width of the surrogate, in weights, and learning rate of the latent weights.
WIDTH, RATE = 8.0, 0.02


def straight_through(recipe: Recipe, *, width: float = WIDTH, rate: float = RATE) -> Recipe:
    """Return the recipe of the straight-through network.

    Args:
        recipe: of the network with a posterior.
        width: of the surrogate gradient, in weights: without noise the estimator's ``floor`` is nothing else.
        rate: learning rate of the latent weights at the start.

    Raises:
        UsageError: an impossible width or rate.
    """
    estimator = EstimatorRecipe(name="surrogate", noise="none", floor=width)
    training = dataclasses.replace(recipe.training, rate=rate, sharpness=1.0)
    # Other rules of learning, other teachers and an end of its own are not plain.
    return dataclasses.replace(
        recipe,
        posterior=PosteriorRecipe(family="latent"),
        estimator=estimator,
        training=training,
        finish=FinishRecipe(),
        rule=RuleRecipe(),
        distil=DistilRecipe(),
    )
