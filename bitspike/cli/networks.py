"""Commands that make and write networks: collapse, export, import."""

from pathlib import Path
from typing import Annotated, Any

import typer

from bitspike.cli.console import Json, Network, progress, show
from bitspike.cli.floating import (
    Bits,
    Calibration,
    CalibrationSamples,
    Dt,
    Quantising,
    ResetOption,
    import_nir,
    is_float_file,
)
from bitspike.convert.network import IntegerNetwork
from bitspike.errors import UsageError

Out = Annotated[Path, typer.Option("--out", help="The file to write.")]


def collapse(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, as `bitspike train` makes it.")],
    out: Annotated[Path, typer.Option("--out", help="The network file to write; with --members a new folder.")],
    map_: Annotated[bool, typer.Option("--map", help="The most probable bits (default).")] = False,
    sample: Annotated[int | None, typer.Option("--sample", metavar="SEED", help="One draw, by its seed.")] = None,
    members: Annotated[int | None, typer.Option("--members", metavar="K", help="A committee of K draws.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the committee's first member; default 0.")] = None,
    as_json: Json = False,
) -> None:
    """Collapse a trained posterior to bits: one network file, or a committee."""
    from bitspike.convert.collapse import collapse as collapse_model
    from bitspike.convert.committee_files import named
    from bitspike.convert.store import save
    from bitspike.train import load_run

    if map_ + (sample is not None) + (members is not None) > 1:
        raise UsageError("--map, --sample and --members exclude each other; expected one of them")
    if seed is not None and members is None:
        raise UsageError(
            f"--seed {seed}: of a committee's first member; expected --members K beside it, or --sample {seed}"
        )
    if members is None:
        _named_as_network(out)
    elif out.exists():
        raise UsageError(f"--out {out} exists; expected a new folder for a committee")
    trained = load_run(run)
    name = trained.recipe.name
    files: dict[Path, IntegerNetwork] = {}
    if members is not None:
        committee = collapse_model(trained.model, "committee", members=members, seed=seed or 0, name=name)
        files = {out / f"{key}.safetensors": member for key, member in named(committee).items()}
    elif sample is not None:
        files = {out: collapse_model(trained.model, "sample", seed=sample, name=name)}
    else:
        files = {out: collapse_model(trained.model, "map", name=name)}
    for path, network in files.items():
        save(network, path)
    written = [{"path": str(path), "collapse": n.collapse, "digest": n.digest()} for path, n in files.items()]
    lines = [f"{row['path']}: {row['collapse']}, {row['digest'][:12]}" for row in written]
    show("\n".join([str(next(iter(files.values()))), *lines]), {"files": written}, as_json)


def _named_as_network(out: Path) -> None:
    """Refuse a name that would be taken for a file of another format."""
    if out.suffix != ".safetensors":
        raise UsageError(f"--out {out}: expected a name that ends in .safetensors; `bitspike export` has other formats")


def export(
    net: Network,
    out: Out,
    format_: Annotated[
        str | None,
        typer.Option("--format", help="safetensors, nir, onnx, netx, c or lava; default: by the ending of --out."),
    ] = None,
    step: Annotated[bool, typer.Option("--step", help="ONNX only: the graph of one step, states in and out.")] = False,
    portable: Annotated[
        bool, typer.Option("--portable", help="NIR only: nodes that Norse, SpikingJelly and snnTorch share.")
    ] = False,
    soft_reset: Annotated[
        bool,
        typer.Option("--encode-soft-reset", help="NIR only: a reset by subtraction as a threshold with a feedback."),
    ] = False,
    dt: Annotated[
        float | None, typer.Option("--dt", metavar="SECONDS", help="NIR only: of a step; default 1e-4.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="NIR only: run the file in each framework that is installed, and compare.")
    ] = False,
    data: Annotated[
        str | None, typer.Option("--data", help="What --check feeds, as for simulate; default: random spikes.")
    ] = None,
    samples: Annotated[int, typer.Option("--samples", help="How many samples --check takes.")] = 20,
    as_json: Json = False,
) -> None:
    """Write a network, or each member of a committee's folder, in a format that others run, read back and compared.

    With --check exit code 1 says that a framework reads the file to other spikes.
    """
    from bitspike.convert.formats import format_of
    from bitspike.targets.emit import emitter_of

    committee = Path(net).is_dir()
    if committee and format_ is None:
        raise UsageError(f"--format: missing; expected one for the members in {net}")
    if committee and check:
        raise UsageError(f"--check: {net} is a committee; expected one network")
    if data is not None and not check:
        raise UsageError("--data: what --check feeds; expected --check beside it")
    chosen = emitter_of(out, format_) or format_of(out, format_)
    options = _writer_options(chosen.name, step=step, portable=portable, soft_reset=soft_reset, dt=dt, check=check)
    if committee:
        _export_members(net, out, chosen.name, chosen.endings[0], options, as_json)
        return
    said, row = _export_one(net, out, format_, options)
    passed = True
    if check:
        from bitspike.api import portability

        with progress("check") as notify:
            found = portability(out, data=data, samples=samples, notify=notify)
        passed = found.passed
        said, row = f"{said}\n{found}", row | {"check": found.as_json()}
    show(said, row, as_json)
    if not passed:
        raise typer.Exit(1)


def _writer_options(
    name: str, *, step: bool, portable: bool, soft_reset: bool, dt: float | None, check: bool
) -> dict[str, Any]:
    """What the writer of format `name` is given; UsageError for an option that it does not have."""
    for label, given, wanted in (
        ("--step", step, "onnx"),
        ("--portable", portable, "nir"),
        ("--encode-soft-reset", soft_reset, "nir"),
        ("--dt", dt is not None, "nir"),
        ("--check", check, "nir"),
    ):
        if given and name != wanted:
            raise UsageError(f"{label}: only format {wanted} has it; --out is {name}")
    options: dict[str, Any] = {"form": "step"} if step else {}
    options |= {"portable": True} if portable else {}
    options |= {"encode_soft_reset": True} if soft_reset else {}
    options |= {"dt": dt} if dt is not None else {}
    return options


def _export_members(folder: str, out: Path, name: str, ending: str, options: dict[str, Any], as_json: bool) -> None:
    from bitspike.api import export as export_network
    from bitspike.convert.committee_files import load_members, write_members

    members = load_members(folder)
    files = write_members(members, out, ending, lambda member, to: export_network(member, to, name, **options))
    rows = [
        {"path": str(file), "format": name, "bytes": file.stat().st_size, "digest": member.digest()}
        for file, member in zip(files, members.values(), strict=True)
    ]
    show("\n".join(f"{row['path']}: {name}, {row['bytes']:,} bytes" for row in rows), {"files": rows}, as_json)


def _export_one(net: str, out: Path, format_: str | None, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Write one network; what to say of it, as text and as JSON."""
    from bitspike.api import export as export_network
    from bitspike.convert.formats import load
    from bitspike.targets.emit import Emitter

    network = load(net)
    form = export_network(network, out, format_, **options)
    size = out.stat().st_size
    row = {"path": str(out), "format": form.name, "bytes": size, "digest": network.digest()}
    if isinstance(form, Emitter):
        return f"{out}: {form.summary}, {size:,} bytes; `bitspike verify {net} --engine {form.engine}` proves it", row
    return f"{out}: {form.name}, {size:,} bytes, read back and equal", row | {"read_back": "equal"}


def import_(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Bitspike's own NIR, ONNX or NetX; NetX of lava-dl; NIR of any tool."),
    ],
    out: Out,
    format_: Annotated[str | None, typer.Option("--format", help="Its format; default: by its ending.")] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", help="Window of a sample, where the file says none: NIR and NetX of other tools."),
    ] = None,
    input_shape: Annotated[
        str | None, typer.Option("--input-shape", help="As 2x34x34, where the file begins with a convolution: NetX.")
    ] = None,
    dt: Dt = None,
    reset: ResetOption = None,
    data: Calibration = None,
    samples: CalibrationSamples = 64,
    bits: Bits = 8,
    as_json: Json = False,
) -> None:
    """Read a network from another format and write it as .safetensors; say what the file leaves open.

    NIR of other tools is in real numbers: it is put onto the lattice, and a report says what that moved.
    """
    from bitspike.convert.formats import import_file
    from bitspike.convert.store import save

    _named_as_network(out)
    if format_ in (None, "nir") and is_float_file(str(file)):
        plan = Quantising(
            data=data, samples=samples, steps=steps, bits=bits, dt=dt, reset=None if reset is None else reset.value
        )
        import_nir(file, out, plan, as_json=as_json)
        return
    for name, given in (("dt", dt), ("reset", reset), ("data", data)):
        if given is not None:
            raise UsageError(f"--{name}: for NIR files of other tools; expected none here")
    options: dict[str, Any] = {} if steps is None else {"steps": steps}
    if input_shape is not None:
        options["input_shape"] = _shape(input_shape)
    imported = import_file(file, format_, **options)
    network = imported.network
    save(network, out)
    row = {"path": str(out), "network": network.name, "digest": network.digest(), "notes": list(imported.notes)}
    show(f"{imported}\n{out}: written, read back and equal", row, as_json)


def _shape(text: str) -> tuple[int, ...]:
    extents = text.split("x")
    if not all(extent.isdecimal() and len(extent) < 9 for extent in extents):
        raise UsageError(f"--input-shape {text!r}; expected numbers such as 2x34x34")
    return tuple(map(int, extents))
