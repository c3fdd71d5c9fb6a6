"""Installation with a pip that only notes what it is asked, and an environment folder of the test's own."""

import subprocess
import sys

import pytest
from lava_support import needs_lava

from bitspike.errors import MissingDependencyError
from bitspike.targets.lava import install


class FakePip:
    """Takes the place of ``subprocess.run``: notes the commands, and fails where it is told to."""

    def __init__(self, status=0, stderr=""):
        self.commands, self.status, self.stderr = [], status, stderr

    def __call__(self, command, **options):
        self.commands.append(command)
        assert options == {"capture_output": True, "text": True, "check": False}
        return subprocess.CompletedProcess(command, self.status, stdout="", stderr=self.stderr)


@pytest.fixture
def nothing_installed(monkeypatch):
    """An environment in which nothing is found and nothing stray lies about."""
    monkeypatch.setattr(install, "find_spec", lambda name: None)
    monkeypatch.setattr(install, "_version", lambda name: None)
    monkeypatch.setattr(install, "remove_stray_tests", lambda: 7)


def wheel(folder, name, files):
    """Write a distribution of `files` into an environment folder."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in [*files, f"{info.name}/METADATA"]))


def test_installs_what_is_missing_without_the_pins(nothing_installed):
    pip = FakePip()
    steps = list(install.install_lava(run=pip))
    first, second = pip.commands
    assert first[:4] == second[:4] == [sys.executable, "-m", "pip", "install"]
    assert first[5:] == ["asteval", "networkx", "scipy", "h5py"]
    assert second[5:] == ["--no-deps", "--ignore-requires-python", "lava-nc==0.10.0", "lava-dl==0.6.0"]
    assert steps == [
        "Installed asteval, networkx, scipy, h5py.",
        "Installed lava-nc==0.10.0, lava-dl==0.6.0, without the old versions that they pin.",
        "Removed the stray package tests that they bring (7 files).",
    ]


def test_a_second_time_does_nothing(monkeypatch):
    monkeypatch.setattr(install, "find_spec", lambda name: object())
    monkeypatch.setattr(install, "_version", install.PINNED.get)
    monkeypatch.setattr(install, "remove_stray_tests", lambda: 0)
    pip = FakePip()
    assert list(install.install_lava(run=pip)) == ["Lava is installed already."]
    assert pip.commands == []


def test_another_version_is_replaced(monkeypatch, nothing_installed):
    monkeypatch.setattr(install, "find_spec", lambda name: object())
    monkeypatch.setattr(install, "_version", {"lava-nc": "0.9.0", "lava-dl": "0.6.0"}.get)
    pip = FakePip()
    list(install.install_lava(run=pip))
    assert [command[-1] for command in pip.commands] == ["lava-nc==0.10.0"]


def test_pips_own_words_on_failure(nothing_installed):
    pip = FakePip(1, "WARNING: Retrying\nERROR: No matching distribution found for asteval\n\n[notice] new release\n")
    with pytest.raises(MissingDependencyError) as raised:
        list(install.install_lava(run=pip))
    expected = "pip could not install asteval, networkx, scipy, h5py: ERROR: No matching distribution found for asteval"
    assert str(raised.value) == expected


def test_no_pip_is_told(nothing_installed):
    with pytest.raises(MissingDependencyError, match=r"No module named pip$"):
        list(install.install_lava(run=FakePip(1, "/usr/bin/python: No module named pip\n")))


def test_only_the_wheels_own_tests_go(tmp_path):
    wheel(tmp_path, "lava-nc", ["lava/a.py", "tests/__init__.py", "tests/lava/one.py", "tests/lava/data/x.npz"])
    wheel(tmp_path, "lava_dl", ["tests/__init__.py", "tests/lava/lib/two.py", "tests/shared/three.py"])
    wheel(tmp_path, "somebody-else", ["other/b.py", "tests/shared/three.py", "tests/theirs.py"])
    (tmp_path / "tests/lava/notes.txt").write_text("mine")
    for cache in ("tests/lava/__pycache__", "tests/lava/lib/__pycache__"):
        (tmp_path / cache).mkdir()
    (tmp_path / "tests/lava/__pycache__/one.cpython-311.pyc").write_text("")
    (tmp_path / "tests/lava/lib/__pycache__/two.cpython-312.pyc").write_text("")

    assert install.remove_stray_tests([str(tmp_path)]) == 4
    left = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "tests").rglob("*"))
    assert left == ["tests/lava", "tests/lava/notes.txt", "tests/shared", "tests/shared/three.py", "tests/theirs.py"]
    assert (tmp_path / "lava/a.py").exists()
    assert install.remove_stray_tests([str(tmp_path)]) == 0


def test_the_whole_folder_goes_where_nothing_else_is_in_it(tmp_path):
    wheel(tmp_path, "lava-nc", ["tests/__init__.py", "tests/lava/one.py"])
    assert install.remove_stray_tests([str(tmp_path)]) == 2
    assert not (tmp_path / "tests").exists()


def test_paths_that_lead_out_are_left_alone(tmp_path):
    environment = tmp_path / "environment"
    environment.mkdir()
    wheel(environment, "lava-nc", ["tests/../../precious.py"])
    assert install.remove_stray_tests([str(environment)]) == 0
    assert (tmp_path / "precious.py").exists()


def test_status_without_lava(monkeypatch):
    monkeypatch.setattr(install, "_version", lambda name: None)
    status = install.lava_status()
    assert status["lava-nc"] is status["lava-dl"] is None
    assert not status["importable"]
    assert status["install"] == "bitspike doctor --install lava"
    assert status["problem"] == "not installed"


@needs_lava
def test_status_with_lava():
    status = install.lava_status()
    assert status["lava-nc"] == "0.10.0"
    assert status["asteval"]
    assert status["importable"], status["problem"]


def test_status_tells_why_an_installed_lava_does_not_work(monkeypatch):
    monkeypatch.setattr(install, "_version", lambda name: "0.10.0")
    monkeypatch.setattr(install, "_IMPORTS", "print('lava', flush=True); raise ImportError('lacks h5py')")
    status = install.lava_status()
    assert (status["importable"], status["netx"]) == (True, False)
    assert status["problem"] == "ImportError: lacks h5py"
