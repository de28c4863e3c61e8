"""How much a Parquet file may unpack to: a few bytes can say that one value is there a billion times."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow.parquet as pq

#: Values and unpacked bytes for each byte of a file. Paths that count up come to 10 and 50 in the tightest forms.
MOST_VALUES, MOST_UNPACKED = 64, 256
#: Bytes that any file may unpack to.
ALWAYS = 1 << 20


def unpacks_to_too_much(metadata: "pq.FileMetaData", size: int) -> str | None:
    """What a file of ``size`` bytes says to hold that none of its size does; None where that is nothing."""
    columns = [
        metadata.row_group(group).column(column)
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    ]
    most = max(metadata.num_rows, sum(column.num_values for column in columns) // max(1, metadata.num_columns))
    if most > MOST_VALUES * size:
        return f"{most:,} values in {size:,} bytes"
    unpacked = sum(column.total_uncompressed_size for column in columns)
    if unpacked > ALWAYS + MOST_UNPACKED * size:
        return f"{unpacked:,} bytes packed into {size:,}"
    return None
