"""Sets devices, precision and seeds of a run."""

import contextlib
import functools
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
import tf_keras

from xtremedistil.console.progress import Progress
from xtremedistil.errors import InputError, first_line
from xtremedistil.training.tpu_address import refuse_dead_address


def make_strategy(name: str, tpu: str | None = None) -> tf.distribute.Strategy:
    """Makes the strategy called `name`; `auto` takes all GPUs of this host if there are several, else one device.

    Raises:
        InputError: the TPU, or another worker, cannot be reached.
    """
    if name == "tpu":
        return _tpu_strategy(tpu)
    if name == "multi_worker":
        return _multi_worker_strategy()
    if name == "mirrored" or (name == "auto" and len(tf.config.list_logical_devices("GPU")) > 1):
        return _mirrored_strategy()
    gpu = tf.config.list_logical_devices("GPU")
    return tf.distribute.OneDeviceStrategy(gpu[0].name if gpu else "/cpu:0")


def _multi_worker_strategy() -> tf.distribute.Strategy:
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        raise InputError(
            f"`strategy` multi_worker: the workers of TF_CONFIG do not reach each other ({first_line(error)}).\n"
            "Start the same command on all of them, each with its own index, and check that they can connect."
        ) from error


@functools.cache
def _mirrored_strategy() -> tf.distribute.Strategy:
    """Makes one strategy per process: TensorFlow would confuse the sums over devices of two."""
    # Without GPUs, MirroredStrategy takes one CPU only unless all are named.
    cpus = [device.name for device in tf.config.list_logical_devices("CPU")]
    return tf.distribute.MirroredStrategy(None if tf.config.list_logical_devices("GPU") else cpus)


def wants_static_shapes(strategy: tf.distribute.Strategy) -> bool:
    """Whether the devices compile a program for each shape, so that few shapes should occur."""
    return isinstance(strategy, tf.distribute.TPUStrategy)


def _tpu_strategy(address: str | None) -> tf.distribute.Strategy:
    Progress().log(f"connecting to the TPU at {address or 'the default address'} ...")
    refuse_dead_address(address)
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=address or "")
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.OpError) as error:
        raise InputError(
            f"`strategy` tpu: no TPU answers at {address or 'the default address'} ({str(error).splitlines()[0]}).\n"
            "Give its name or grpc:// address with `tpu`, or use `strategy` auto."
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def set_precision(policy: str | None) -> None:
    """Sets the precision of layers that are built from now on; losses and heads stay in float32."""
    tf_keras.mixed_precision.set_global_policy(policy or "float32")


@contextlib.contextmanager
def precision(policy: str | None) -> Iterator[None]:
    """While active, layers are built with this precision; then the previous policy, global in Keras, is restored."""
    before = tf_keras.mixed_precision.global_policy()
    set_precision(policy)
    try:
        yield
    finally:
        tf_keras.mixed_precision.set_global_policy(before)


def seed_everything(seed: int) -> None:
    """Seeds initial weights and makes all operations deterministic."""
    tf_keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def stage_seed(seed: int, *place: int) -> int:
    """Returns a separate seed for each place in the plan (stage, chunk)."""
    return int(np.random.SeedSequence([seed, *place]).generate_state(1)[0] & 0x7FFFFFFF)
