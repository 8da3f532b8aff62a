"""Reads a file of logits in Parquet format; `logit_files` describes its columns and metadata."""

import functools
from collections.abc import Iterator

import numpy as np

from xtremedistil.distillation.teacher_outputs.logit_files import LABELS, ROWS_AT_A_TIME, SHA256, Block, LogitFile
from xtremedistil.errors import InputError
from xtremedistil.storage.declared import Either, ListOf, Text, Whole, check
from xtremedistil.storage.json_files import parse_json

ROW_ID, LOGITS = "row_id", "logits"
COLUMNS = ListOf(Either((Text(), Whole())), least=1)


def open_parquet(path: str, tagging: bool) -> LogitFile:
    """Reads everything but the logits.

    Raises:
        InputError: the file is damaged, or a column or the labels are missing or of a wrong type.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(path)
        _check_columns(path, schema, tagging)
        row_ids = parquet.read_table(path, columns=[ROW_ID]).column(ROW_ID).combine_chunks()
        notes = {name.decode(): value.decode() for name, value in (schema.metadata or {}).items()}
    except (pyarrow.ArrowException, OSError, ValueError, MemoryError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as Parquet ({error}). Make or copy it again.") from error
    if row_ids.null_count:
        raise InputError(f"{path}: {row_ids.null_count} of the {len(row_ids)} row_id are null.")
    labels = _labels(path, notes)
    ids = row_ids.to_numpy(zero_copy_only=False).astype(np.int64)
    return LogitFile(path, labels, notes.get(SHA256), ids, functools.partial(_blocks, path, len(labels), tagging))


def _check_columns(path: str, schema, tagging: bool) -> None:
    import pyarrow

    missing = [name for name in (ROW_ID, LOGITS) if name not in schema.names]
    if missing:
        raise InputError(f"{path} has no column {' and '.join(missing)}; it has {', '.join(schema.names) or 'none'}.")
    id_type, found = schema.field(ROW_ID).type, schema.field(LOGITS).type
    if not pyarrow.types.is_integer(id_type):
        raise InputError(f"{path}: the column {ROW_ID} is of type {id_type}; an integer is expected.")
    inner = found
    for _ in range(1 + tagging):
        inner = inner.value_type if _is_list(inner) else None
    if inner is None or not pyarrow.types.is_floating(inner):
        expected = "a list (words) of lists (labels) of floats" if tagging else "a list of floats, one for each label"
        raise InputError(f"{path}: the column {LOGITS} is of type {found}; {expected} is expected.")


def _is_list(kind) -> bool:
    from pyarrow import types

    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def _labels(path: str, notes: dict[str, str]) -> list[str]:
    cure = f'With pyarrow: table.replace_schema_metadata({{"{LABELS}": json.dumps(labels)}}).'
    where = f"{path}: {LABELS} in the metadata of its schema"
    if LABELS not in notes:
        raise InputError(
            f"{path}: the metadata of its schema has no {LABELS}, a JSON list with the label of each column.\n{cure}"
        )
    labels = check(parse_json(notes[LABELS], where, cure), COLUMNS, where, cure)
    return [str(label) for label in labels]


def _blocks(path: str, labels: int, tagging: bool) -> Iterator[Block]:
    import pyarrow
    from pyarrow import parquet

    start = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS_AT_A_TIME, columns=[LOGITS]):
                column = batch.column(0)
                counts = _lengths(path, start, column) if tagging else np.ones(len(column), np.int64)
                vectors = column.flatten() if tagging else column
                yield Block(start, counts, _matrix(path, start, vectors, counts, labels))
                start += len(column)
    except (pyarrow.ArrowException, OSError, MemoryError) as error:
        raise InputError(f"{path} cannot be read to its end ({error}). Make or copy it again.") from error


def _lengths(path: str, start: int, column) -> np.ndarray:
    """Returns the length of each list of a column, int64."""
    from pyarrow import compute

    lengths = compute.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    if empty := np.flatnonzero(lengths == 0).tolist():
        raise InputError(f"{path}, row {start + empty[0] + 1}: {LOGITS} is empty or null.")
    return lengths


def _matrix(path: str, start: int, vectors, counts: np.ndarray, labels: int) -> np.ndarray:
    """Returns float32 [vectors, L]; `counts`: number of vectors of each row."""
    from pyarrow import compute

    lengths = compute.list_value_length(vectors).fill_null(0).to_numpy(zero_copy_only=False)
    if (wrong := np.flatnonzero(lengths != labels)).size:
        row = start + int(np.searchsorted(np.cumsum(counts), wrong[0], side="right")) + 1
        raise InputError(
            f"{path}, row {row}: {lengths[wrong[0]]} logits, but there are {labels} labels; each needs one."
        )
    return vectors.flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, labels)
