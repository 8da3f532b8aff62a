"""The processes of one run (`strategy` multi_worker): which of them this is, and how they keep together.

All run the same command and see the same folders. The first, the chief, writes and decides; the others wait for it
where something has to be on disk, and take its word where two machines could round to different decisions.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from xtremedistil.errors import InputError
from xtremedistil.storage.folders import locked


class Workers:
    """The processes of a strategy; most strategies have one, which waits for nobody.

    Fields:
        index: of this process, from 0. count: of all.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        self.index, self.count = _place(strategy)
        self._sum = None if self.count == 1 else _sum_over_workers(strategy, self.count)

    @property
    def chief(self) -> bool:
        return self.index == 0

    def agree(self, value: float) -> float:
        """The chief's value, in all processes; every one of them has to ask."""
        return float(value) if self._sum is None else self._sum(float(value) if self.chief else 0.0)

    def wait(self) -> None:
        """Returns when all processes have come here."""
        self.agree(0.0)

    def on_chief(self, work: Callable[[], None]) -> None:
        """Runs `work` in the chief while the others wait for it to end.

        Raises:
            InputError: in the others, if it failed in the chief.
        """
        done = False
        try:
            if self.chief:
                work()
            done = True
        finally:
            done = bool(self.agree(done))
        if not done:
            raise InputError("The first worker has stopped; what it wrote on its own terminal says why.")

    def shares(self, rows: int) -> list[np.ndarray]:
        """Numbers of the rows that fall to each process: neighbours, and as many for one as for another."""
        return np.array_split(np.arange(rows), self.count)


@contextlib.contextmanager
def in_turn(workers: Workers, folder: str) -> Iterator[None]:
    """Within, the folder is this run's alone: its first worker holds the lock for all."""
    with locked(folder) if workers.chief else contextlib.nullcontext():
        workers.wait()
        yield


@contextlib.contextmanager
def told_of_lost_workers(workers: Workers) -> Iterator[None]:
    """Turns what TensorFlow says when another process has gone into an InputError."""
    try:
        yield
    except tf.errors.OpError as error:
        if workers.count == 1:
            raise
        reason = str(error.message).splitlines()[0] if error.message else type(error).__name__
        raise InputError(
            f"Worker {workers.index} of {workers.count} stops: another has ended, or cannot be reached ({reason}).\n"
            "Its own terminal says why. Start the same command again on all of them: it goes on where it was saved."
        ) from error


def _place(strategy: tf.distribute.Strategy) -> tuple[int, int]:
    """Number of this process, and of all."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 0, 1
    resolver = strategy.cluster_resolver
    tasks = _tasks(resolver.cluster_spec().as_dict())
    return (tasks.index((resolver.task_type, resolver.task_id)), len(tasks)) if tasks else (0, 1)


def _tasks(cluster: dict[str, Sequence[str]]) -> list[tuple[str, int]]:
    return [(kind, number) for kind in ("chief", "worker") for number in range(len(cluster.get(kind, ())))]


def _sum_over_workers(strategy: tf.distribute.Strategy, workers: int) -> Callable[[float], float]:
    """A sum that every process joins."""

    def replica(value):
        on_this_device = tf.identity(value)  # the sum is sent back to where its parts are
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, on_this_device)

    @tf.function(input_signature=[tf.TensorSpec([], tf.float64)])
    def total(value):
        return strategy.experimental_local_results(strategy.run(replica, args=(value,)))[0]

    devices = strategy.num_replicas_in_sync // workers  # of one process, and each adds its value
    return lambda value: float(total(tf.constant(value, tf.float64))) / devices
