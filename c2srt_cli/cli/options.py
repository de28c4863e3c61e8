"""Options that several commands share."""

import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from c2srt_cli.cli import completion
from c2srt_cli.errors import UsageError
from c2srt_cli.scoring import presets
from c2srt_cli.text import path_list

#: What `--graph` is for where photographs are scored.
EVIDENCE = "what a photograph shows is evidence for the labels that it goes with"
IMAGES, MODEL, MACHINE, OUTPUT = "Photographs", "Model", "Machine", "Output"


class Fit(StrEnum):
    """How a photograph is brought to the model's square."""

    crop = "crop"
    squash = "squash"
    pad = "pad"


class PatchAttention(StrEnum):
    """Which blocks feed the local stream."""

    value = "value"
    value_all = "value-all"
    none = "none"


class Precision(StrEnum):
    """Numbers the tower computes in."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


Photos = Annotated[
    list[str],
    typer.Argument(
        metavar="PHOTOS...",
        help="Folders, files, quoted patterns, s3://BUCKET/FOLDER, or - for a list on stdin.",
        show_default=False,
    ),
]
Null = Annotated[
    bool,
    typer.Option(
        "--null", "-0", help="A NUL ends each path of the list on stdin (find -print0).", rich_help_panel=IMAGES
    ),
]
Recursive = Annotated[
    bool,
    typer.Option("--recursive", help="Search also the folders that a list on stdin names.", rich_help_panel=IMAGES),
]
Labels = Annotated[
    str,
    typer.Option(
        "--labels",
        "-l",
        metavar="FILE|WORDS",
        help="One label a line, a table with the column label, Lightroom's keywords or JSON; or the words: 'cat, dog'.",
        show_default=False,
    ),
]
Preset = Annotated[
    presets.Preset | None,
    typer.Option(
        "--preset",
        help="How readily labels are given: strict few and sure ones, generous many.",
        show_default="balanced",
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=1.0,
        help="Give labels from this probability on, in place of a preset. Needs a calibrated backbone or run.",
        show_default="a calibrated run's own for each label",
    ),
]
TopK = Annotated[
    int | None,
    typer.Option(min=1, help="Give the K best labels, in place of a preset.", show_default=False),
]
Backbone = Annotated[
    str | None,
    typer.Option(
        autocompletion=completion.backbones,
        help="auto (fetched last, else mini), mini, ARCH/TAG as in ViT-B-16/openai, local-dir:PATH or hf-hub:ORG/NAME. "
        "Runs and embeddings bring their own: for them it says where the same weights are now.",
        show_default="auto",
        rich_help_panel=MODEL,
    ),
]
MovedBackbone = Annotated[
    str | None,
    typer.Option(
        "--backbone",
        autocompletion=completion.backbones,
        help="Where the backbone of the embeddings and of the runs is now, such as local-dir:PATH.",
        show_default="where it was",
        rich_help_panel=MODEL,
    ),
]
Templates = Annotated[
    str,
    typer.Option(
        help="Prompts around a label: default, clip (the 80 of CLIP) or a file with one a line.", rich_help_panel=MODEL
    ),
]
ScoringTemplates = Annotated[
    str | None,
    typer.Option(
        "--templates",
        help="Prompts around a label: default, clip (the 80 of CLIP) or a file with one a line.",
        show_default="default",
        rich_help_panel=MODEL,
    ),
]
InheritedTemplates = Annotated[
    str | None,
    typer.Option(
        "--templates",
        help="Prompts around a label: default, clip (the 80 of CLIP) or a file with one a line.",
        show_default="those of the embeddings",
        rich_help_panel=MODEL,
    ),
]
PatchAttentionOption = Annotated[
    PatchAttention | None,
    typer.Option(
        help="Value-value attention for the patches: the last six blocks, all, or none.",
        show_default="value where the tower has it",
        rich_help_panel=MODEL,
    ),
]
FitOption = Annotated[
    Fit | None,
    typer.Option(
        help="How an image becomes a square. Unless it is given, very wide and tall ones are tagged in tiles too.",
        show_default="the backbone's own",
        rich_help_panel=IMAGES,
    ),
]
Draft = Annotated[
    bool,
    typer.Option(
        "--draft/--no-draft",
        help="Decode JPEGs at a reduced size of at least twice the model's input, and bring colours to sRGB by the "
        "photograph's profile. Published protocols do neither.",
        rich_help_panel=IMAGES,
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GLOB",
        help="Leave these files and folders out of the search, as .gitignore would; may be given several times. "
        "!GLOB takes back, also what is left out by itself (@eaDir, #recycle and the like).",
        show_default=False,
        rich_help_panel=IMAGES,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="Where to compute: cpu, cuda, cuda:1 or mps.", show_default="the fastest there is", rich_help_panel=MACHINE
    ),
]
PrecisionOption = Annotated[
    Precision | None,
    typer.Option(
        help="Number format of the forward pass.", show_default="what a probe finds native", rich_help_panel=MACHINE
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        min=1, help="Number of photographs in one forward pass.", show_default="by a probe", rich_help_panel=MACHINE
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Number of threads that decode images.",
        show_default="one a core, at most 8",
        rich_help_panel=MACHINE,
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        metavar="auto|ADDRESS",
        help="Work on a Ray cluster: this machine's, started where none runs, or one at an address. All its machines "
        "must see the photographs and --out under the same path; --workers are then the cores of each worker.",
        show_default="this process alone",
        rich_help_panel=MACHINE,
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(
        "--root",
        help="Folder that the photographs' paths are relative to: where a library is now that has moved since it was "
        "embedded or prepared, or a folder above the ones that are named.",
        show_default="the folder that is named, or where it was",
        rich_help_panel=IMAGES,
    ),
]
Profile = Annotated[
    Path | None,
    typer.Option(
        "--profile",
        help="What c2srt learn has made of your corrections and keywords.",
        show_default=False,
        rich_help_panel=MODEL,
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Which of N processes on one folder this is, 0 to N-1: it does the parts I, I+N, …",
        show_default="all parts",
        rich_help_panel=OUTPUT,
    ),
]
PartSize = Annotated[int, typer.Option(min=1, help="Photographs of a new part.", rich_help_panel=OUTPUT)]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Start again instead of going on with what is there.", rich_help_panel=OUTPUT),
]
AllowFailures = Annotated[
    bool,
    typer.Option(
        "--allow-failures", help="Exit 0 even when some photographs could not be used.", rich_help_panel=OUTPUT
    ),
]


def graph(means: str, *, default: str | bool = False, panel: str | None = MODEL) -> Any:
    """``--graph``, of a command's own meaning, for `Annotated`.

    Args:
        means: What the command does with it.
        default: What it does without.
        panel: Of its help.
    """
    return typer.Option(
        "--graph",
        "-g",
        autocompletion=completion.graphs,
        help=f"Category graph, a file or the name of one that comes with c2srt: {means}.",
        show_default=default,
        rich_help_panel=panel,
    )


def run(means: str, *, panel: str | None = MODEL) -> Any:
    """``--run``, of a command's own meaning, for `Annotated`."""
    return typer.Option("--run", "-r", help=means, show_default=False, rich_help_panel=panel)


def stdin_list(inputs: list[str], *, null: bool) -> tuple[str, ...] | None:
    """The paths on standard input, where ``-`` is among the inputs."""
    if "-" not in inputs:
        if null:
            raise UsageError("is about a list on standard input", where="--null", hint="name that list: -")
        return None
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(
            "- reads a list of photographs from standard input", hint="find photos -name '*.jpg' | c2srt tag - …"
        )
    return path_list(sys.stdin.buffer.read(), null=null)


def share_of(shard: str | None) -> tuple[int, int] | None:
    """Which of how many processes ``I/N`` says that this is.

    Raises:
        UsageError: it says no such thing.
    """
    if shard is None:
        return None
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", shard)
    if found is None or int(found[1]) >= int(found[2]):
        what = "is not I/N, with I from 0 to N-1"
        raise UsageError(what, where=f"--shard {shard}", hint="--shard 0/4, … --shard 3/4")
    return int(found[1]), int(found[2])
