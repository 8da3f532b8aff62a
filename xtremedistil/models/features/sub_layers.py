"""Finds the layers inside an encoder by path.

A path is the name of a weight without model and main layer at its start, and without the weight at its end:
`tf_model/bert/encoder/layer_._1/output/dense/kernel:0` is a weight of `encoder/layer_._1/output/dense`. Layers without
a name of their own, mostly dropout, are named by their attribute: `encoder/layer_._1/output/dropout`.
`list(sub_layers(teacher.encoder))` shows all paths.
"""

import difflib
from collections.abc import Iterator

import tf_keras

from xtremedistil.errors import InputError

Layer = tf_keras.layers.Layer


def sub_layers(encoder) -> dict[str, Layer]:
    """Returns all layers inside `encoder` by path, from the bottom up."""
    return dict(_below(getattr(encoder, encoder.base_model_prefix, encoder), ""))


def find_sub_layer(encoder, path: str) -> Layer:
    """Returns the layer at `path`.

    Raises:
        InputError: there is none; the message names similar paths.
    """
    known = sub_layers(encoder)
    if path in known:
        return known[path]
    near = difflib.get_close_matches(path, known, n=3, cutoff=0.4) or list(known)[:3]
    raise InputError(
        f"{type(encoder).__name__} has no sub-layer {path!r}. Near names: {', '.join(near)}. "
        "All of them: xtremedistil.models.features.sub_layers.sub_layers(encoder)."
    )


def _below(layer: Layer, prefix: str) -> Iterator[tuple[str, Layer]]:
    for attribute, child in _children(layer):
        path = prefix + (attribute if _is_named_by_keras(child) else child.name)
        yield path, child
        yield from _below(child, f"{path}/")


def _children(layer: Layer) -> Iterator[tuple[str, Layer]]:
    """Yields the layers among the public attributes of `layer`, also those in lists."""
    for attribute, value in vars(layer).items():
        if attribute.startswith("_"):
            continue
        if isinstance(value, Layer):
            yield attribute, value
        elif isinstance(value, (list, tuple)):
            entries = ((f"{attribute}_._{number}", entry) for number, entry in enumerate(value))
            yield from ((name, entry) for name, entry in entries if isinstance(entry, Layer))


def _is_named_by_keras(layer: Layer) -> bool:
    """Whether Keras named the layer by its class and a number."""
    return layer.name.rstrip("0123456789").replace("_", "") == type(layer).__name__.lower()
