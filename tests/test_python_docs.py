"""The examples of docs/python.md, run in their order as a reader would."""

import logging
import os
import random
import re
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile
from typing import Any

import huggingface_hub.constants as hub
import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import write_dense_graph, write_embedded
from torch.nn.modules.module import _global_parameter_registration_hooks

from c2srt_cli.demo import demo_photographs

PAGE = Path(__file__).parent.parent / "docs" / "python.md"


def examples() -> Iterator[tuple[str, str]]:
    """Code, and what stands behind it as its output."""
    for match in re.finditer(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", PAGE.read_text(encoding="utf-8"), re.S):
        yield match[1], match[2] or ""


def process_state() -> tuple[object, ...]:
    """What a library must leave as it finds it."""
    matmul: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    return (
        dict(os.environ),
        hub.HF_HUB_OFFLINE,
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_rng_state().tolist(),
        matmul.fp32_precision,
        torch.nn.Module.register_parameter,
        torch.nn.Linear.forward,
        len(_global_parameter_registration_hooks),
        Image.MAX_IMAGE_PIXELS,
        list(warnings.filters),
        list(logging.getLogger("PIL").handlers),
        signal.getsignal(signal.SIGINT),
        random.getstate(),
        np.random.get_state()[1].tolist(),  # type: ignore[index]
    )


def test_every_example_and_that_it_leaves_the_process_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    photographs = {path.name: path for path in demo_photographs()}
    for name, there in (("cup.png", "coffee.png"), ("cat.png", "chelsea.png")):
        copyfile(photographs[there], tmp_path / "photos" / name)
    made = write_embedded(tmp_path / "tiny", photos=12, train=8, labels=5, seen=4)
    (tmp_path / "tiny" / "a").rename(tmp_path / "A")
    write_dense_graph(tmp_path / "G.json", made.labels)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    before = process_state()
    found = list(examples())
    assert len(found) >= 5
    for code, expected in found:
        exec(compile(code, str(PAGE), "exec"), names)
        printed = capsys.readouterr().out
        if expected:
            assert printed == expected
    for number, (was, now) in enumerate(zip(before, process_state(), strict=True)):
        assert was == now, number
    assert printed.split() == ["ZSL", "4", "True", "GZSL", "4", "True"]
