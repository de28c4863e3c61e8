"""One writer per format, in one registry that help, docs and tests go through."""

from c2srt_cli.tagging.writers.context import NO_WISHES, Captions, KeptRows, WriteContext, Writer
from c2srt_cli.tagging.writers.delimited import csv_rows, write_csv
from c2srt_cli.tagging.writers.excel import excel_rows, write_excel
from c2srt_cli.tagging.writers.jsonl import jsonl_rows, write_jsonl
from c2srt_cli.tagging.writers.kohya import KOHYA
from c2srt_cli.tagging.writers.parquet import parquet_rows, write_parquet
from c2srt_cli.tagging.writers.table import write_table
from c2srt_cli.tagging.writers.txt import TXT
from c2srt_cli.tagging.writers.xmp import current_xmp, write_xmp

__all__ = ["NO_WISHES", "TEXT_FORMS", "WRITERS", "Captions", "KeptRows", "WriteContext", "Writer"]

#: Forms of text files, each with a record of its own; first the one that shares its files with others.
TEXT_FORMS = (KOHYA, TXT)

#: Every output format under the name the user types.
WRITERS: dict[str, Writer] = {
    writer.name: writer
    for writer in (
        Writer("jsonl", "stream", ".jsonl", True, "JSON Lines: one object an image", write_jsonl, rows=jsonl_rows),
        Writer("csv", "stream", ".csv", True, "CSV: one row an image, lists joined by ';'", write_csv, rows=csv_rows),
        Writer("excel", "file", ".csv", True, "CSV that Excel opens with a double click", write_excel, rows=excel_rows),
        Writer("parquet", "file", ".parquet", True, "Parquet: one row an image", write_parquet, rows=parquet_rows),
        Writer(
            "parts",
            "parts",
            "",
            True,
            "a folder of Parquet files, for a million photographs and more",
            write_parquet,
            rows=parquet_rows,
        ),
        Writer(
            "txt", "sidecar", ".txt", False, "a text file beside each image, one label a line", TXT.write, TXT.current
        ),
        Writer(
            "kohya",
            "sidecar",
            ".txt",
            False,
            "a caption beside each image, with commas, merged with what is there",
            KOHYA.write,
            KOHYA.current,
        ),
        Writer(
            "xmp",
            "sidecar",
            ".xmp",
            False,
            "an XMP sidecar beside each image, merged with what is there",
            write_xmp,
            current_xmp,
        ),
        Writer("table", "stream", "", False, "a table for people", write_table),
    )
}
