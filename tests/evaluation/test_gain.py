"""The gain of a graph without training, fitted on training images, against a plain loop with scikit-learn."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from tiny_runs import LABELS, SEEN, write_inputs

import c2srt_cli
from c2srt_cli.cli import main
from c2srt_cli.datasets.annotations import read_annotations
from c2srt_cli.embeddings.store import Store
from c2srt_cli.errors import InputError
from c2srt_cli.evaluation import gain as gains
from c2srt_cli.evaluation.score import predictor
from c2srt_cli.evaluation.summary import summary_table
from c2srt_cli.evaluation.table import write_csv
from c2srt_cli.graph.category_graph import CategoryGraph, read_graph
from c2srt_cli.predict.predictor import Predictor
from c2srt_cli.progress import Progress
from c2srt_cli.training.config import resolve
from c2srt_cli.training.propagation_fit import GAINS
from c2srt_cli.training.tokens import TokenSet


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(autouse=True)
def _one_thread(tiny: str) -> None:
    """A model this small loses time on more."""


def of(inputs: Path, gain: Any, graph: CategoryGraph, notes: list[str] | None = None) -> Predictor:
    known, store = read_annotations(inputs / "a"), Store.open(inputs / "e")
    options = resolve("zero-shot", {"propagation.gain": gain})
    progress = Progress() if notes is None else Progress(note=notes.append)
    return predictor("zero-shot", store, known, None, progress, graph=graph, options=options)


def test_the_smallest_gain_within_a_standard_error_of_the_best(inputs: Path) -> None:
    graph, known, store = read_graph(inputs / "graph.json"), read_annotations(inputs / "a"), Store.open(inputs / "e")
    tokens = TokenSet.of(store, known, "train")
    ((rows, batch, stored),) = tokens.batches(np.arange(len(tokens)), len(tokens))
    truth = known.truth(rows, np.arange(SEEN)) > 0
    precision = np.zeros((len(GAINS), SEEN))
    for place, gain in enumerate(GAINS):
        scores = of(inputs, gain, graph)(batch, stored).ranking.numpy()
        assert scores.shape == (len(rows), LABELS)
        for label in range(SEEN):
            precision[place, label] = average_precision_score(truth[:, label], scores[:, label])
    best = precision[precision.mean(1).argmax()]
    lost = [best - row for row in precision]
    wanted = next(g for g, row in zip(GAINS, lost, strict=True) if row.mean() <= row.std(ddof=1) / np.sqrt(SEEN))
    notes: list[str] = []
    fitted = of(inputs, "fit", graph, notes)
    assert fitted.model.propagation is not None
    assert float(fitted.model.propagation.gain) == pytest.approx(wanted)
    assert notes[-1].startswith(f"gain {wanted}: mean AP of {SEEN} seen labels on {len(rows)} training images")


def test_too_few_labels_to_fit_on(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gains, "LEAST", LABELS + 1)
    with pytest.raises(InputError, match="the gain takes"):
        of(inputs, "fit", read_graph(inputs / "graph.json"))


def test_as_a_user_types_it(inputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def evaluate(*arguments: object) -> tuple[int | str | None, str, str]:
        command = ("evaluate", "zero-shot", "-e", inputs / "e", "-a", inputs / "a", "--format", "csv")
        monkeypatch.setattr("sys.argv", ["c2srt", *map(str, (*command, *arguments))])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, *capsys.readouterr()

    graph = inputs / "graph.json"
    code, out, err = evaluate("--graph", graph, "--set", "propagation.gain=0.5", "--against", "zero-shot")
    assert code == 0, err
    raised, plain = out.splitlines()[1], out.splitlines()[3]
    assert raised.startswith('"zero-shot, graph",ZSL')
    assert plain.startswith("zero-shot,ZSL")
    assert raised.split(",")[3:] != plain.split(",")[2:]
    report = c2srt_cli.evaluate(
        "zero-shot",
        embeddings=inputs / "e",
        annotations=inputs / "a",
        graph=str(graph),
        options={"propagation.gain": 0.5},
    )
    table = io.StringIO()
    write_csv(summary_table([report]), table, str)
    assert table.getvalue().splitlines()[1] == raised  # the same figures by the API
    monkeypatch.setattr("sys.argv", ["c2srt", "evaluate", "run", "-e", "e", "-a", "a", "--graph", "coco-80"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "a run keeps what it was trained with" in capsys.readouterr().err
