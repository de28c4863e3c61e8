"""The only door for text that people give us: labels, lists, templates, tables, options, keys."""

from c2srt_cli.text.cells import join_list, json_text, plain_cell, split_list, spreadsheet_cell
from c2srt_cli.text.characters import fault, normalise
from c2srt_cli.text.decoding import Text, decode_text
from c2srt_cli.text.file import read_bytes, read_text
from c2srt_cli.text.path_list import path_list, spellings
from c2srt_cli.text.table import Table, find_table
from c2srt_cli.text.toml import read_toml

__all__ = [
    "Table",
    "Text",
    "decode_text",
    "fault",
    "find_table",
    "join_list",
    "json_text",
    "normalise",
    "path_list",
    "plain_cell",
    "read_bytes",
    "read_text",
    "read_toml",
    "spellings",
    "split_list",
    "spreadsheet_cell",
]
