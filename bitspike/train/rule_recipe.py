"""The training rule's part of a recipe, ``[rule]`` and ``[distil]``. This module does not import torch.

What the rules are is told in :mod:`bitspike.train.rules`.
"""

import dataclasses
from typing import Literal

from bitspike.errors import UsageError
from bitspike.train.network_recipe import NetworkRecipe, PoolRecipe, RecurrentRecipe
from bitspike.train.posterior_recipe import PosteriorRecipe
from bitspike.train.schema import Checked, Rule, choice, either, real, ruled, whole

BISNN = ("bisnn-st", "bisnn-bayes", "bisnn-bayes-bits")
_BAYES = BISNN[1:]
_NAMES = ("adam", *BISNN)

_USERS = {
    "loss": BISNN,
    "boxcar": BISNN,
    "draw": _BAYES,
    "rho": _BAYES,
    "prior": _BAYES,
    "tau": ("bisnn-bayes",),
    "alpha": ("bisnn-bayes-bits",),
}
"""The names of the rules that use a key; the others are used by all."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RuleRecipe(Checked):
    """How weights and loss become updates. A key that the rule does not use is refused unless it has its default.

    Attributes:
        name: ``adam`` takes Adam steps in the natural parameters, through the estimator; the others are those of Jang,
            Skatchkovsky, Simeone (arXiv 2012.08300), plain steps with a boxcar for the derivative of a spike:
            ``bisnn-st`` runs the signs and gives their gradient to the real weights, ``bisnn-bayes`` takes
            natural-gradient steps with relaxed weights in the forward pass, ``bisnn-bayes-bits`` with drawn bits.
        temporal: ``through`` back-propagates through time; ``detached`` keeps gradients of a population within a step.
        loss: ``global`` is the cross-entropy of the read-out; ``local`` gives each trained layer its own, through a
            fixed random read-out in every step.
        boxcar: width of the boxcar in sqrt(fan-in) weights; 1 is the paper's.
        draw: weights are drawn once a ``window`` of a batch, or anew in every ``step``, as in the paper.
        update: with ``local``, one update a ``window``, or one in every ``step``, as in the paper.
        burn_in: with ``local``, steps at the start that have no loss.
        rho: temperature of the posterior: weight of KL(q || p) beside the mean cross-entropy, in nats.
        prior: probability of +1 before training.
        tau: temperature of the relaxed weights.
        alpha: of importance-weighted straight-through over the weights: ``p`` is plain, 0.5 has the least bias.
    """

    name: Literal["adam", "bisnn-st", "bisnn-bayes", "bisnn-bayes-bits"] = ruled(choice(*_NAMES), "adam")
    temporal: Literal["through", "detached"] = ruled(choice("through", "detached"), "through")
    loss: Literal["global", "local"] = ruled(choice("global", "local"), "global")
    boxcar: float = ruled(real(0, 1e3, above=True), 1.0)
    draw: Literal["window", "step"] = ruled(choice("window", "step"), "window")
    update: Literal["window", "step"] = ruled(choice("window", "step"), "window")
    burn_in: int = ruled(whole(0, 4095), 0)
    rho: float = ruled(real(0, 1e3), 1e-4)
    prior: float = ruled(real(1e-6, 1 - 1e-6), 0.5)
    tau: float = ruled(real(0.01, 100), 1.0)
    alpha: float | Literal["p"] = ruled(either(choice("p"), real(0, 1)), "p")

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, names in _USERS.items():
            if self.name not in names:
                self.expect_default(key, f"with name {self.name}; expected name {' or '.join(names)}")
        for key in ("update", "burn_in") if self.loss == "global" else ("temporal",):
            other = "local" if self.loss == "global" else "global"
            self.expect_default(key, f"with loss {self.loss}; expected loss {other}")


def _names_teacher(value: object) -> bool:
    """Whether `value` is a word or a path with nothing that would have to be escaped in a recipe."""
    return isinstance(value, str) and value != "" and value.isprintable() and '"' not in value and "\\" not in value


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistilRecipe(Checked):
    """Who else than the labels teaches.

    Attributes:
        teacher: ``none``; ``self``, the mean over the steps, which teaches each step; ``posterior``, the network of the
            posterior's means before a finish, which teaches the bits in it; or the path of a finished run's folder,
            relative to the working directory, whose most probable bits teach the mean over the steps. Write ``./self``
            for a folder of such a name.
        weight: g, the teacher's share of the loss; the labels have 1 - g.
        temperature: both sides' logits are divided by it, and the teacher's part is multiplied by its square.
    """

    teacher: str = ruled(Rule("none, self, posterior, or the path of a run folder", _names_teacher), "none")
    weight: float = ruled(real(0, 1), 0.5)
    temperature: float = ruled(real(0, 1e3, above=True), 2.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("weight", "temperature") if self.teacher == "none" else ():
            self.expect_default(key, "with teacher none; expected self, posterior or the path of a run folder")

    @property
    def of_a_rule(self) -> bool:
        """Whether the teacher takes part in all of training, which then has a rule's updates."""
        return self.teacher not in ("none", "posterior")


def check_rule(
    rule: RuleRecipe,
    distil: DistilRecipe,
    network: NetworkRecipe,
    *,
    steps: int,
    sharpness: float,
    posterior: PosteriorRecipe,
    precision: str,
    estimator_is_default: bool,
) -> None:
    """Raise UsageError, which starts with the key, where a rule does not go together with the rest of a recipe.

    Args:
        rule: the rule.
        distil: the teacher.
        network: the network.
        steps: algorithmic time steps of a sample.
        sharpness: of the training, in the last epoch.
        posterior: of the weights.
        precision: of the products in training.
        estimator_is_default: whether the estimator is the default one, its floor apart.
    """
    if rule.name in BISNN:
        if sharpness != 1:
            raise UsageError(f"training.sharpness: found {sharpness!r}; expected 1 with rule.name {rule.name}")
        if not estimator_is_default:
            raise UsageError(f"estimator: found settings with rule.name {rule.name}; expected none but floor")
        for field in dataclasses.fields(posterior):
            key, found, expected = field.name, getattr(posterior, field.name), getattr(PosteriorRecipe, field.name)
            if found != expected and key != "kl":
                raise UsageError(f"posterior.{key}: found {found!r}; expected {expected!r} with rule.name {rule.name}")
    given = rule != RuleRecipe() or distil.of_a_rule
    if posterior.kl != 0 and given:
        raise UsageError(f"posterior.kl: found {posterior.kl!r}; expected 0 with [rule] or [distil]")
    if precision != "float32" and given:
        raise UsageError(f"training.precision: found {precision!r}; expected 'float32' with [rule] or [distil]")
    if any(layer.sources or layer.shortcuts for layer in network.layers) and given:
        raise UsageError("rule: found sources or shortcuts; expected a chain of layers with [rule] or [distil]")
    if rule.name in BISNN or rule.temporal == "detached":
        _check_layers(network)
    if rule.loss == "local" and distil.of_a_rule:
        raise UsageError(f"distil.teacher: found {distil.teacher!r} with rule.loss local; expected loss global")
    if rule.burn_in >= steps:
        raise UsageError(f"rule.burn_in: found {rule.burn_in}; expected less than the {steps} steps of a sample")
    if distil.teacher == "self" and network.readout == "membrane_last":
        raise UsageError("distil.teacher: found 'self' with membrane_last; expected a read-out that sums over steps")


def _check_layers(network: NetworkRecipe) -> None:
    """Refuse layers that only Adam through time can train."""
    for found, them, kind in (
        ("graded spikes", "them", any(layer.spike == "graded" for layer in network.layers)),
        ("a recurrent layer", "it", any(isinstance(layer, RecurrentRecipe) for layer in network.layers)),
        ("an exact pool", "it", any(isinstance(layer, PoolRecipe) and layer.exact for layer in network.layers)),
    ):
        if kind:
            raise UsageError(f"rule: found {found}; expected name adam and temporal through with {them}")
