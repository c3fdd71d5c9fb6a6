"""Verification on many machines: chunks of samples as tasks of a Dask cluster.

Why Dask distributed, and not Ray: it is pure Python, which runs on every platform, has few dependencies, starts with
two commands (``dask scheduler``, and ``dask worker tcp://HOST:8786`` on each machine) or inside a test, runs on batch
systems by other people's packages, and gives the tasks of a worker that died to another by itself. Our tasks need no
more: each is a pure function of its samples.

Nothing is lost and nothing is counted twice. A task carries all that it needs, and its key is a hash of that, so that
it may run again, anywhere, with the same result. Each result is taken once, in the order of the samples, and must be
that of the chunk that was asked for. What comes out is what one machine would have given; so is a certificate.

Samples travel packed, a bit a spike, and few chunks are under way at once, so that memory does not grow with the data,
neither here nor there. A cluster runs what its clients send it as pickles: use one that is yours, or speak TLS to it.
"""

import hashlib
import pickle
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

import bitspike
from bitspike.errors import EngineError, MissingDependencyError, UsageError
from bitspike.samples import SpikeData, Spikes
from bitspike.sim.chunks import Piece, Plan, run_piece, samples_of
from bitspike.sim.ledger import Chunk

if TYPE_CHECKING:
    from distributed import Client, Future

INSTALL = "python -m pip install distributed"
#: Chunks under way for each thread of the cluster: one runs, the others wait beside it.
AHEAD = 2
#: Seconds that a scheduler and its first worker have to answer, and after which we look whether any worker is left.
PATIENCE_S = 20


def run_shards(
    scheduler: str, plan: Plan, data: Spikes, parts: Sequence[Piece], tell: Callable[[str, int, int], None]
) -> Iterator[Chunk]:
    """Run chunks on a cluster and yield what came of them, in order.

    Args:
        scheduler: its address, such as ``tcp://HOST:8786``.
        plan: what is done with every chunk.
        data: samples, encoded here, part by part.
        parts: the chunks.
        tell: called with how many came back, and how many there are.

    Raises:
        MissingDependencyError: Dask distributed is not installed here.
        EngineError: no scheduler or no worker answers, a worker has another bitspike, or a task kills its workers.
        UsageError: what is no address.
    """
    client = _connected(scheduler)
    try:
        threads = sum(client.nthreads().values())
        mark = hashlib.sha256(pickle.dumps(plan)).digest()
        left = deque(parts)
        waiting: deque[tuple[Piece, Future[Chunk]]] = deque()
        while left or waiting:
            while left and len(waiting) < AHEAD * threads + 1:
                piece = left.popleft()
                waiting.append((piece, _submitted(client, plan, mark, piece, samples_of(data, piece))))
            piece, future = waiting.popleft()
            tell("chunks", parts.index(piece), len(parts))
            yield _result(client, future, piece)
    finally:
        client.close()


def _submitted(client: "Client", plan: Plan, mark: bytes, piece: Piece, samples: SpikeData) -> "Future[Chunk]":
    packed = np.packbits(samples.spikes)
    key = hashlib.sha256(mark + repr((piece, samples.spikes.shape)).encode() + packed.tobytes()).hexdigest()
    task = (plan, piece, packed, samples.spikes.shape)
    return client.submit(_run_task, *task, key=f"bitspike-{key}", pure=True)


def _run_task(plan: Plan, piece: Piece, packed: npt.NDArray[np.uint8], shape: tuple[int, int, int]) -> Chunk:
    """What a worker does."""
    spikes = np.unpackbits(packed, count=int(np.prod(shape))).reshape(shape)
    return run_piece(plan, piece, SpikeData(name="shard", spikes=spikes, labels=np.zeros(len(spikes), np.int64)))


def _result(client: "Client", future: "Future[Chunk]", piece: Piece) -> Chunk:
    """What came of a task; errors of bitspike are raised here as they were there."""
    from distributed import KilledWorker
    from distributed import TimeoutError as OutOfTime

    while True:
        try:
            chunk: Chunk = future.result(timeout=PATIENCE_S)
        except OutOfTime:
            if not client.nthreads():
                raise EngineError("scheduler: no worker is left; start one, and --resume") from None
            continue
        except KilledWorker as error:
            raise EngineError(f"samples {piece.first} to {piece.last}: {str(error).splitlines()[0]}") from None
        if (chunk.first, chunk.last) != (piece.first, piece.last):
            raise EngineError(f"samples {piece.first} to {piece.last}: a worker returned those from {chunk.first}")
        return chunk


def _connected(scheduler: str) -> "Client":
    """A client of a cluster whose workers have this bitspike."""
    try:
        from distributed import Client
    except ImportError:
        raise MissingDependencyError(f"--scheduler: Dask distributed is not installed; run: {INSTALL}") from None
    try:
        client = Client(scheduler, timeout=PATIENCE_S, set_as_default=False)
    except OSError:
        raise EngineError(f"scheduler {scheduler}: does not answer") from None
    except ValueError as error:
        raise UsageError(f"scheduler {scheduler}: {error}; expected an address such as tcp://HOST:8786") from None
    try:
        client.wait_for_workers(1, timeout=PATIENCE_S)
        versions: dict[str, Any] = client.run(_version)
    except TimeoutError:
        client.close()
        raise EngineError(f"scheduler {scheduler}: has no worker; run: dask worker {scheduler}") from None
    except ImportError as error:
        client.close()
        raise EngineError(f"scheduler {scheduler}: a worker cannot import bitspike ({error})") from None
    for worker, version in versions.items():
        if version != bitspike.__version__:
            client.close()
            raise EngineError(f"worker {worker} has bitspike {version}; expected {bitspike.__version__}")
    return client


def _version() -> str:
    return bitspike.__version__
