"""Reports and comparisons → tables, beside the published figures."""

from collections.abc import Sequence

import numpy as np

from c2srt_cli.errors import percent
from c2srt_cli.evaluation.comparison import Comparison
from c2srt_cli.evaluation.published import Published, published
from c2srt_cli.evaluation.report import Report, SettingReport
from c2srt_cli.evaluation.table import Cell, Column, Table

#: What stands in a column of the literature; the other columns are ours alone.
MEASURES = {"map_with_zeros": "mAP", "p": "P", "r": "R", "f1": "F1"}


def summary_table(reports: Sequence[Report]) -> Table:
    """A row for each method and setting, and one for each published row; reports of one protocol and dataset.

    Raises:
        ValueError: they are of several, or there are none.
    """
    protocols = {(report.annotations.dataset, report.protocol.name) for report in reports}
    if len(protocols) != 1:
        raise ValueError(f"a table is of one protocol, not of {sorted(protocols)}")
    annotations, protocol = reports[0].annotations, reports[0].protocol
    ks = protocol.ks
    columns = (
        Column("method", "method"),
        Column("setting", "setting"),
        Column("images", "images"),
        Column("images_wanted", "of"),
        Column("map", "mAP"),
        Column("map_low", "from"),
        Column("map_high", "to"),
        Column("map_with_zeros", "mAP with zeros"),
        Column("map_seen", "seen"),
        Column("map_unseen", "unseen"),
        Column("map_harmonic", "harmonic"),
        *(Column(f"{name}_at_{k}", f"{name.upper()}@{k}") for k in ks for name in ("p", "r", "f1")),
    )
    rows = [_row(report.method, one, ks) for report in reports for one in report.settings]
    settings = reports[0].settings
    seen = int(annotations.seen.sum())
    literature = published(annotations.dataset, seen, len(annotations.seen) - seen)
    for row in literature:
        rows += [
            _published(row, one, columns) for one in settings if any(k.startswith(one.setting) for k in row.figures)
        ]
    notes = [
        f"Protocol {protocol.name}: {protocol.summary}. Figures in percent.",
        "mAP leaves labels without positives out; mAP with zeros counts them as 0, as published code does.",
        *(["Every label is seen: there is nothing to rank in ZSL."] if annotations.seen.all() else []),
        *(
            f"{one.setting}: {one.mean.classes:,} labels, {one.mean.without_positives:,} of them without positives; "
            f"{one.positives_per_image:.3f} positives an image."
            for one in settings
        ),
        *(_comparable(row, protocol.name, settings) for row in literature),
    ]
    return Table(f"{annotations.dataset}, protocol {protocol.name}", columns, tuple(rows), tuple(notes))


def class_table(report: Report, one: SettingReport) -> Table:
    """A row for each label that a setting ranks."""
    annotations = report.annotations
    names, labels = annotations.labels.names, annotations.labels.labels
    rows: list[tuple[Cell, ...]] = [
        (
            names[column],
            labels[column].id,
            "yes" if annotations.seen[column] else "no",
            int(one.positives[place]),
            float(one.ap[place]) if one.annotated[place] else float("nan"),
        )
        for place, column in enumerate(one.columns.tolist())
    ]
    return Table(
        f"{report.method}, {one.setting}: {one.images:,} of {one.wanted:,} images",
        (
            Column("label", "label"),
            Column("id", "id"),
            Column("seen", "seen"),
            Column("positives", "positives"),
            Column("ap", "AP"),
        ),
        tuple(rows),
    )


def comparison_table(first: str, second: str, comparisons: Sequence[Comparison]) -> Table:
    """A row for each setting: both means over seeds, their spread, and the difference with its interval."""
    rows: list[tuple[Cell, ...]] = []
    for one in comparisons:
        (a, a_spread), (b, b_spread) = _spread(one.first), _spread(one.second)
        difference = one.difference
        verdict = "counts" if difference.excludes_zero else "does not count"
        ends = (difference.estimate, difference.low, difference.high)
        rows.append((one.setting, one.images, one.wanted, a, a_spread, b, b_spread, *ends, verdict))
    confidence = comparisons[0].difference.confidence if comparisons else 0.95
    return Table(
        f"{first} against {second}: mAP over labels with positives",
        (
            Column("setting", "setting"),
            Column("images", "images"),
            Column("images_wanted", "of"),
            Column("first", first),
            Column("first_spread", "±"),
            Column("second", second),
            Column("second_spread", "±"),
            Column("difference", "difference"),
            Column("difference_low", "from"),
            Column("difference_high", "to"),
            Column("verdict", "verdict"),
        ),
        tuple(rows),
        (
            f"Paired bootstrap over test images, pooled over seeds: a difference counts where its interval of "
            f"{percent(confidence)} excludes zero. ± is the standard deviation over seeds.",
        ),
    )


def _row(method: str, one: SettingReport, ks: Sequence[int]) -> tuple[Cell, ...]:
    at = {each.k: each for each in one.at}
    both = one.setting == "GZSL" and one.unseen.classes > 0
    cells: list[Cell] = [method, one.setting, one.images, one.wanted, one.mean.left_out]
    cells += [one.interval.low, one.interval.high] if one.interval else [None, None]
    cells.append(one.mean.with_zeros)
    cells += [one.seen.left_out, one.unseen.left_out, one.harmonic] if both else [None, None, None]
    for k in ks:
        cells += [at[k].precision, at[k].recall, at[k].f1] if k in at else [None, None, None]
    return tuple(cells)


def _published(row: Published, one: SettingReport, columns: Sequence[Column]) -> tuple[Cell, ...]:
    """Its figures in our columns, with its protocol beside its name."""
    cells: list[Cell] = [f"{row.method} [{row.protocol}]", one.setting]
    for column in columns[2:]:
        measure, _, k = column.key.partition("_at_")
        name = MEASURES.get(measure)
        figure = row.figures.get(f"{one.setting} {name}@{k}" if k else f"{one.setting} {name}") if name else None
        cells.append(None if figure is None else figure / 100)
    return tuple(cells)


def _comparable(row: Published, protocol: str, settings: Sequence[SettingReport]) -> str:
    """Where a published row comes from, and whether it used these test images, as far as it can be told."""
    note = f"{row.method} [{row.protocol}]: {row.source}."
    if row.protocol != protocol:
        return f"{note} Other test images, or unknown ones: not to be compared."
    for one in settings:
        for at in one.at:
            bounds = row.positives_per_image(one.setting, at.k)
            if bounds and not bounds[0] <= one.positives_per_image <= bounds[1]:
                return (
                    f"{note} Not the same test images: its {one.setting} figures at {at.k} speak of "
                    f"{bounds[0]:.2f} to {bounds[1]:.2f} positives an image."
                )
    return note


def _spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard deviation (none of a single value)."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None
