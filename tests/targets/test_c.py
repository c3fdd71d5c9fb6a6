"""The generated C is the reference on every value, with two compilers, all warnings and both sanitisers."""

import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import networks, spatial_networks, spikes_for

from bitspike.convert.connections import Dense
from bitspike.convert.network import Input, IntegerNetwork, Population, Readout
from bitspike.convert.weights import weights_of
from bitspike.errors import UnsupportedError, UsageError
from bitspike.sim.engines.c import FLAGS, run
from bitspike.sim.reference import run_reference
from bitspike.targets.c.source import generate, write

SANITISED = (*FLAGS, "-O1", "-fsanitize=undefined,address", "-fno-sanitize-recover=all")
COMPILERS = [one for one in ("gcc", "clang") if shutil.which(one)]
pytestmark = pytest.mark.skipif(not COMPILERS, reason="needs a C compiler: install gcc or clang")
ANY = st.one_of(networks(graded=True, inputs=(1, 3)), spatial_networks(graded=True), networks(neurons=70))


def assert_equal(data):
    network = data.draw(ANY)
    spikes = data.draw(spikes_for(network))
    found = run(network, spikes, flags=SANITISED, compiler=data.draw(st.sampled_from(COMPILERS)))
    expected = run_reference(network, spikes)
    for name, trace in expected.traces.items():
        for quantity in ("spikes", "u", "v"):
            one, other = getattr(trace, quantity), getattr(found.traces[name], quantity)
            assert one.dtype == other.dtype
            assert np.array_equal(one, other), (name, quantity)


@settings(max_examples=12)
@given(st.data())
def test_every_kind_of_network(data):
    assert_equal(data)


@pytest.mark.slow
@settings(max_examples=200)
@given(st.data())
def test_two_hundred_networks(data):
    assert_equal(data)


def digits(name="digits of a test", **readout) -> IntegerNetwork:
    random = np.random.default_rng(0)
    return IntegerNetwork(
        name=name,
        steps=6,
        inputs=(Input(name="input", shape=(70,)),),
        populations=(
            Population(name="int", shape=(90,), dv=500, vth=3, bias_mantissa=random.integers(-9, 9, 90)),
            Population(name="out", shape=(5,), dv=0, vth=131071, bias_mantissa=np.zeros(5, np.int32)),
        ),
        connections=(
            Dense(source="input", target="int", weights=weights_of(random.choice([-1, 1], (90, 70)))),
            Dense(source="int", target="out", weights=weights_of(random.integers(-90, 90, (5, 90)))),
        ),
        readouts=(Readout(**({"population": "out", "kind": "membrane_sum"} | readout)),),
    )


@pytest.mark.parametrize("readout", [{}, {"kind": "membrane_last"}, {"population": "int", "kind": "spike_count"}])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_program_of_a_user_gets_the_classes(tmp_path, readout, compiler):
    network = digits(**readout)
    write(network, tmp_path / "digits.c")
    spikes = (np.random.default_rng(1).random((9, 6, 70)) < 0.3).astype(np.uint8)
    spikes.tofile(tmp_path / "spikes.bin")
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "digits.h"\n'
        "int main(void)\n{\n    static digits_state state;\n    static uint8_t spikes[DIGITS_STEPS * DIGITS_INPUTS];\n"
        "    while (fread(spikes, sizeof spikes, 1, stdin) == 1)\n"
        '        printf("%d\\n", digits_classify(&state, spikes));\n    return 0;\n}\n'
    )
    command = [compiler, *SANITISED, "digits.c", "main.c", "-o", "digits"]
    subprocess.run(command, cwd=tmp_path, check=True)
    with (tmp_path / "spikes.bin").open("rb") as file:
        said = subprocess.run([tmp_path / "digits"], stdin=file, capture_output=True, text=True, check=True).stdout
    expected = run_reference(network, spikes).predictions(network)
    assert [int(line) for line in said.split()] == expected.tolist()
    assert len(set(expected.tolist())) > 1


def test_a_name_cannot_leave_its_comment():
    made = generate(digits(name='a */ int main(void) { return 1; } /* "'), "digits")
    for text in (made.header, made.source):
        outside = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
        assert "main" not in outside


def test_the_weights_are_packed():
    made = generate(digits(), "digits")
    assert "static const uint64_t input_to_int_0[180]" in made.source
    assert "static const int8_t int_to_out_1[450]" in made.source
    assert "malloc" not in made.source


@pytest.mark.parametrize("name", ["Digits", "2digits", "di-gits", "", "x" * 80])
def test_a_name_that_is_none_in_c_is_refused(name):
    with pytest.raises(UsageError, match="expected small letters, digits and _"):
        generate(digits(), name)


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"ending '\.cpp'; expected \.c"):
        write(digits(), tmp_path / "digits.cpp")
    assert list(tmp_path.iterdir()) == []


def test_several_answers_are_refused():
    network = digits()
    heads = (*network.readouts, Readout(population="int", kind="spike_count", answer="other"))
    with pytest.raises(UnsupportedError, match="answers '', 'other'; C holds one"):
        generate(replace(network, readouts=heads), "digits")


def test_the_commands(tmp_path, capsys):
    from bitspike.cli import main
    from bitspike.convert.store import save

    save(digits(), tmp_path / "digits.safetensors")
    np.savez(tmp_path / "data.npz", spikes=np.ones((2, 6, 70), np.uint8), labels=np.zeros(2, np.int64))
    assert main(["export", str(tmp_path / "digits.safetensors"), "--out", str(tmp_path / "digits.c")]) == 0
    assert (tmp_path / "digits.h").exists()
    command = ["verify", str(tmp_path / "digits.safetensors"), "--data", str(tmp_path / "data.npz")]
    assert main([*command, "--engine", "reference", "--engine", "c", "--engine", "fast"]) == 0
    assert "equal: every compared value" in capsys.readouterr().out
