"""Word-embedding tables: where an encoder keeps its own, and how a wide one becomes narrow."""

import numpy as np

METHODS = ("pca", "svd")


def word_embedding_variable(encoder):
    """The tf.Variable [V, H] (V vocabulary, H width) in which an encoder of any family looks up its tokens.

    Raises:
        ValueError: the encoder is not built, or keeps no such table.
    """
    layer = encoder.get_input_embeddings()
    for attribute in ("weight", "embeddings"):  # Hugging Face's own layers, Keras' Embedding
        variable = getattr(layer, attribute, None)
        if variable is not None and len(variable.shape) == 2:
            return variable
    raise ValueError(f"{type(encoder).__name__} has no word-embedding table that could be found; is it built?")


def factorize(table: np.ndarray, width: int, method: str = "pca", seed: int = 42) -> tuple[np.ndarray, np.ndarray]:
    """Factors of a word-embedding table; their product is the table reduced to `width` columns.

    Args:
        table: float [V, H].
        width: at most H; with H itself the product is the table.
        method: "pca" subtracts the mean row first, as the original release did; "svd" keeps the origin.
        seed: of the randomised solvers, which big tables get.

    Returns:
        float32 [V, H], the table (without its mean row for "pca"), and float32 [H, width], orthonormal columns.

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
        return table, np.eye(columns, dtype=np.float32)
    solver = (PCA if method == "pca" else TruncatedSVD)(n_components=width, random_state=seed).fit(table)
    centred = table - solver.mean_ if method == "pca" else table
    return centred.astype(np.float32), solver.components_.T.astype(np.float32)
