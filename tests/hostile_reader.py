"""Reads the files of a request and prints what came of each; see :func:`hostile_files.outcomes`."""

import json
import resource
import sys
import time
from pathlib import Path

from bitspike.convert import netx_file, nir_file, onnx_file, store
from bitspike.convert.floating.nir_import import from_nir

READERS = {
    "safetensors": store.load,
    "nir": nir_file.read,
    "nir-foreign": lambda path: from_nir(path, dt=1e-3),
    "onnx": onnx_file.read,
    "netx": netx_file.read,
    "lavadl": lambda path: netx_file.read(path, steps=5),
}


def megabytes():
    """The largest size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(request):
    """Read the first file twice: what its reader imports is no one's fault."""
    files = json.loads(Path(request).read_text())
    outcomes, before = {}, 0.0
    for index, (reader, path) in enumerate([files[0], *files]):
        begun = time.process_time()
        try:
            READERS[reader](path)
            kind, said = "network", ""
        except Exception as error:  # noqa: BLE001 - the test looks at which it is
            kind, said = type(error).__name__, str(error)
        outcomes[Path(path).name] = {"kind": kind, "said": said, "cpu": time.process_time() - begun}
        before = megabytes() if index == 0 else before
    outcomes[""] = {"grown": megabytes() - before}
    sys.stdout.write(json.dumps(outcomes))


if __name__ == "__main__":
    main(sys.argv[1])
