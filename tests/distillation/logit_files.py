"""Files of an outside teacher's logits."""

import json

import numpy as np


def write_parquet(path, row_ids, logits, labels, word_counts=None, transfer_sha256=None) -> None:
    import pyarrow
    from pyarrow import parquet

    rows = logits.tolist()
    if word_counts is not None:
        rows = [part.tolist() for part in np.split(logits, np.cumsum(word_counts)[:-1])]
    notes = {"labels": json.dumps(list(map(str, labels)))}
    notes |= {} if transfer_sha256 is None else {"transfer_sha256": str(transfer_sha256)}
    table = pyarrow.table({"row_id": row_ids, "logits": rows})
    parquet.write_table(table.replace_schema_metadata(notes), path)
