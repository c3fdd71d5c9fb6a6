"""The import order train -> convert -> targets -> sim -> cli is a rule, and torch is paid for by training alone."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import bitspike

PACKAGE = Path(bitspike.__file__).parent
ALLOWED = {
    "train": {"train"},
    "convert": {"convert"},
    "targets": {"convert", "targets"},
    "sim": {"convert", "targets", "sim"},
}
SHARED = {"compiled", "errors", "files", "samples"}


def imported_parts(file):
    """Second parts of the names ``bitspike.<part>...`` that `file` imports anywhere, functions included."""
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{file}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "bitspike" and len(parts) > 1:
                yield parts[1]


@pytest.mark.parametrize("part", ALLOWED)
def test_nobody_imports_against_the_arrow(part):
    files = list((PACKAGE / part).rglob("*.py"))
    assert files
    for file in files:
        foreign = set(imported_parts(file)) - ALLOWED[part] - SHARED
        assert not foreign, f"{file} imports bitspike.{foreign.pop()}"


@pytest.mark.parametrize("name", sorted(SHARED))
def test_shared_modules_import_no_part(name):
    assert set(imported_parts(PACKAGE / f"{name}.py")) <= SHARED


@pytest.mark.parametrize(
    "code",
    [
        "import bitspike",
        "import bitspike.api",
        "from bitspike import collapse, energy, export, load, lower, simulate, verify",
        "import bitspike.convert.network, bitspike.convert.rules, bitspike.convert.store, bitspike.convert.text",
        "import bitspike.convert.collapse, bitspike.convert.ranges, bitspike.convert.retime",
        "from bitspike.convert.formats import FORMATS, export, load",
        "import bitspike.targets, bitspike.targets.chips, bitspike.targets.lava.lower",
        "import bitspike.sim.reference, bitspike.sim.verify, bitspike.sim.energy",
        "import bitspike.train, bitspike.train.data",
        "from bitspike.api import load_data; assert len(load_data('digits').labels)",
        "from bitspike.cli import main; assert main(['--help']) == 0",
        "from bitspike.cli import main; assert main(['simulate', '--help']) == 0",
    ],
)
def test_starts_without_torch_or_lava(code):
    check = f"import sys\n{code}\nassert not {{'torch', 'lava'}} & set(sys.modules), 'imported'"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_simulate_runs_without_torch(tmp_path):
    from builders import chain

    from bitspike.convert.store import save

    save(chain((64, 8, 10)), tmp_path / "net.safetensors")
    code = (
        "import sys\nfrom bitspike.cli import main\n"
        f"assert main(['simulate', {str(tmp_path / 'net.safetensors')!r}, '--data', 'digits', '--samples', '3']) == 0\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_public_names_exist_and_print_well():
    for name in bitspike.__all__:
        assert getattr(bitspike, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        bitspike.nonsense  # noqa: B018


def test_the_links_at_the_top_lead_to_the_parts():
    top = PACKAGE.parent
    if not (top / "pyproject.toml").exists():
        pytest.skip("not a checkout")
    for part in ALLOWED:
        assert (top / part).is_symlink()
        assert (top / part).resolve() == (PACKAGE / part).resolve()
