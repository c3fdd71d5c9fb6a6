"""Section: the equality of engines, value by value, and the certificate from which anyone can run it again."""

import json
import shlex

from bitspike.reports.findings import Findings
from bitspike.reports.parts import Attachment, Cell, Headline, Section, Table, Text, data_label, listed, number, word
from bitspike.sim.certificate import Certificate, engine_version
from bitspike.sim.compare import EngineResult


def section(found: Findings) -> Section:
    """What was compared, how much of it differs, where engines part first, and how to check all that."""
    proof = found.verification
    others = [row.engine for row in proof.engines if row.engine != proof.baseline]
    verdict = (
        f"Every compared value of {listed(others)} is equal to that of {proof.baseline}."
        if proof.passed
        else "Engines part: the first place of each stands below."
    )
    most = max(row.samples for row in proof.engines)
    said = (
        f"{verdict} Compared are every spike, current and membrane of every neuron at every step, as integers, on "
        f"{most:,} of {len(found.data):,} samples of {data_label(proof.data)}; nothing is rounded and nothing is "
        "tolerated.",
    )
    parted = [row for row in proof.engines[1:] if row.first is not None]
    divergences = tuple(Text(title=f"{row.engine}: first divergence", lines=_told(row)) for row in parted)
    again, attachments = _again(found)
    return Section(
        name="equality",
        title="Equality of engines",
        said=(*said, *again),
        tables=(_engines(found), _hashes(found)),
        texts=(*divergences, *_commands(found)),
        attachments=attachments,
    )


def _engines(found: Findings) -> Table:
    proof = found.verification
    return Table(
        name="engines",
        caption=f"Engines beside {proof.baseline}; numbers of values.",
        heads=("engine", "against", "samples", "steps", "compared", "spikes differ", "currents differ",
               "membranes differ", "seconds", "version"),
        rows=tuple(
            (
                word(row.engine), word(row.against), number(row.samples), number(row.steps), number(row.compared),
                number(row.differing_spikes), number(row.differing_currents), number(row.differing_membranes),
                number(row.seconds, ".2f"), word(engine_version(row.engine)),
            )
            for row in proof.engines
        ),
    )  # fmt: skip


def _hashes(found: Findings) -> Table:
    proof, model = found.verification, found.run.model_digest()
    rows = [("network, most probable bits", proof.digest), (f"data, {data_label(proof.data)}", proof.data_digest)]
    rows += [("trained model", model)] if model else []
    return Table(
        name="hashes",
        caption="What went in: SHA-256 of the contents, whatever file they lie in; of the model, of its file.",
        heads=("of", "SHA-256"),
        rows=tuple((word(what), Cell(text=digest, code=True)) for what, digest in rows),
    )


def _again(found: Findings) -> tuple[tuple[str, ...], tuple[Attachment, ...]]:
    """What is said of the certificate, and the certificate."""
    if found.certificate is None or found.beside is None:
        return ("There is no certificate: a page, a run in a folder and data that have a name make one.",), ()
    said = (
        f"A certificate of this ({_result(found.certificate)}) lies beside the page, {found.beside.certificate.name}, "
        f"with the network, {found.beside.network.name}; the link below has it too. It proves nothing by itself: the "
        "command below runs all of it again, and exits with 1 where a hash, a count or the result is another.",
    )
    attachment = Attachment(
        title=f"Save the certificate, {found.beside.certificate.name}",
        name=found.beside.certificate.name,
        media="application/json",
        content=(json.dumps(found.certificate.as_json(), indent=2) + "\n").encode(),
    )
    return said, (attachment,)


def _result(one: Certificate) -> str:
    lines = one.engines[1:]
    differing = sum(r.differing_spikes + r.differing_currents + r.differing_membranes for r in lines)
    verdict = "passed" if one.passed else "not passed"
    return f"{verdict}: {differing:,} of {sum(line.compared for line in lines):,} values differ"


def _commands(found: Findings) -> tuple[Text, ...]:
    if found.certificate is None or found.beside is None:
        return ()
    command = shlex.join(["bitspike", "verify", "--certificate", str(found.beside.certificate)])
    return (Text(title="To run the certificate again", lines=command),)


def headline(found: Findings) -> Headline:
    """How many values differ, of how many."""
    rows = found.verification.engines[1:]
    differing = sum(r.differing_spikes + r.differing_currents + r.differing_membranes for r in rows)
    return Headline(
        label="values that differ between engines",
        figure=f"{differing:,}",
        detail=f"of {sum(r.compared for r in rows):,} compared",
    )


def _told(row: EngineResult) -> str:
    reason = row.reason or "none of the known causes explains all of it"
    return f"{row.first}\nreason: {reason}"
