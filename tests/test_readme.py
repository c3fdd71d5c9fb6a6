"""Commands and Python lines of the README and of docs/, run as they stand; only a recipe's length is cut."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """An empty folder with ``examples/digits.toml``, cut to two epochs."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "examples").mkdir()
    recipe = (ROOT / "examples" / "digits.toml").read_text(encoding="utf-8")
    short, changed = re.subn(r"epochs = \d+", "epochs = 2", recipe)
    assert changed == 1
    (folder / "examples" / "digits.toml").write_text(short, encoding="utf-8")
    return folder


def run(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def blocks(fence, text=README):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [text for opened, text in found if opened == fence]


def commands():
    lines = [line for block in blocks("") for line in block.splitlines()]
    return [line for line in lines if line.startswith("bitspike ")]


def test_the_commands(workplace):
    program = shutil.which("bitspike", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert program
    assert len(commands()) >= 14
    for line in commands():
        assert run([program, *line.split()[1:]], workplace)


def test_the_python_lines(workplace):
    (code,) = blocks("python")
    output = run([sys.executable, "-c", code], workplace)
    assert "equal: every compared value" in output
    assert "not included:" in output


def test_the_python_lines_of_networks_trained_elsewhere(workplace):
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    (code,) = blocks("python", (ROOT / "docs" / "snntorch.md").read_text(encoding="utf-8"))
    output = run([sys.executable, "-c", code], workplace)
    assert "equal: every compared value" in output
    assert "held out:" in output


def test_the_set_up_lines_are_what_ci_runs():
    indented = re.findall(r"^    (python -m pip .*)$", README, re.MULTILINE)
    assert indented == [
        'python -m pip install -c constraints.txt -e ".[plot]" && bitspike doctor --install lava && bitspike demo',
        'python -m pip install -c constraints.txt -e ".[test]" && bitspike doctor --install lava && '
        "python -m pytest -n auto",
    ]
    assert "README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_every_page_is_linked_to():
    linked = set(re.findall(r"\]\((docs/[^)#]+\.md)\)", README))
    assert linked == {f"docs/{page.name}" for page in PAGES[1:]}


def test_every_command_is_shown():
    from bitspike.cli.commands import app

    names = {command.name for command in (*app.registered_commands, *app.registered_groups)} - {"demo"}
    assert names == {line.split()[1] for line in commands()}
