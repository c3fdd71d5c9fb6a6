"""Lava becomes importable, nothing else changes, and its absence is told with the command that helps."""

import dataclasses
import multiprocessing
import subprocess
import sys

import pytest
from lava_support import needs_lava, needs_lava_dl

from bitspike.errors import MissingDependencyError, UnsupportedError
from bitspike.targets.lava import repair

HELP = "run: bitspike doctor --install lava"


def in_a_new_process(code):
    """Run `code` where nothing has been imported yet; return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@needs_lava
def test_lava_is_importable_and_dataclasses_are_as_before():
    before = dataclasses.dataclass
    start_method = multiprocessing.get_start_method(allow_none=True)
    repair.import_lava()
    repair.import_lava()
    from lava.magma.compiler.var_model import ByteEncoder, CoreEncoder

    assert dataclasses.dataclass is before
    assert multiprocessing.get_start_method(allow_none=True) == start_method
    assert CoreEncoder().x == ByteEncoder()


@needs_lava
def test_lava_alone_is_broken_here_and_a_settled_start_method_stays():
    code = (
        "import multiprocessing; multiprocessing.set_start_method('spawn')\n"
        "try:\n import lava.magma.compiler.var_model\nexcept ValueError: print('broken')\n"
        "from bitspike.targets.lava.repair import import_lava; import_lava()\n"
        "import lava.proc.lif.process; print(multiprocessing.get_start_method())"
    )
    assert in_a_new_process(code) == ["broken", "spawn"]


def test_only_the_broken_module_is_repaired():
    with repair.repaired():

        @dataclasses.dataclass
        class Other:
            x: int = 0

        broken = type("Broken", (), {"__module__": repair.BROKEN, "__annotations__": {"x": int}, "x": 0})
        repaired = dataclasses.dataclass(broken)
    assert Other.__hash__ is None
    assert hash(repaired(1)) == hash(repaired(1))


def test_dataclasses_are_restored_after_an_error():
    before = dataclasses.dataclass
    with pytest.raises(ZeroDivisionError), repair.repaired():
        _ = 1 // 0
    assert dataclasses.dataclass is before


def test_absence_is_told_with_the_command(monkeypatch):
    monkeypatch.setattr(repair, "_found", lambda name: False)
    monkeypatch.setattr(repair, "_START_METHOD", "not imported yet")
    with pytest.raises(MissingDependencyError, match=f"^Lava is not installed; {HELP}$"):
        repair.import_lava()
    with pytest.raises(MissingDependencyError, match=f"^lava-dl is not installed; {HELP}$"):
        repair.require_lava_dl()


def test_a_missing_requirement_is_named(monkeypatch):
    def lacking(name):
        raise ModuleNotFoundError("No module named 'asteval'", name="asteval")

    monkeypatch.setattr(repair, "_found", lambda name: True)
    monkeypatch.setattr(repair, "_START_METHOD", "not imported yet")
    monkeypatch.setattr(repair.importlib, "import_module", lacking)
    with pytest.raises(MissingDependencyError, match=f"^Lava lacks asteval; {HELP}$"):
        repair.import_lava()


def test_finding_looks_without_importing():
    assert not repair._found("no_such_package.part")
    assert repair._found("json")


@needs_lava_dl
def test_network_reader_loads_without_torch():
    code = (
        "import sys; from bitspike.targets.lava.repair import import_netx\n"
        "print(import_netx().Network.__name__); import_netx()\n"
        "print(*[m for m in ('torch', 'matplotlib', 'cv2') if m in sys.modules])\n"
        "try:\n import torch\nexcept ModuleNotFoundError as error: print(error.name)\n"
    )
    assert in_a_new_process(code) == ["Network", "torch"]


def test_other_neurons_than_cuba_are_refused_by_the_stand_in():
    with pytest.raises(UnsupportedError, match="resonate-and-fire"):
        repair._resonate_and_fire({})


def test_importing_targets_imports_neither_lava_nor_torch():
    code = (
        "import sys, bitspike.targets, bitspike.targets.chips, bitspike.targets.lava.install\n"
        "import bitspike.targets.lava.lower, bitspike.targets.lava.child, bitspike.sim.engines.lava_models\n"
        "print(*[m for m in ('torch', 'lava') if m in sys.modules])"
    )
    assert in_a_new_process(code) == []
