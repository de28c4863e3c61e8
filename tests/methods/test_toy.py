"""A new method in one file, which is this one: it is embedded for, trained, measured, ablated, and explained."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from pydantic import Field
from tiny_runs import write_inputs
from torch import Tensor
from torch.nn.functional import normalize

from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.cli import main
from c2srt_cli.methods.losses import LossOption, SigLIP
from c2srt_cli.methods.method import Method
from c2srt_cli.methods.options import Distillation, ScaledOptions, TailOptions
from c2srt_cli.methods.pooling import PoolingOption, TopK
from c2srt_cli.methods.registry import METHODS
from c2srt_cli.methods.scores import Scores
from c2srt_cli.methods.vocabulary import Labels


class Toy(Method):
    """A weighted mean of the cosines of the best patches and of the whole image."""

    name: ClassVar[str] = "toy"

    class Options(TailOptions, ScaledOptions):
        method: Literal["toy"] = "toy"
        patches: PoolingOption = TopK(k=30)
        local_share: float = Field(0.5, ge=0, le=1, description="Share of the patches in a score.")
        loss: LossOption = SigLIP()
        distillation: Distillation = Distillation()

    def scores(self, image: ImageEmbedding, labels: Labels, truth: Tensor | None = None) -> Scores:  # noqa: ARG002
        patches, text = normalize(image.patches.float(), dim=-1), labels.text
        weights = self.weigh(patches, text)
        local = (weights * (text @ patches.transpose(1, 2))).sum(-1) / weights.sum(-1)
        whole = normalize(image.global_.float(), dim=-1) @ text.T
        found = self.options.local_share * local + (1 - self.options.local_share) * whole
        return Scores(found, found, weights.mean(-1))


@pytest.fixture
def _toy() -> Iterator[None]:
    METHODS["toy"] = Toy
    yield
    del METHODS["toy"]


@pytest.mark.usefixtures("_toy", "tiny")
def test_a_method_of_one_file_runs_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = write_inputs(tmp_path)

    def c2srt(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["c2srt", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        assert end.value.code in (0, None), printed.err
        return printed.out + printed.err

    machine = ("--batch-size", 4, "--workers", 1, "--precision", "float32")
    model = f"local-dir:{inputs / 'model'}"
    said = c2srt("embed", "-a", inputs / "a", "--for", "toy", "-o", tmp_path / "t", "--backbone", model, *machine)
    assert "c2srt train toy" in said
    assert "local_share = 0.5" in c2srt("train", "toy", "--print-options")
    few = ("--set", "batch_size=8", "--set", "validation=0.2", "--set", "loss.bias=-3.5", "--set", "calibrate=false")
    c2srt("train", "toy", "-e", tmp_path / "t", "-a", inputs / "a", "-o", tmp_path / "run", "--epochs", 1, *few)
    assert "siglip" in (tmp_path / "run/history.csv").read_text()
    table = c2srt("evaluate", tmp_path / "run", "zero-shot", "-e", tmp_path / "t", "-a", inputs / "a")
    assert "toy" in table
    (tmp_path / "grid.toml").write_text(
        'seeds = [0]\n[base]\nmethod = "toy"\nepochs = 1\n[rows.local]\nlocal_share = 1.0\n'
    )
    c2srt("ablate", tmp_path / "grid.toml", "-e", tmp_path / "t", "-a", inputs / "a", "-o", tmp_path / "ablation")
    assert "local" in (tmp_path / "ablation/ablation.md").read_text()
    (tmp_path / "labels.txt").write_text("thing 1\na new one\nthing 6\n")
    c2srt(
        *("tag", inputs / "photos", "-l", tmp_path / "labels.txt", "--run", tmp_path / "run", "--top-k", 2),
        *("--explain", tmp_path / "why.jsonl", "-o", tmp_path / "tags.jsonl", *machine),
    )
    why = [json.loads(line) for line in (tmp_path / "why.jsonl").read_text().splitlines()]
    assert {len(entry["patches"]) for line in why for entry in line["labels"]} == {3}  # 30 of 196 on a grid of 4x4
