"""The comparison of engines that a page shows, and its certificate, from which anyone can run it again."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bitspike.convert.network import IntegerNetwork
from bitspike.convert.store import save
from bitspike.errors import UsageError
from bitspike.files import replacing
from bitspike.samples import SpikeData
from bitspike.sim.certificate import Certificate, Hashes, Inputs, certificate
from bitspike.sim.engines import ENGINES
from bitspike.sim.verify import Verification, verify
from bitspike.train.run import Run

#: The baseline, then what is compared with it; the trained model comes last.
PROOF_ENGINES = ("reference", "fast", "onnx")


@dataclass(frozen=True, kw_only=True, slots=True)
class Beside:
    """The files that a page's certificate names; they lie beside the page and have its name.

    Attributes:
        page: the page itself.
        network: the most probable bits.
        certificate: what ``bitspike verify --certificate`` reads.
        recipe: the run's recipe with other data in it; written only where the user named other data.
    """

    page: Path
    network: Path
    certificate: Path
    recipe: Path

    @classmethod
    def of(cls, path: Path) -> "Beside":
        """The files beside the page `path`."""
        return cls(
            page=path,
            network=path.with_suffix(".safetensors"),
            certificate=path.with_suffix(".certificate.json"),
            recipe=path.with_suffix(".recipe.toml"),
        )


def proved(
    network: IntegerNetwork,
    run: Run,
    data: SpikeData,
    *,
    verification: Verification | None = None,
    notify: Callable[[str, int, int], None] | None = None,
) -> Verification:
    """Every engine that works here on all of `data`; or `verification`, where it is of this network and these data."""
    if verification is None:
        engines = [name for name in PROOF_ENGINES if ENGINES[name].available]
        return verify(network, run.model, data=data, engines=engines, notify=notify)
    for what, found, expected in (
        ("network", verification.digest, network.digest()),
        ("data", verification.data_digest, data.digest()),
    ):
        if found != expected:
            raise UsageError(f"verification: of {what} {found[:12]}; expected {expected[:12]}")
    return verification


def certified(
    result: Verification, run: Run, beside: Beside, *, data_name: str | None, samples: int | None
) -> Certificate | None:
    """The certificate of `result`; None for a run that lies nowhere, whose trained model no command could load.

    Args:
        result: as :func:`proved` gives it.
        run: with its folder.
        beside: where the network will lie, and the recipe where `data_name` is in place of the run's data.
        data_name: as the user gave it.
        samples: the first so many were taken; None for all.
    """
    if run.folder is None:
        return None
    inputs = Inputs(
        network=str(beside.network),
        data="" if data_name is None else str(beside.recipe),
        engines=tuple(row.engine for row in result.engines if row.engine != "torch"),
        run=str(run.folder),
        samples=samples,
    )
    hashes = Hashes(network=result.digest, data=result.data_digest, model=run.model_digest())
    return certificate(result, inputs, hashes=hashes)


def write_beside(beside: Beside, network: IntegerNetwork, found: Certificate, run: Run, data_name: str | None) -> None:
    """Write the certificate and what it names."""
    save(network, beside.network)
    if data_name is not None:
        with replacing(beside.recipe) as temporary:
            temporary.write_text(run.recipe.with_data(data_name).to_toml(), encoding="utf-8")
    found.save(beside.certificate)
