"""The figure of an ablation: mean AP of every row in both settings, a point each with its seeds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from c2srt_cli.ablation.grid import ZERO_SHOT
from c2srt_cli.ablation.rows import Row, ranked, spread
from c2srt_cli.tagging.writers.escape import terminal_text

#: Okabe and Ito's colours, which the colour-blind tell apart.
BLUE, ORANGE, GREY, DARK = "#0072B2", "#D55E00", "#8a8a8a", "#222222"

#: Letters of a name that are drawn.
LONGEST = 48


def write_figure(rows: Sequence[Row], path: Path, form: str, title: str) -> None:
    """Draw rows from top to bottom, ZSL on the left and GZSL on the right.

    Args:
        rows: In the order of the table.
        path: The file.
        form: ``svg`` or ``png``.
        title: Dataset and protocol.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    names = [name if len(name) <= LONGEST else f"{name[:LONGEST]}…" for name in (terminal_text(r.name) for r in rows)]
    base = next((name for name, row in zip(names, rows, strict=True) if row.is_base), "the first row")
    # the same rows give the same bytes: no date, no random ids
    with rc_context({"svg.hashsalt": "c2srt", "font.size": 9, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(10, 1.75 + 0.32 * len(rows)), dpi=160, layout="constrained")
        settings = ranked(rows)
        axes = figure.subplots(1, len(settings), sharey=True, squeeze=False)[0]
        for ax, setting in zip(axes, settings, strict=True):
            for place, row in enumerate(rows):
                values = 100 * np.array([one.mean.left_out for one in row.figures(setting)])
                if not len(values):
                    ax.annotate("no figures", (0.02, place), xycoords=ax.get_yaxis_transform(), va="center", color=GREY)
                    continue
                against = row.comparisons.get(setting)
                colour = BLUE if row.is_base else ORANGE if row.name == ZERO_SHOT else DARK
                if row.is_base or row.name == ZERO_SHOT:
                    ax.axvline(values.mean(), color=colour, lw=1, ls="--" if row.is_base else ":", zorder=0)
                ax.plot(values, np.full(len(values), place), "|", color=colour, ms=7, mew=1, alpha=0.6)
                ax.errorbar(
                    values.mean(),
                    place,
                    xerr=100 * (spread((values / 100).tolist()) or 0.0),
                    fmt="o" if row.name != ZERO_SHOT else "D",
                    color=colour,
                    mfc=colour if row.is_base or (against and against.difference.excludes_zero) else "white",
                    ms=6,
                    lw=1.5,
                )
                ax.annotate(
                    f"{values.mean():.1f}",
                    (1.015, place),
                    xycoords=ax.get_yaxis_transform(),
                    va="center",
                    color=colour,
                    annotation_clip=False,
                )
            ax.set_title(f"{setting} mAP, %", fontsize=10, loc="left")
            ax.margins(x=0.08)
            ax.grid(axis="x", color="#e4e4e4", lw=0.8)
            ax.set_axisbelow(True)
            ax.spines[["top", "right", "left"]].set_visible(False)
            ax.tick_params(axis="y", length=0)
        axes[0].set_yticks(range(len(rows)), names)
        for label, row in zip(axes[0].get_yticklabels(), rows, strict=True):
            label.set_parse_math(False)  # a $ in a name is a dollar
            label.set_fontweight("bold" if row.is_base or row.name == ZERO_SHOT else "normal")
        axes[0].set_ylim(len(rows) - 0.4, -0.6)
        handles = [
            Line2D([], [], color=BLUE, ls="--", marker="o", label=base),
            Line2D([], [], color=ORANGE, ls=":", marker="D", label=ZERO_SHOT),
            Line2D([], [], color=DARK, ls="", marker="o", label=f"differs from {base} (95 %)"),
            Line2D([], [], color=DARK, ls="", marker="o", mfc="white", label="not shown to differ"),
            Line2D([], [], marker="|", ls="", color=DARK, alpha=0.6, ms=7, label="a seed; the bar: ± 1 sd over seeds"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=8)
        figure.suptitle(terminal_text(title), fontsize=10, x=0.01, ha="left", parse_math=False)
        figure.savefig(path, format=form, metadata={"Date": None} if form == "svg" else {"Software": None})
