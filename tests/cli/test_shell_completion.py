"""What typer's scripts ask for when the tab key is pressed."""

import json
import os
import subprocess
import sys
from pathlib import Path

ASK = """
import contextlib, io, json, os, sys
from c2srt_cli.cli import main
answers = []
for line in sys.argv[1:]:
    words = line.split(" ")
    asked = {"COMP_WORDS": "\\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    os.environ |= {"_C2SRT_COMPLETE": "complete_bash", **asked}
    sys.argv = ["c2srt"]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main()
    answers.append(out.getvalue().split())
heavy = {"torch", "numpy", "pandas", "pyarrow", "open_clip", "openai", "networkx"} & set(sys.modules)
print(json.dumps([answers, sorted(heavy)]))
"""
GRAPHS = ["coco-80", "corel5k-374", "everyday", "nus-wide-1006", "open-images-400", "voc-20"]
TRAINED = ["clip-ft", "mkt", "mkt-prompt", "label-propagation", "c2srt", "ram"]
FETCHED = ["hf-hub:some/model"]
CASES = {
    "tag x --graph ": GRAPHS,
    "tag x --graph co": GRAPHS[:2],
    "evaluate zero-shot -g v": ["voc-20"],
    "train c2srt --graph e": ["everyday"],
    "review x --graph nus": ["nus-wide-1006"],
    "show-graph o": ["open-images-400"],
    "build-graph --extend co": GRAPHS[:2],
    "build-graph --like co": GRAPHS[:2],
    "build-graph --evidence e": ["everyday"],
    "tag x --graph ./mine": [],  # the shell offers files then
    "train ": TRAINED,
    "train --method m": ["mkt", "mkt-prompt"],
    "embed --for ": ["zero-shot", *TRAINED],
    "evaluate ": ["zero-shot"],
    "evaluate run --against z": ["zero-shot"],
    "tag --backbone ": ["auto", "mini", *FETCHED],
    "ablate --backbone m": ["mini"],
    "fetch ": ["fast", "default", "best", "multilingual", *FETCHED],
    "prepare co": ["corel5k", "coco"],
    "tag --format x": ["xmp"],
}


def test_names_are_offered_and_torch_is_not_imported_for_them(tmp_path: Path) -> None:
    folder = tmp_path / "backbones" / "hf-hub__some__model"
    folder.mkdir(parents=True)
    (folder / "open_clip_model.safetensors").write_bytes(b"weights")
    record = {"spec": "hf-hub:some/model", "sha256": "ab" * 32, "size": 7}
    (folder / "record.json").write_text(json.dumps(record))
    environment = {**os.environ, "C2SRT_HOME": str(tmp_path)}
    line = [sys.executable, "-c", ASK, *(f"c2srt {line}" for line in CASES)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=True)
    answers, heavy = json.loads(done.stdout)
    assert dict(zip(CASES, answers, strict=True)) == CASES
    assert heavy == []
