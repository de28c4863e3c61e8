"""Trainings one after the other in the processes of one ``torchrun``, in float32: ``several.py FOLDER``."""

import json
import sys
from pathlib import Path

from c2srt_cli.backbone import precision
from c2srt_cli.cli import main

if __name__ == "__main__":
    precision.native_precision = lambda *_: "float32"
    for number, arguments in enumerate(json.loads((Path(sys.argv[1]) / "trainings.json").read_text())):
        sys.argv = ["c2srt", "train", *arguments]
        try:
            main()
        except SystemExit as ended:
            if not ended.code:
                continue
            print(f"training {number} ended with {ended.code}", file=sys.stderr, flush=True)
