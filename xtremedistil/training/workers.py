"""Coordinates the processes of one run (`strategy` multi_worker).

All run the same command and see the same folders. The first, the chief, writes files and takes decisions; the others
wait until its files are there, and take over decisions that rounding could make differ between machines.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from xtremedistil.errors import InputError
from xtremedistil.storage.folders import locked


class Workers:
    """The processes of a strategy; most strategies have only one.

    Fields:
        index: number of this process, from 0. count: number of processes.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        self.index, self.count = _place(strategy)
        self._sum = None if self.count == 1 else _sum_over_workers(strategy, self.count)

    @property
    def chief(self) -> bool:
        return self.index == 0

    def broadcast_from_chief(self, value: float) -> float:
        """Returns the chief's value in all processes; each of them must call this."""
        return float(value) if self._sum is None else self._sum(float(value) if self.chief else 0.0)

    def wait(self) -> None:
        """Returns when all processes have called this."""
        self.broadcast_from_chief(0.0)

    def on_chief(self, work: Callable[[], None]) -> None:
        """Runs `work` in the chief while the others wait for it to end.

        Raises:
            InputError: in the others, if `work` failed in the chief.
        """
        done = False
        try:
            if self.chief:
                work()
            done = True
        finally:
            done = bool(self.broadcast_from_chief(done))
        if not done:
            raise InputError("The first worker has stopped; its terminal shows why.")

    def shares(self, rows: int) -> list[np.ndarray]:
        """Returns the rows of each process: consecutive, and equally many up to one."""
        return np.array_split(np.arange(rows), self.count)


@contextlib.contextmanager
def folder_lock(workers: Workers, folder: str) -> Iterator[None]:
    """Locks a folder for this run; the chief holds the lock for all workers."""
    with locked(folder) if workers.chief else contextlib.nullcontext():
        workers.wait()
        yield


@contextlib.contextmanager
def told_of_lost_workers(workers: Workers) -> Iterator[None]:
    """Turns TensorFlow's error for a lost process into an InputError."""
    try:
        yield
    except tf.errors.OpError as error:
        if workers.count == 1:
            raise
        reason = str(error.message).splitlines()[0] if error.message else type(error).__name__
        raise InputError(
            f"Worker {workers.index} of {workers.count} stops: another has ended, or cannot be reached ({reason}).\n"
            "Its terminal shows why. Start the same command again on all of them; it resumes from the last save."
        ) from error


def _place(strategy: tf.distribute.Strategy) -> tuple[int, int]:
    """Returns the number of this process, and how many there are."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 0, 1
    resolver = strategy.cluster_resolver
    tasks = _tasks(resolver.cluster_spec().as_dict())
    return (tasks.index((resolver.task_type, resolver.task_id)), len(tasks)) if tasks else (0, 1)


def _tasks(cluster: dict[str, Sequence[str]]) -> list[tuple[str, int]]:
    return [(kind, number) for kind in ("chief", "worker") for number in range(len(cluster.get(kind, ())))]


def _sum_over_workers(strategy: tf.distribute.Strategy, workers: int) -> Callable[[float], float]:
    """Returns a function that sums a value over all processes."""

    def replica(value):
        on_this_device = tf.identity(value)  # the sum is returned to the device of its parts
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, on_this_device)

    @tf.function(input_signature=[tf.TensorSpec([], tf.float64)])
    def total(value):
        return strategy.experimental_local_results(strategy.run(replica, args=(value,)))[0]

    devices = strategy.num_replicas_in_sync // workers  # of one process, and each adds its value
    return lambda value: float(total(tf.constant(value, tf.float64))) / devices
