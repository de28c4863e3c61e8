"""What an ablation leaves for people: its rows beside the base, as tables and as a figure."""

import io
from dataclasses import replace

from c2srt_cli.ablation.figure import write_figure
from c2srt_cli.ablation.prepare import AblationJob
from c2srt_cli.ablation.rows import Row, figures_table, row_tables
from c2srt_cli.artifacts import atomic_write
from c2srt_cli.evaluation.comparison import Comparison, compare
from c2srt_cli.evaluation.table import Table, write_csv, write_markdown
from c2srt_cli.tagging.writers.escape import terminal_text
from c2srt_cli.text import spreadsheet_cell

CSV, MARKDOWN, FIGURE = "ablation.csv", "ablation.md", "ablation"
FORMATS = ("svg", "png")


def write_report(job: AblationJob, rows: list[Row]) -> tuple[Table, ...]:
    """Compare what can be compared, and write the table in both forms, and the figure; the tables for people."""
    _compare(job, rows)
    out, ks = job.options.out, job.protocol.ks
    tables = row_tables(rows, ks, f"{job.annotations.dataset}, protocol {job.protocol.name}")
    text = io.StringIO(newline="")
    write_csv(figures_table(rows, ks), text, spreadsheet_cell)
    with atomic_write(out / CSV) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="")
    text = io.StringIO()
    for place, table in enumerate(tables):
        text.write("\n" if place else "")
        write_markdown(table, text, terminal_text)
    with atomic_write(out / MARKDOWN) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    for form in FORMATS:
        with atomic_write(out / f"{FIGURE}.{form}") as temporary:
            write_figure(rows, temporary, form, f"{job.annotations.dataset}, protocol {job.protocol.name}")
    return tables


def _compare(job: AblationJob, rows: list[Row]) -> None:
    """Compare with the base every row that has not been yet and whose seeds are all done, as the base's."""
    base = rows[1] if len(rows) > 1 else rows[0]
    if len(base.outcomes) < len(job.grid.seeds) or not base.files or not base.is_base:
        return
    for place, row in enumerate(rows):
        done = len(row.outcomes) == len(job.grid.seeds) or row.outcomes[0].seed is None
        if row is not base and done and row.files and not row.comparisons:
            rows[place] = replace(row, comparisons=_comparisons(job, row, base))


def _comparisons(job: AblationJob, row: Row, base: Row) -> dict[str, Comparison]:
    return {
        setting: compare(
            job.annotations,
            job.protocol,
            setting,
            [files[setting] for files in row.files],
            [files[setting] for files in base.files],
        )
        for setting in base.files[0]
    }
