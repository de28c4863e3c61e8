"""What the user types: the app, and the one place where errors become messages and exit codes."""

import logging
import os
import re
import sys
import traceback
from inspect import cleandoc
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from c2srt_cli import __version__
from c2srt_cli.artifacts import lacking
from c2srt_cli.cli.ablate import ablate
from c2srt_cli.cli.build_graph import build_graph
from c2srt_cli.cli.console import note, show_error, standard_output
from c2srt_cli.cli.demo import demo
from c2srt_cli.cli.doctor import doctor
from c2srt_cli.cli.embed import embed
from c2srt_cli.cli.evaluate import evaluate
from c2srt_cli.cli.fetch import fetch
from c2srt_cli.cli.learn import learn
from c2srt_cli.cli.prepare import prepare
from c2srt_cli.cli.review import review
from c2srt_cli.cli.search import search
from c2srt_cli.cli.show_graph import show_graph
from c2srt_cli.cli.tag import tag
from c2srt_cli.cli.train import train
from c2srt_cli.cli.undo import undo
from c2srt_cli.errors import C2srtError, meant
from c2srt_cli.memory import keep_freed


class Commands(TyperGroup):
    """The commands, whose refusals of a value are those of this command line and not of the library that checks it."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override] # typer's own context, under its public name
        """Run a command."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            said = error.message.removeprefix("Value error, ").replace("Input should be", "must be")
            if choice := re.fullmatch(r"'(.*)' is not one of ((?:'[^']*'(?:, )?)+)\.", said):
                said = said[:-1] + meant(choice[1], re.findall("'([^']*)'", choice[2]))
            error.message = said
            raise


app = typer.Typer(
    name="c2srt",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    tag,
    review,
    learn,
    search,
    undo,
    prepare,
    embed,
    train,
    evaluate,
    ablate,
    build_graph,
    show_graph,
    fetch,
    doctor,
    demo,
):
    text = re.sub(r"(?<!\n)\n(?!\n)", " ", cleandoc(command.__doc__ or ""))  # the terminal breaks lines, not the source
    app.command(no_args_is_help=command not in (doctor, demo), help=text)(command)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"c2srt {__version__}")
        raise typer.Exit


@app.callback(epilog="stdout is data, stderr is people. What writes files resumes after an interruption.")
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Tag photographs with your own words: open-vocabulary multi-label recognition."""
    del version
    if debug:
        os.environ["C2SRT_DEBUG"] = "1"


def main() -> None:
    """Run the command line, which has the process to itself; every error that a user can meet ends here."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is first imported; `fetch` lifts it for a download
    keep_freed()
    # Pillow's error records are of pictures that are reported by their row; without a handler Python prints them
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    code = _run()
    processes = sys.modules.get("c2srt_cli.training.processes")
    if processes is not None and processes.world() > 1:
        # a thread of torch's collectives gives tensors back after the last of them, and is aborted, and all of
        # `torchrun` with it, where the interpreter is already ending
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _run() -> int:
    """Its exit code."""
    try:
        with standard_output():
            app()
    except SystemExit as ended:  # typer's way
        return int(ended.code or 0)
    except C2srtError as error:
        if os.environ.get("C2SRT_DEBUG"):
            traceback.print_exc()
        show_error(error)
        return error.exit_code
    except BrokenPipeError:  # of a pipe that was named
        return 141
    except KeyboardInterrupt:
        return 130
    finally:
        if said := lacking():
            note(said, "yellow")
    return 0
