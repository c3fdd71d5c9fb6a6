"""What tests compare of run folders."""

import json


def measured(folder):
    """Return what each epoch's metrics are, without the time that it took."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(line.pop("seconds") > 0 for line in lines)
    return lines
