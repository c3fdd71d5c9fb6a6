"""What processes run that tests launch; a launched process imports it by name."""

import json
import os
import signal
import time

from bitspike.errors import UsageError
from bitspike.train.loop import Trainer


def watched(processes, recipe, folder):
    """Train, and write the fingerprint of all parameters after each epoch."""
    trainer = Trainer(recipe, processes)
    found = []
    while not trainer.finished:
        for _ in trainer.run_epoch():
            pass
        found.append(trainer.fingerprint())
    (folder / f"{processes.rank}.json").write_text(json.dumps(found))
    processes.wait()


def killed(processes):
    """End one process without a word while the other waits for it."""
    if processes.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    processes.wait()
    time.sleep(600)


def refused(processes):
    """Raise an error of ours in one process."""
    if processes.rank == 1:
        raise UsageError("recipe: found this; expected that")
    processes.wait()
