"""Kept machine code is not older than any function in it."""

import os
import subprocess
import sys

CALLER = "from bitspike.compiled import compiled\nfrom pack.helper import inner\n\n@compiled\ndef outer(x):\n    return inner(x) + 1\n"  # noqa: E501
HELPER = "from bitspike.compiled import compiled\n\n@compiled\ndef inner(x):\n    return x * {factor}\n"
RUN = "from pack.caller import outer; print(outer(10), sum(outer.stats.cache_hits.values()))"


def test_a_change_in_a_helper_is_seen_by_those_that_call_it(tmp_path):
    folder = tmp_path / "pack"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "caller.py").write_text(CALLER)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}

    def run(factor=None):
        if factor is not None:
            (folder / "helper.py").write_text(HELPER.format(factor=factor))
        done = subprocess.run([sys.executable, "-c", RUN], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return tuple(map(int, done.stdout.split()))

    assert run(factor=2) == (21, 0)
    assert run() == (21, 1)
    assert run(factor=300) == (3001, 0)
