"""Trainings one after the other in the processes of one ``torchrun``: ``several.py FOLDER``."""

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import NoReturn

from double import float64

from c2srt_cli.backbone import precision
from c2srt_cli.cli import main


class Left(SystemExit):
    """The end of one of several processes, which lives for one training and must not wait for the interpreter's."""


def leave(status: int) -> NoReturn:
    raise Left(status)


if __name__ == "__main__":
    # each process has measured something else: the first decides
    os.environ["C2SRT_HOME"] = str(Path(sys.argv[1]) / f"home {os.environ['RANK']}")
    first = os.environ["RANK"] == "0"
    precision.native_precision = lambda *_: "float32" if first else "bfloat16"
    precision._batch = lambda *_: 4 if first else 8
    end, os._exit = os._exit, leave
    for number, arguments in enumerate(json.loads((Path(sys.argv[1]) / "trainings.json").read_text())):
        sys.argv = ["c2srt", "train", *arguments]
        try:
            with float64() if "float64" in str(arguments) else nullcontext():
                main()
        except Left as ended:
            if not ended.code:
                continue
            print(f"training {number} ended with {ended.code}", file=sys.stderr, flush=True)
    end(0)
