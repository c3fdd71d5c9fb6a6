"""The rule that a recipe names."""

from bitspike.train.estimators import Estimator
from bitspike.train.model import SpikingNetwork
from bitspike.train.recipe import Recipe
from bitspike.train.rules.local import LocalRule
from bitspike.train.rules.updater import Updater
from bitspike.train.rules.window import TaughtAdam, WindowRule


def build_updater(recipe: Recipe, model: SpikingNetwork, estimator: Estimator) -> Updater | None:
    """Return the rule of a recipe; None for Adam without a teacher and through time, which is the loop's own.

    Raises:
        UsageError: a teacher of other data.
        FileError: a teacher that is no finished run.
    """
    rule = recipe.rule
    if rule.name == "adam":
        own = rule.temporal == "through" and not recipe.distil.of_a_rule
        return None if own else TaughtAdam(recipe, model, estimator)
    return LocalRule(recipe, model) if rule.loss == "local" else WindowRule(recipe, model)
