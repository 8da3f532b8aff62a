"""Finds an encoder's word embeddings, and reduces their width."""

import numpy as np

METHODS = ("pca", "svd")


def word_embedding_variable(encoder):
    """Returns the tf.Variable [V, H] of an encoder's word embeddings (V tokens, H width).

    Raises:
        ValueError: the encoder is not built, or has no such variable.
    """
    layer = encoder.get_input_embeddings()
    for attribute in ("weight", "embeddings"):  # Hugging Face's own layers, Keras' Embedding
        variable = getattr(layer, attribute, None)
        if variable is not None and len(variable.shape) == 2:
            return variable
    raise ValueError(f"{type(encoder).__name__} has no word embeddings that could be found; is it built?")


def factorize(table: np.ndarray, width: int, method: str = "pca", seed: int = 42) -> tuple[np.ndarray, np.ndarray]:
    """Factorizes word embeddings into two matrices whose product is the embeddings reduced to `width` columns.

    Args:
        table: float [V, H].
        width: at most H; with H, the product equals the embeddings.
        method: "pca" subtracts the mean embedding first, as the original release does; "svd" does not.
        seed: of the randomized solvers that large tables need.

    Returns:
        float32 [V, H], the embeddings (minus their mean for "pca"), and float32 [H, width], orthonormal columns; those
        beyond the number of tokens are 0, because fewer tokens than that span no more directions.

    Raises:
        ValueError: `width` is larger than that of the embeddings, or `method` is unknown.
    """
    from sklearn.decomposition import PCA, TruncatedSVD  # a second to import, for a few runs only

    rows, columns = table.shape
    if width > columns or not rows:
        raise ValueError(f"Word embeddings of shape [{rows}, {columns}] cannot be reduced to width {width}.")
    if method not in METHODS:
        raise ValueError(f"Unknown method '{method}'; known: {', '.join(METHODS)}.")
    table = np.asarray(table, np.float32)
    if width == columns:
        return table, np.eye(columns, dtype=np.float32)
    solver = (PCA if method == "pca" else TruncatedSVD)(n_components=min(width, rows), random_state=seed).fit(table)
    centred = table - solver.mean_ if method == "pca" else table
    kernel = np.zeros([columns, width], np.float32)
    kernel[:, : len(solver.components_)] = solver.components_.T
    return centred.astype(np.float32), kernel
