"""The training loop. All randomness of an epoch is a function of the recipe's seed and the epoch's number.

Several processes train one network: each has all of it, takes its share of every batch, and makes the same update with
the summed gradients; see :mod:`bitspike.train.processes`.
"""

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bitspike.errors import UsageError
from bitspike.train.batches import batches
from bitspike.train.best import Best
from bitspike.train.build import build_estimator, build_network, build_prior
from bitspike.train.data import load_samples
from bitspike.train.denormals import flushed_denormals
from bitspike.train.encode import Stream, words
from bitspike.train.finishing import Finishing
from bitspike.train.model import SpikingNetwork
from bitspike.train.noise import Silent
from bitspike.train.optimiser import adam, set_rates
from bitspike.train.processes import Processes, Share, fingerprint
from bitspike.train.products import chosen_precision
from bitspike.train.recipe import Recipe
from bitspike.train.replay import Update, updates_on
from bitspike.train.rule_recipe import RuleRecipe
from bitspike.train.rules import build_updater
from bitspike.train.running_means import means_in_place
from bitspike.train.schedule import Schedule

Metrics = dict[str, float | int]
_ALONE = Processes()
_TOLD_EVERY = 16
"""Updates on a GPU between two times that it tells how it does."""


class Trainer:
    """A network in training.

    Attributes:
        recipe: what decides everything.
        schedule: its course from epoch to epoch.
        model: the network; its natural parameters are not yet multiplied by the sharpness.
        optimiser: Adam, or that of the recipe's rule; its state is part of a checkpoint.
        epoch: epochs done.
        best: the best epoch on the validation part so far; None before the first evaluation.
        processes: this process, and those that it trains with.
    """

    def __init__(self, recipe: Recipe, processes: Processes = _ALONE) -> None:
        if recipe.training.batch < processes.count:
            raise UsageError(
                f"training.batch: found {recipe.training.batch}; "
                f"expected at least {processes.count}, a sample for each process"
            )
        if recipe.rule != RuleRecipe() or recipe.distil.of_a_rule:
            if processes.count > 1:
                raise UsageError("devices: found several processes; expected one with [rule] or [distil]")
            if processes.device.type != "cpu":
                raise UsageError(f"accelerator: found {processes.device.type!r}; expected cpu with [rule] or [distil]")
        self.recipe, self.schedule = recipe, Schedule(recipe)
        self.processes, device = processes, processes.device
        self.model = build_network(recipe).to(device)
        self.model.precision = chosen_precision(recipe.training.precision, device)
        self._estimator = build_estimator(recipe.estimator)
        self._finishing = Finishing(recipe, self.model, device) if recipe.finish.epochs > 0 else None
        self.optimiser: torch.optim.Optimizer = adam(self.model, device)
        self._made = updates_on(device, alone=processes.count == 1)
        self._moments: tuple[str, ...] = ("exp_avg", "exp_avg_sq")
        self._rule = build_updater(recipe, self.model, self._estimator)
        if self._rule is not None:
            self.optimiser, self._moments = self._rule.optimiser, tuple(self._rule.moments)
        self.epoch = 0
        self.best: Best | None = None
        self._told_every = 1 if device.type == "cpu" else _TOLD_EVERY
        self._samples = load_samples(recipe.data.name, "train", recipe.data.encoding)
        self._validation = recipe.data.load("validation")
        if len(self._validation) == 0:
            raise UsageError(f"data.name: found no validation samples in {recipe.data.name}; expected 1 or more")

    @cached_property
    def data_digest(self) -> str:
        """SHA-256 of the labels of the training part and of the validation part's spikes and labels, in hexadecimal."""
        digest = hashlib.sha256(np.ascontiguousarray(self._samples.labels).tobytes())
        for part in (self._validation.labels, self._validation.spikes):
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()

    @property
    def updates(self) -> int:
        """Updates in one epoch."""
        return math.ceil(len(self._samples) / self.recipe.training.batch)

    def moments(self, epoch: int) -> tuple[str, ...]:
        """Return the names of what the optimiser keeps of each parameter after an epoch."""
        finish = self._finish(epoch)
        return self._moments if finish is None else (*self._moments, *finish.moments)

    def _finish(self, epoch: int) -> Finishing | None:
        """Return the finish in its epochs, and None before."""
        return self._finishing if self.schedule.finishing(epoch) else None

    @property
    def steps(self) -> int:
        """Updates that the optimiser's state is of: it starts anew with the finish."""
        done = self.epoch - self.schedule.before
        return (done if done > 0 else self.epoch) * self.updates

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or as many as the recipe waits for have brought nothing better."""
        training = self.recipe.training
        if self.epoch >= training.epochs:
            return True
        evaluated = self.epoch - self.epoch % training.validate_every
        return self.best is not None and 0 < training.patience <= evaluated - self.best.epoch

    @property
    def kept_epoch(self) -> int:
        """The epoch whose network the recipe keeps."""
        return self.best.epoch if self.best is not None and self.recipe.training.keep == "best" else self.epoch

    def fingerprint(self) -> str:
        """Return the SHA-256 of all parameters, in hexadecimal."""
        return fingerprint(self.model.parameters())

    def run_epoch(self) -> Iterator[Metrics]:
        """Train one more epoch; yield the updates made, loss and accuracy so far, then the epoch's metrics.

        So far is after each update on a processor, and after some on a GPU, which would wait while it tells.

        Loss and accuracy so far are those of this process's samples. The last value is of all samples and also has
        ``epoch``, ``rate``, ``sharpness`` and, where the recipe evaluates, ``validation_map``, the accuracy of the most
        probable bits. The epoch counts as done when the iterator is exhausted.

        Raises:
            EngineError: processes that have come to hold different parameters.
        """
        epoch = self.epoch + 1
        training = self.recipe.training
        if epoch == self.schedule.before + 1:
            # Straight gradients are far larger than those that the mean of squares remembers: steps would be too.
            self.optimiser.state.clear()
        if (finish := self._finish(epoch)) is not None:
            finish.begin(self.optimiser)
        rates = self.schedule.rates(epoch)
        set_rates(self.optimiser, rates)
        noise = int(words(self.recipe.seed, Stream.NOISE + epoch, 0, 1)[0] >> np.uint64(1))
        self._made.generator.manual_seed(noise)
        sums, seen = torch.zeros(2, dtype=torch.float64, device=self.processes.device), 0
        update = self._updates(epoch)
        for number, (spikes, labels, share) in enumerate(self._batches(epoch)):
            if len(labels) == 0:
                self._follow(share)
                continue
            logits, error = update(spikes, labels, share)
            seen += len(labels)
            sums += torch.stack([error.double() * len(labels), (logits.argmax(1) == labels).sum()])
            if number % self._told_every == 0:
                yield {"updates": number + 1, "loss": float(sums[0]) / seen, "accuracy": float(sums[1]) / seen}
        loss, right, seen = self._totals(float(sums[0]), int(sums[1]), seen)
        if not math.isfinite(loss):
            raise UsageError(
                f"training: the loss of epoch {epoch} is {loss / seen}; expected a finite one: lower rates or a higher "
                "network.temperature may help"
            )
        self.processes.check_equal(self.fingerprint(), what=f"parameters after epoch {epoch}")
        metrics: Metrics = {"epoch": epoch, "loss": loss / seen, "accuracy": right / seen}
        if epoch % training.validate_every == 0 or epoch == training.epochs:
            metrics["validation_map"] = self._validated(epoch)
        self.epoch = epoch
        yield metrics | {"rate": rates[0], "sharpness": self.schedule.sharpness(epoch)}

    def finished_model(self) -> SpikingNetwork:
        """Return the network that the recipe keeps, its epoch's sharpness folded in; the trainer is not changed.

        It lies in the processor's memory.
        """
        epoch = self.kept_epoch
        model = build_network(self.recipe)
        if self.best is not None and epoch < self.epoch:
            model.load_state_dict(self.best.state)
        else:
            with self._averaged(epoch):
                model.load_state_dict(self.model.state_dict())
        model.fold(self.schedule.sharpness(epoch if epoch > 0 else self.recipe.training.epochs))
        return model

    def _validated(self, epoch: int) -> float:
        """Return the accuracy of the most probable bits on the validation part, and remember the best."""
        with self._averaged(epoch):
            return self._validated_now(epoch)

    def _validated_now(self, epoch: int) -> float:
        share = self.processes.share(len(self._validation))
        _, classes = self.model.predict(self._validation.spikes[share.start : share.stop])
        mine = int((classes == self._validation.labels[share.start : share.stop]).sum())
        _, right, _ = self._totals(0.0, mine, 0)
        accuracy = right / len(self._validation)
        if self.best is None or accuracy > self.best.accuracy:
            keep = self.recipe.training.keep == "best"
            state = {key: value.detach().clone() for key, value in self.model.state_dict().items()} if keep else {}
            self.best = Best(epoch=epoch, accuracy=accuracy, state=state)
        return accuracy

    @contextmanager
    def _averaged(self, epoch: int) -> Iterator[None]:
        """Let the network have the running means in this block, where an epoch keeps them."""
        finish = self._finish(epoch)
        with means_in_place(self.optimiser, self._trained() if finish is not None and finish.averages else ()):
            yield

    def _step(self) -> None:
        """Make an update."""
        self.optimiser.step()
        finish = self._finish(self.epoch + 1)
        if finish is not None:
            finish.stepped(self.optimiser, self._trained())

    def _totals(self, loss: float, right: int, seen: int) -> tuple[float, int, int]:
        """Return the sums over all processes."""
        mine = torch.tensor([loss, right, seen], dtype=torch.float64, device=self.processes.device)
        total, rights, count = self.processes.total(mine).tolist()
        return total, int(rights), int(count)

    def _batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor, Share]]:
        seed, rule = self.recipe.seed, self._rule
        see = None if rule is None else partial(rule.see, seed=seed, stream=Stream.SPIKES + epoch)
        return batches(self._samples, self.recipe, self.processes, epoch=epoch, see=see)

    def _updates(self, epoch: int) -> Update:
        """Return what makes the updates of an epoch."""
        finish, estimator = self._finish(epoch), self._estimator
        # Without noise an epoch can play what another one recorded, if nothing else changes.
        drawn = epoch if finish is None and not isinstance(estimator.noise, Silent) else 0
        self._made.begin((finish is None, self.schedule.sharpness(epoch), drawn))
        return partial(
            self._made, lambda spikes, labels, share: self._update(spikes, labels, self._made.generator, epoch, share)
        )

    def _update(
        self, spikes: Tensor, labels: Tensor, generator: torch.Generator, epoch: int, share: Share
    ) -> tuple[Tensor, Tensor]:
        """Make an update; return the logits, and the labels' cross-entropy."""
        sharpness, finish = self.schedule.sharpness(epoch), self._finish(epoch)
        if self._rule is not None:
            with flushed_denormals():
                logits, told = self._rule.update(spikes, labels, generator, sharpness)
                return logits, torch.tensor(told, dtype=torch.float64)
        estimator = self.recipe.estimator
        with flushed_denormals():
            logits, auxiliary = self.model.noisy(
                spikes,
                generator,
                estimator=self._estimator if finish is None else finish.estimator,
                sharpness=sharpness if finish is None else math.inf,
                floor=estimator.floor if finish is None else finish.width,
                auxiliary=estimator.auxiliary > 0,
                share=share,
            )
            error = functional.cross_entropy(logits, labels)
            loss = error if finish is None else finish.loss(spikes, logits, error)
            if estimator.auxiliary > 0:
                loss = loss + estimator.auxiliary * auxiliary
            posterior = self.recipe.posterior
            # In a finish the network is one of certain weights, whatever posterior is kept around them.
            if posterior.kl > 0 and finish is None:
                divergence = self.model.kl(build_prior(posterior), sharpness=sharpness)
                loss = loss + posterior.kl * divergence / len(self._samples)
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            # Deviations have no part in a certain network, nor has a bias where a current alone is read; the optimiser
            # keeps a state of them all the same.
            for one in self._trained():
                if one.grad is None:
                    one.grad = torch.zeros_like(one)
            self.processes.sum_gradients(self._trained(), share)
            self._step()
        return logits.detach(), error.detach()

    def _follow(self, share: Share) -> None:
        """Make the update of the other processes, where the last batch has no sample for this one."""
        with flushed_denormals():
            self.optimiser.zero_grad()
            self.processes.sum_gradients(self._trained(), share)
            self._step()

    def _trained(self) -> list[torch.nn.Parameter]:
        """Return the parameters that updates change."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]


def time_first(spikes: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Tensor:
    """Return spikes of shape (samples, steps, neurons) as floats of shape (steps, samples, neurons)."""
    return torch.from_numpy(np.array(spikes.transpose(1, 0, 2), dtype=np.float32))
