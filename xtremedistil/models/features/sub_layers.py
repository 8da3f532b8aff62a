"""The layers inside an encoder by path.

A path is what the encoder's weights are called, without the model and its main layer before it and the weight behind:
`tf_model/bert/encoder/layer_._1/output/dense/kernel:0` is a weight of `encoder/layer_._1/output/dense`. Layers that
Hugging Face gives no name, dropouts above all, go by their attribute: `encoder/layer_._1/output/dropout`.
`list(sub_layers(teacher.encoder))` shows all of them.
"""

import difflib
from collections.abc import Iterator

import tf_keras

from xtremedistil.errors import InputError

Layer = tf_keras.layers.Layer


def sub_layers(encoder) -> dict[str, Layer]:
    """All layers inside `encoder` by path, from the bottom up."""
    return dict(_below(getattr(encoder, encoder.base_model_prefix, encoder), ""))


def find_sub_layer(encoder, path: str) -> Layer:
    """The layer at `path`.

    Raises:
        InputError: there is none; the message has the nearest paths.
    """
    known = sub_layers(encoder)
    if path in known:
        return known[path]
    near = difflib.get_close_matches(path, known, n=3, cutoff=0.4) or list(known)[:3]
    raise InputError(
        f"{type(encoder).__name__} has no sub-layer {path!r}. Near names: {', '.join(near)}. "
        "All of them: xtremedistil.models.sub_layers.sub_layers(encoder)."
    )


def _below(layer: Layer, prefix: str) -> Iterator[tuple[str, Layer]]:
    for attribute, child in _children(layer):
        path = prefix + (attribute if _is_named_by_keras(child) else child.name)
        yield path, child
        yield from _below(child, f"{path}/")


def _children(layer: Layer) -> Iterator[tuple[str, Layer]]:
    """The layers among the public attributes of `layer`, those in lists too."""
    for attribute, value in vars(layer).items():
        if attribute.startswith("_"):
            continue
        if isinstance(value, Layer):
            yield attribute, value
        elif isinstance(value, (list, tuple)):
            entries = ((f"{attribute}_._{number}", entry) for number, entry in enumerate(value))
            yield from ((name, entry) for name, entry in entries if isinstance(entry, Layer))


def _is_named_by_keras(layer: Layer) -> bool:
    """Whether its name is its class with a number, which counts all layers of the process."""
    return layer.name.rstrip("0123456789").replace("_", "") == type(layer).__name__.lower()
