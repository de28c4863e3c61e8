"""Parquet: one row an image, written in row groups so that memory stays bounded."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path

from c2srt_cli.tagging.record import FailedImage, TaggedImage
from c2srt_cli.tagging.writers.context import WriteContext, score_columns

#: Most images of a row group.
GROUP_ROWS = 4096

#: Most scores of a row group: 128 MiB. A group costs about 1.7 KB of memory a column until the file is closed, so with
#: many labels small groups would cost more than large ones.
GROUP_SCORES = 1 << 25


def write_parquet(rows: Iterable[TaggedImage], path: Path, context: WriteContext) -> list[FailedImage]:
    """Write columns path, labels, scores, probabilities, shares and, on request, one float32 column a label.

    The first is a string; the others are lists in parallel, best label first, null where nothing is known. The score
    columns follow in the order of the label set, named after the labels (`context.score_columns`).
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = score_columns(context.labels) if context.all_scores else []
    numbers = pa.list_(pa.float32())
    schema = pa.schema(
        [
            pa.field("path", pa.string(), nullable=False),
            pa.field("labels", pa.list_(pa.string())),
            pa.field("scores", numbers),
            pa.field("probabilities", numbers),
            pa.field("shares", numbers),
            *(pa.field(name, pa.float32()) for name in names),
        ]
    )
    capacity = max(1, min(GROUP_ROWS, GROUP_SCORES // max(1, len(names))))
    # columns of a Fortran-ordered matrix are contiguous, so Arrow takes each without a copy
    scores = np.empty((capacity, len(names)), np.float32, order="F")
    remaining = iter(rows)
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False, write_statistics=False) as writer:
        while True:
            block: list[TaggedImage] = []
            for row in islice(remaining, capacity):
                if names:
                    scores[len(block)] = row.scores
                block.append(replace(row, scores=None))
            if not block:
                return []
            columns = [
                [row.path for row in block],
                [[tag.label for tag in row.tags] for row in block],
                [[tag.score for tag in row.tags] for row in block],
                [[tag.probability for tag in row.tags] for row in block],
                [[tag.share for tag in row.tags] for row in block],
                *(scores[: len(block), column] for column in range(len(names))),
            ]
            arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=capacity)
