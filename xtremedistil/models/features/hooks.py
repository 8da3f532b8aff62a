"""Records outputs of layers deep inside a model while it runs.

Keras has no hooks, so a layer's `call` is replaced on the instance during a recording and restored after it. Threads of
replicas may record at the same time: each gets its own outputs, and the last one to finish restores `call`.
"""

import threading
from collections.abc import Sequence

import tensorflow as tf
import tf_keras

Layer = tf_keras.layers.Layer
_lock = threading.Lock()
_users: dict[int, int] = {}  # number of recordings that listen to a layer, by its id
_here = threading.local()  # .recording: the innermost one of this thread


class Recording:
    """Within the block, records the last output of each of `layers` in this thread."""

    def __init__(self, layers: Sequence[Layer]):
        self._layers = list({id(layer): layer for layer in layers}.values())
        self._outputs: dict[int, object] = {}

    def __enter__(self) -> "Recording":
        self._outer = getattr(_here, "recording", None)
        _here.recording = self
        with _lock:
            for layer in self._layers:
                _listen(layer)
        return self

    def __exit__(self, *_error) -> None:
        _here.recording = self._outer
        with _lock:
            for layer in self._layers:
                _stop_listening(layer)

    def output(self, layer: Layer) -> tf.Tensor | None:
        """Returns the output of `layer`: for a tuple or model output the first [B, S, H], else the first tensor; None
        if the layer did not run."""
        tensors = list(_tensors(self._outputs.get(id(layer))))
        states = [tensor for tensor in tensors if tensor.shape.rank == 3]
        return next(iter(states or tensors), None)

    def note(self, layer: Layer, output) -> None:
        self._outputs[id(layer)] = output


def _listen(layer: Layer) -> None:
    """Makes `layer` report its outputs to recordings."""
    _users[id(layer)] = _users.get(id(layer), 0) + 1
    if _users[id(layer)] == 1:
        vars(layer)["call"] = _reporting(layer)  # bypasses Keras, which would track it


def _stop_listening(layer: Layer) -> None:
    _users[id(layer)] -= 1
    if not _users[id(layer)]:
        del _users[id(layer)], vars(layer)["call"]


def _reporting(layer: Layer):
    original = layer.call

    def call(*args, **kwargs):
        output = original(*args, **kwargs)
        _report(layer, output)
        return output

    return call


@tf.autograph.experimental.do_not_convert
def _report(layer: Layer, output) -> None:
    recording = getattr(_here, "recording", None)
    if recording is not None:
        recording.note(layer, output)


def _tensors(output):
    """Yields the tensors in a layer's output in their order; `tf.nest` would sort the names of a model output."""
    if tf.is_tensor(output):
        yield output
    elif isinstance(output, dict):
        yield from _tensors(list(output.values()))
    elif isinstance(output, (list, tuple)):
        for entry in output:
            yield from _tensors(entry)
