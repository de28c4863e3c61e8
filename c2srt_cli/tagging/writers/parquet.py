"""Parquet: one row an image, written in row groups so that memory stays bounded."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from c2srt_cli.errors import InputError
from c2srt_cli.tagging.record import FailedImage, Tag, TaggedImage
from c2srt_cli.tagging.writers.context import COLUMNS, WriteContext, score_columns

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
    with (
        path.open("wb") as file,  # a path would be taken for text, and for an address
        pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=False, write_statistics=False) as writer,
    ):
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


@contextmanager
def parquet_rows(path: Path, names: Sequence[str], context: WriteContext) -> Iterator[Callable[[str], TaggedImage]]:
    """The rows of a file that `write_parquet` wrote; 32-bit numbers, so that nothing is lost on the way.

    Raises:
        InputError: the rows are not of these images.
    """
    import numpy as np
    import pyarrow.parquet as pq

    columns = score_columns(context.labels) if context.all_scores else []
    with path.open("rb") as stream, pq.ParquetFile(stream) as file:
        starts = np.cumsum([0, *(file.metadata.row_group(i).num_rows for i in range(file.num_row_groups))])
        places = {name: place for place, name in enumerate(names)}
        if file.read(["path"]).column("path").to_pylist() != list(names):
            raise InputError(
                "does not hold the rows that its manifest speaks of",
                where=str(path),
                hint="give --overwrite to start again",
            )

        @lru_cache(maxsize=1)  # images are asked for in about their order
        def group(number: int) -> tuple[list[dict[str, Any]], "np.ndarray | None"]:
            table = file.read_row_group(number)
            scores = np.column_stack([table.column(name).to_numpy() for name in columns]) if columns else None
            return table.select(list(COLUMNS)).to_pylist(), scores

        def row(name: str) -> TaggedImage:
            number = int(np.searchsorted(starts, places[name], side="right")) - 1
            rows, scores = group(number)
            place = places[name] - int(starts[number])
            value = rows[place]
            parts = (value[column] for column in COLUMNS[1:])
            return TaggedImage(
                name,
                tuple(Tag(*tag) for tag in zip(*parts, strict=True)),
                None if scores is None else tuple(scores[place].tolist()),
            )

        yield row
