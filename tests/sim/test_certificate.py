"""Certificates: run again they hold, whatever changed is named, and what strangers wrote is refused in one line."""

import json

import numpy as np
import pytest
from builders import chain, planted_faults, spikes_for

from bitspike.cli import main
from bitspike.convert import store
from bitspike.errors import FileError, UsageError
from bitspike.sim import certificate as module
from bitspike.sim.certificate_file import read_certificate

NETWORK = chain((6, 5, 4, 3), steps=4)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a network, data and a certificate of them, in which the command runs."""
    monkeypatch.chdir(tmp_path)
    store.save(NETWORK, "net.safetensors")
    store.save(NETWORK, "copy.safetensors")
    np.savez("data.npz", spikes=spikes_for(NETWORK, samples=7), labels=np.zeros(7, np.int64))
    command = ["verify", "net.safetensors", "--data", "data.npz", "--against", "copy.safetensors", "--chunk", "3"]
    assert main([*command, "--certificate-out", "cert.json"]) == 0
    return tmp_path


def again(capsys, *more):
    capsys.readouterr()
    code = main(["verify", "--certificate", "cert.json", *more])
    return code, capsys.readouterr()


def test_what_it_says(folder):
    item = json.loads((folder / "cert.json").read_text())
    assert item["network"] == {"name": "chain", "digest": NETWORK.digest()}
    assert item["passed"] is True
    assert item["against"] == {"copy.safetensors": NETWORK.digest()}
    assert [line["engine"] for line in item["engines"]] == ["reference", "copy.safetensors"]
    assert {line["compared"] for line in item["engines"]} == {7 * 4 * (5 + 4 + 3) * 3}
    assert "numpy " in item["engines"][0]["version"]
    assert item["command"] == (
        "bitspike verify net.safetensors --engine reference --against copy.safetensors --data data.npz"
    )
    assert not (folder / "cert.json.partial").exists()


def test_run_again_it_holds(folder, capsys):
    code, said = again(capsys)
    assert code == 0
    assert said.out.endswith("cert.json: holds, every hash and count is the same\n")
    (folder / "net.safetensors").rename(folder / "moved.safetensors")
    (folder / "data.npz").rename(folder / "moved.npz")
    assert again(capsys)[0] == 2
    assert again(capsys, "moved.safetensors", "--data", "moved.npz")[0] == 0


@pytest.mark.parametrize(("file", "named"), [("net", "network"), ("copy", "network copy.safetensors")])
def test_one_weight_is_another(folder, capsys, file, named):
    changed = planted_faults(NETWORK)["weight bit"][0]
    store.save(changed, f"{file}.safetensors")
    code, said = again(capsys)
    assert code == 1
    digests = NETWORK.digest()[:12], changed.digest()[:12]
    assert said.out == (
        f"cert.json: does not hold\n  {named} has changed: the certificate has hash {digests[0]}, now {digests[1]}\n"
    )


def test_one_spike_is_another(folder, capsys):
    spikes = spikes_for(NETWORK, samples=7)
    spikes[6, 3, 5] ^= 1
    np.savez("data.npz", spikes=spikes, labels=np.zeros(7, np.int64))
    code, said = again(capsys, "--json")
    assert code == 1
    answer = json.loads(said.out)
    assert answer["holds"] is False
    assert [line.partition(":")[0] for line in answer["differences"]] == ["data has changed"]


def test_a_claim_that_is_not_true_is_named(folder, capsys):
    item = json.loads((folder / "cert.json").read_text())
    item["passed"] = False
    item["engines"][1] |= {"compared": 1, "differing_spikes": 5, "version": "bitspike 0.0"}
    (folder / "cert.json").write_text(json.dumps(item))
    code, said = again(capsys)
    assert code == 1
    assert said.out.split("cert.json: does not hold\n")[1].splitlines() == [
        "  engine copy.safetensors: compared 1 in the certificate, now 1008",
        "  engine copy.safetensors: differing spikes 5 in the certificate, now 0",
        "  result: not equal in the certificate, now equal",
    ]
    assert "note: engine copy.safetensors was bitspike 0.0, now bitspike" in said.out


def test_a_network_that_differs_has_a_certificate_too(folder, capsys):
    store.save(planted_faults(NETWORK)["weight bit"][0], "copy.safetensors")
    command = ["verify", "net.safetensors", "--data", "data.npz", "--against", "copy.safetensors"]
    assert main([*command, "--certificate-out", "cert.json"]) == 1
    assert read_certificate("cert.json").passed is False
    code, said = again(capsys)
    assert (code, said.out.splitlines()[-1]) == (0, "cert.json: holds, every hash and count is the same")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("format", "x", "is not a certificate of bitspike"),
        ("version", 3, "version 3; this bitspike reads 2"),
        ("version", True, "version True; this bitspike reads 2"),
        ("more", 1, "certificate: keys against, bitspike"),
        ("network", {"name": "a"}, "network: keys name; expected digest, name"),
        ("network", {"name": "a", "digest": "A" * 64}, "is no SHA-256 in hexadecimal"),
        ("data", None, "data: keys NoneType; expected digest, name"),
        ("engines", [], "engines: 0; expected 2 to 64"),
        ("engines", [1, 2], "engine: keys int; expected"),
        ("engines", {}, "engines is {}; expected list"),
        ("against", [], "against is \\[\\]; expected dict"),
        ("passed", 1, "passed is 1; expected bool"),
        ("command", "rm -rf", "command: is not that of the inputs"),
        ("bitspike", ["\x1b[2J"], "bitspike is"),
        ("inputs", {"network": "x"}, "inputs: keys network; expected adversarial, against"),
    ],
)
def test_what_strangers_wrote_is_refused_in_one_line(folder, capsys, key, value, said):
    item = json.loads((folder / "cert.json").read_text())
    (folder / "cert.json").write_text(json.dumps(item | {key: value}))
    with pytest.raises(FileError, match=said) as caught:
        read_certificate("cert.json")
    assert str(caught.value).isprintable()
    code, shown = again(capsys)
    assert code == 2
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[" * 100000, b"\xff\xfe", b'{"format": 1, "format": 2}', b"9" * 10000, b" " * ((1 << 20) + 1)],
)
def test_no_json_at_all(tmp_path, text):
    path = tmp_path / "cert.json"
    path.write_bytes(text)
    with pytest.raises(FileError, match=r"cert.json: is ") as caught:
        read_certificate(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_options_that_a_certificate_has_already_are_refused(folder, capsys):
    code, said = again(capsys, "--samples", "3")
    assert code == 2
    assert "--certificate: says all but where files are" in said.err
    assert main(["verify", "net.safetensors", "--data", "data.npz", "--resume"]) == 2
    assert "--resume: goes on with what --certificate-out had begun" in capsys.readouterr().err
    assert main(["verify", "--data", "data.npz"]) == 2
    assert "NET: missing; expected a network file, or --certificate" in capsys.readouterr().err


def test_a_stopped_command_goes_on(folder, capsys, monkeypatch):
    from bitspike.sim import chunks

    real, calls = chunks.simulate, []

    def simulate(*arguments, **options):
        calls.append(1)
        if len(calls) == 4:
            raise MemoryError
        return real(*arguments, **options)

    command = ["verify", "net.safetensors", "--data", "data.npz", "--against", "copy.safetensors", "--chunk", "2"]
    command += ["--certificate-out", "b.json"]
    with monkeypatch.context() as patch:
        patch.setattr(chunks, "simulate", simulate)
        with pytest.raises(MemoryError):
            main(command)
    assert main(command) == 2
    assert "b.json.partial: is there already; resume it, or remove it" in capsys.readouterr().err
    calls.clear()
    monkeypatch.setattr(chunks, "simulate", lambda *a, **k: calls.append(1) or real(*a, **k))
    assert main([*command, "--resume"]) == 0
    assert len(calls) == 2 * 3
    assert read_certificate("b.json").engines[1].samples == 7
    assert not (folder / "b.json.partial").exists()


def test_the_version_of_every_engine_is_told():
    from bitspike.sim.engines import ENGINES

    for name in ENGINES:
        assert module.engine_version(name).startswith("bitspike ")
    assert "onnxruntime " in module.engine_version("onnx")
    assert "lava-nc" in module.engine_version("lava")
    assert "numpy" in module.engine_version("other.safetensors")


def test_a_verification_in_python_gives_the_certificate_of_the_command(folder):
    from bitspike import load, load_data, verify

    data = load_data("data.npz", steps=4)
    result = verify(load("net.safetensors"), data=data, engines=["reference"], against={"copy.safetensors": NETWORK})
    result.certificate("net.safetensors", "data.npz").save("python.json")
    assert (folder / "python.json").read_bytes() == (folder / "cert.json").read_bytes()
    searched = verify(load("net.safetensors"), engines=["fast", "reference"], adversarial=2, seed=5)
    searched.certificate("net.safetensors", seed=5).save("python.json")
    assert main(["verify", "--certificate", "python.json"]) == 0


def test_a_trained_model_is_named_by_the_command_alone():
    from bitspike.sim.compare import EngineResult
    from bitspike.sim.verify import Verification

    rows = [
        EngineResult(
            engine=name, against="", samples=1, steps=1, compared=1, differing_spikes=0, differing_currents=0,
            differing_membranes=0, latency=0, seconds=0.0, first=None,
        )
        for name in ("reference", "torch")
    ]  # fmt: skip
    result = Verification(network="n", digest="0", data="d", data_digest="0", baseline="reference", engines=tuple(rows))
    with pytest.raises(UsageError, match="certificate: engine torch ran; expected bitspike verify --run RUN"):
        result.certificate("net.safetensors", "digits")
