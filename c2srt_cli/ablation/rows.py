"""What the runs of an ablation came to, and the tables of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from c2srt_cli.evaluation.comparison import Comparison
from c2srt_cli.evaluation.protocol import SETTINGS
from c2srt_cli.evaluation.report import Report, SettingReport
from c2srt_cli.evaluation.score_file import ScoreFile
from c2srt_cli.evaluation.table import Cell, Column, Table


@dataclass(frozen=True, eq=False)
class Outcome:
    """One run.

    Attributes:
        seed: None for zero-shot.
        report: Its figures; None where it could not be trained, or diverged before there was anything to score.
        files: Its scores by setting.
        epochs: That it trained; None for zero-shot.
        minutes: That its training took, None likewise.
        note: What went wrong.
    """

    seed: int | None
    report: Report | None
    files: Mapping[str, ScoreFile]
    epochs: int | None = None
    minutes: float | None = None
    note: str = ""

    def figures(self, setting: str) -> SettingReport | None:
        """Of one setting."""
        return next((one for one in self.report.settings if one.setting == setting), None) if self.report else None


@dataclass(frozen=True, eq=False)
class Row:
    """The runs of a row so far.

    Attributes:
        name: For people.
        changes: What is different from the base.
        outcomes: A seed each.
        is_base: Whether the others are compared with it.
        comparisons: With the base by setting, once all seeds of both are done.
    """

    name: str
    changes: str
    outcomes: tuple[Outcome, ...]
    is_base: bool = False
    comparisons: Mapping[str, Comparison] = field(default_factory=dict)

    @property
    def files(self) -> list[Mapping[str, ScoreFile]]:
        """Scores of every run that has some."""
        return [outcome.files for outcome in self.outcomes if outcome.files]

    def figures(self, setting: str) -> list[SettingReport]:
        """Of every run that has some."""
        return [one for outcome in self.outcomes if (one := outcome.figures(setting))]


def figures_table(rows: Sequence[Row], ks: Sequence[int]) -> Table:
    """A line for each run: every figure, unrounded, for programs."""
    columns = [Column("row", "row"), Column("seed", "seed"), Column("changes", "changes")]
    for setting in SETTINGS:
        names = ["map", "map_with_zeros", *(["map_seen", "map_unseen", "map_harmonic"] if setting == "GZSL" else [])]
        names += [f"f1_at_{k}" for k in ks]
        columns += [Column(f"{setting.lower()}_{name}", name) for name in names]
    columns += [Column("epochs", "epochs"), Column("minutes", "minutes"), Column("note", "note")]
    lines: list[tuple[Cell, ...]] = []
    for row in rows:
        for outcome in row.outcomes:
            cells: list[Cell] = [row.name, outcome.seed, row.changes]
            for setting in SETTINGS:
                one = outcome.figures(setting)
                cells += [one.mean.left_out, one.mean.with_zeros] if one else [None, None]
                if setting == "GZSL":
                    cells += [one.seen.left_out, one.unseen.left_out, one.harmonic] if one else [None, None, None]
                at = {each.k: each.f1 for each in one.at} if one else {}
                cells += [at.get(k) for k in ks]
            lines.append((*cells, outcome.epochs, outcome.minutes, outcome.note))
    return Table("ablation", tuple(columns), tuple(lines))


def row_tables(rows: Sequence[Row], ks: Sequence[int], title: str) -> tuple[Table, ...]:
    """For each setting a line for each row: means over seeds, and the difference from the base; notes end the last."""
    base = next((row for row in rows if row.is_base), None)
    name = base.name if base else "the first row"
    notes = (
        "Figures in percent, means over seeds; ± is the standard deviation over seeds of mAP.",
        "mAP leaves labels without positives out; with zeros counts them as 0, as published code does.",
        f"Difference from {name}: paired bootstrap over test images, pooled over seeds; it counts where its interval "
        "of 95 % excludes zero.",
        *([f"{name}: {base.changes}."] if base and base.changes else []),
    )
    return tuple(
        Table(
            f"{setting}: {title}",
            (
                Column("row", "row"),
                Column("seeds", "seeds"),
                Column("map", "mAP"),
                Column("map_spread", "±"),
                Column("difference", f"against {name}"),
                Column("difference_low", "from"),
                Column("difference_high", "to"),
                Column("verdict", "verdict"),
                Column("map_with_zeros", "with zeros"),
                Column("map_seen", "seen"),
                Column("map_unseen", "unseen"),
                Column("map_harmonic", "harmonic"),
                *(Column(f"f1_at_{k}", f"F1@{k}") for k in ks),
                Column("seconds", "training, s"),
                Column("note", "note"),
            ),
            tuple(_line(row, setting, ks) for row in rows),
            notes if setting == ranked(rows)[-1] else (),
        )
        for setting in ranked(rows)
    )


def ranked(rows: Sequence[Row]) -> tuple[str, ...]:
    """The settings that there are figures of: without unseen labels GZSL alone."""
    return tuple(setting for setting in SETTINGS if any(row.figures(setting) for row in rows))


def spread(values: Sequence[float]) -> float | None:
    """Standard deviation over seeds; None of a single one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _line(row: Row, setting: str, ks: Sequence[int]) -> tuple[Cell, ...]:
    found, against = row.figures(setting), row.comparisons.get(setting)
    maps = [one.mean.left_out for one in found]
    cells: list[Cell] = [row.name, len(found) if row.outcomes and row.outcomes[0].seed is not None else None]
    cells += [_mean(maps), spread(maps)]
    if against:
        d = against.difference
        cells += [d.estimate, d.low, d.high, "counts" if d.excludes_zero else "does not count"]
    else:
        cells += [None, None, None, None]
    cells.append(_mean([one.mean.with_zeros for one in found]))
    cells += [
        _mean(values) if setting == "GZSL" else None
        for values in (
            [one.seen.left_out for one in found],
            [one.unseen.left_out for one in found],
            [one.harmonic for one in found],
        )
    ]
    for k in ks:
        cells.append(_mean([each.f1 for one in found for each in one.at if each.k == k]))
    minutes = [outcome.minutes for outcome in row.outcomes if outcome.minutes]
    cells.append(round(60 * float(np.mean(minutes))) if minutes else None)
    notes = {outcome.note: f"seed {outcome.seed} {outcome.note}" for outcome in row.outcomes if outcome.note}
    return (*cells, "; ".join(notes.values()) or None)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
