"""Word-embedding tables: where an encoder keeps its own, and how a wide one becomes narrow."""

import numpy as np

METHODS = ("pca", "svd")


def word_embedding_variable(encoder):
    """The tf.Variable [V, H] (V vocabulary, H width) in which an encoder of any family looks up its pieces.

    Raises:
        ValueError: the encoder is not built, or keeps no such table.
    """
    layer = encoder.get_input_embeddings()
    for attribute in ("weight", "embeddings"):  # Hugging Face's own layers, Keras' Embedding
        variable = getattr(layer, attribute, None)
        if variable is not None and len(variable.shape) == 2:
            return variable
    raise ValueError(f"{type(encoder).__name__} has no word-embedding table that could be found; is it built?")


def factorize(table: np.ndarray, width: int, method: str = "pca", seed: int = 42) -> np.ndarray:
    """Reduces a word-embedding table to `width` columns.

    Args:
        table: float [V, H].
        width: at most H; with H itself the table is returned as it is.
        method: "pca" subtracts the mean row first, as the original release did; "svd" keeps the origin.
        seed: of the randomised solvers, which big tables get.

    Returns:
        float32 [V, width].

    Raises:
        ValueError: `width` is more than the table has, or `method` is unknown.
    """
    from sklearn.decomposition import PCA, TruncatedSVD  # a second to import, for a few runs only

    rows, columns = table.shape
    if width > min(rows, columns) and width != columns:
        raise ValueError(f"A table of shape [{rows}, {columns}] cannot be reduced to width {width}.")
    if method not in METHODS:
        raise ValueError(f"Unknown method '{method}'; known: {', '.join(METHODS)}.")
    table = np.asarray(table, np.float32)
    if width == columns:
        return table
    if method == "pca":
        return PCA(n_components=width, random_state=seed).fit_transform(table).astype(np.float32)
    return TruncatedSVD(n_components=width, random_state=seed).fit_transform(table).astype(np.float32)
