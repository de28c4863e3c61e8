"""A grid on a tiny model: the table, its figures, resumption."""

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photos import fingerprints, stop_after
from PIL import Image
from tiny_runs import write_with_graph

from c2srt_cli.ablation.ablate import AblationResult, ablate
from c2srt_cli.ablation.prepare import AblationOptions, prepare_ablation
from c2srt_cli.ablation.rows import spread
from c2srt_cli.artifacts import read_json, read_manifest, write_json
from c2srt_cli.cli import main
from c2srt_cli.datasets.annotations import read_annotations
from c2srt_cli.embeddings.store import Store
from c2srt_cli.errors import InputError, Interrupted, UsageError
from c2srt_cli.evaluation.comparison import compare
from c2srt_cli.evaluation.protocol import SETTINGS, protocol
from c2srt_cli.evaluation.report import evaluate
from c2srt_cli.evaluation.score import predictor, score_split
from c2srt_cli.evaluation.score_file import ScoreFile, write_scores
from c2srt_cli.graph.category_graph import read_graph
from c2srt_cli.progress import Progress
from c2srt_cli.training.config import resolve
from c2srt_cli.training.job import TrainJob
from c2srt_cli.training.prepare import TrainOptions, prepare_training
from c2srt_cli.training.run import Run

GRID = """
seeds = [0, 3]
[base]
method = "label-propagation"
graph = "graph.json"
epochs = 1
batch_size = 8
validation = 0.2
[rows."without ISR"]
patches = "none"
[rows.MKT]
method = "mkt"
"""
RUNS = ["label-propagation-0", "label-propagation-3", "without-isr-0", "without-isr-3", "mkt-0", "mkt-3"]
PHOTOS, LABELS, SEEN = 30, 10, 6


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, annotations ``a``, embeddings ``e``, a graph over their labels and a grid."""
    folder = write_with_graph(tmp_path_factory.mktemp("inputs"), photos=PHOTOS, train=18, labels=LABELS, seen=SEEN)
    (folder / "grid.toml").write_text(GRID, encoding="utf-8")
    return folder


def run(
    inputs: Path, out: Path, grid: str = "grid.toml", progress: Progress | None = None, **given: Any
) -> AblationResult:
    options = AblationOptions(inputs / grid, inputs / "e", inputs / "a", out, **given)
    return ablate(prepare_ablation(options, progress or Progress()), progress or Progress())


@pytest.fixture(scope="module")
def whole(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ablation that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole") / "ablation"
    assert run(inputs, out).failed == 0
    return out


@pytest.fixture
def nothing_drawn(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - of which the figure is drawn
    """Of ablations whose figure nobody looks at, as drawing takes longer than training here."""
    monkeypatch.setattr("c2srt_cli.ablation.report.write_figure", lambda _, path, *__: path.touch())


def lines(out: Path) -> list[dict[str, str]]:
    """The lines of the table, without the times."""
    with (out / "ablation.csv").open(encoding="utf-8", newline="") as file:
        return [{key: cell for key, cell in line.items() if key != "minutes"} for line in csv.DictReader(file)]


def test_a_line_for_zero_shot_and_each_run(whole: Path) -> None:
    assert [(line["row"], line["seed"]) for line in lines(whole)] == [
        ("zero-shot", ""),
        *((row, seed) for row in ("label-propagation", "without ISR", "MKT") for seed in ("0", "3")),
    ]
    assert [line["changes"] for line in lines(whole)[3:6:2]] == ["patches = none", "method = mkt"]
    with (whole / "times.csv").open(encoding="utf-8", newline="") as file:
        times = {line["run"]: float(line["minutes"]) for line in csv.DictReader(file)}
    assert list(times) == RUNS
    assert min(times.values()) > 0
    assert read_manifest(whole, "ablation", 1)["options"]["seeds"] == [0, 3]


def test_a_row_with_another_method_takes_nothing_but_optimisation_from_the_base(whole: Path) -> None:
    own = {"epochs": 1, "batch_size": 8, "validation": 0.2, "seed": 3, "calibrate": False}
    assert Run.open(whole / "runs/mkt-3").options == resolve("mkt", own)
    assert Run.open(whole / "runs/without-isr-0").options.method == "label-propagation"


@pytest.mark.parametrize(("line", "method"), [(0, "zero-shot"), (2, "label-propagation-3"), (5, "mkt-0")])
def test_figures_are_those_of_evaluate(line: int, method: str, inputs: Path, whole: Path, tmp_path: Path) -> None:
    known, store = read_annotations(inputs / "a"), Store.open(inputs / "e")
    name = method if method == "zero-shot" else str(whole / "runs" / method)
    one, chosen = predictor(name, store, known, "default", Progress()), protocol("table")
    report = evaluate(known, chosen, score_split(one, store, known, chosen, folder=tmp_path, progress=Progress()))
    zsl, gzsl = report.settings
    got = lines(whole)[line]
    expected = {
        "zsl_map": zsl.mean.left_out,
        "zsl_map_with_zeros": zsl.mean.with_zeros,
        "zsl_f1_at_3": zsl.at[0].f1,
        "gzsl_map": gzsl.mean.left_out,
        "gzsl_map_with_zeros": gzsl.mean.with_zeros,
        "gzsl_map_seen": gzsl.seen.left_out,
        "gzsl_map_unseen": gzsl.unseen.left_out,
        "gzsl_map_harmonic": 2 / (1 / gzsl.seen.left_out + 1 / gzsl.unseen.left_out),
        "gzsl_f1_at_3": gzsl.at[0].f1,
        "gzsl_f1_at_5": gzsl.at[1].f1,
    }
    assert {key: float(got[key]) for key in expected} == pytest.approx(expected, abs=1e-9)


def test_the_table_for_people_has_means_over_seeds_and_the_difference_from_the_base(inputs: Path, whole: Path) -> None:
    result = run(inputs, whole)
    known = read_annotations(inputs / "a")
    maps = {
        (row, setting): [float(line[f"{setting.lower()}_map"]) for line in lines(whole) if line["row"] == row]
        for row in ("label-propagation", "MKT")
        for setting in SETTINGS
    }
    for table, setting in zip(result.tables, SETTINGS, strict=True):
        of = {row[0]: dict(zip((column.key for column in table.columns), row, strict=True)) for row in table.rows}
        assert list(of) == ["zero-shot", "label-propagation", "without ISR", "MKT"]
        assert of["MKT"]["map"] == pytest.approx(np.mean(maps["MKT", setting]))
        a, b = maps["MKT", setting]
        assert of["MKT"]["map_spread"] == pytest.approx(abs(a - b) / 2**0.5)
        assert (of["MKT"]["seeds"], of["zero-shot"]["seeds"]) == (2, None)
        files = {
            row: [ScoreFile.open(whole / f"scores/{row}-{seed}" / file) for seed in (0, 3)]
            for row, file in (("mkt", f"{setting.lower()}.safetensors"), ("label-propagation", "gzsl.safetensors"))
        }
        difference = compare(known, protocol("table"), setting, files["mkt"], files["label-propagation"]).difference
        got = of["MKT"]
        assert (got["difference"], got["difference_low"], got["difference_high"]) == (
            difference.estimate,
            difference.low,
            difference.high,
        )
        assert got["difference"] == pytest.approx(
            np.mean(maps["MKT", setting]) - np.mean(maps["label-propagation", setting])
        )
        assert got["verdict"] == ("counts" if difference.low > 0 or difference.high < 0 else "does not count")
        assert of["label-propagation"]["difference"] is None
        assert of["zero-shot"]["difference"] is not None


@pytest.mark.usefixtures("nothing_drawn")
def test_stopped_again_and_again_it_ends_with_the_same_table(inputs: Path, whole: Path, tmp_path: Path) -> None:
    out, stops = tmp_path / "parts", 0
    for _ in range(20):
        try:
            run(inputs, out, progress=stop_after(4))
        except Interrupted as stop:
            stops += 1
            assert "of 6 runs are done" in stop.what
            continue
        break
    assert stops >= 5  # in the middle of runs, and between them
    assert lines(out) == lines(whole)
    for name in RUNS:
        assert (out / "runs" / name / "model.safetensors").read_bytes() == (
            whole / "runs" / name / "model.safetensors"
        ).read_bytes()


@pytest.mark.usefixtures("nothing_drawn")
def test_what_is_done_is_shown_and_kept(inputs: Path, whole: Path, tmp_path: Path) -> None:
    out, done = tmp_path / "parts", 0

    def note(text: str) -> None:
        nonlocal done
        done += text.startswith("without ISR, seed 0")

    with pytest.raises(Interrupted):
        run(inputs, out, progress=Progress(note=note, stopped=lambda: done > 0))
    assert lines(out) == lines(whole)[:3]
    assert "without ISR" not in (out / "ablation.md").read_text(encoding="utf-8")
    assert "| label-propagation | 2 |" in (out / "ablation.md").read_text(encoding="utf-8")
    assert (out / "unfinished.json").exists()
    before = (out / "runs/label-propagation-0/model.safetensors").stat().st_mtime_ns
    scores = (out / "scores/label-propagation-0/gzsl.safetensors").stat().st_mtime_ns
    run(inputs, out)
    assert (out / "runs/label-propagation-0/model.safetensors").stat().st_mtime_ns == before
    assert (out / "scores/label-propagation-0/gzsl.safetensors").stat().st_mtime_ns == scores
    assert not (out / "unfinished.json").exists()


@pytest.mark.usefixtures("nothing_drawn")
def test_scores_that_are_of_something_else_or_damaged_are_made_anew(inputs: Path, whole: Path, tmp_path: Path) -> None:
    """A fault in each folder of scores; were one believed, its line of the table would be another."""
    out = tmp_path / "copy"
    shutil.copytree(whole, out)
    scores = out / "scores"

    def forge(name: str, **facts: str) -> bytes:
        """Scores of the right images and labels that are all the wrong way round."""
        file = ScoreFile.open(whole / "scores" / name / "gzsl.safetensors")
        wrong = -file.read(np.arange(len(file.columns))).T
        with write_scores(tmp_path / "forged", file.rows, file.columns, {**file.facts, **facts}) as writer:
            writer.add(wrong)
        return (tmp_path / "forged").read_bytes()

    def change(name: str, **fields: Any) -> None:
        path = scores / name / "manifest.json"
        write_json(path, {**read_json(path), **fields})

    (out / "forged.safetensors").write_bytes(forge("zero-shot"))
    (tmp_path / "forged.safetensors").write_bytes(forge("zero-shot"))
    change("zero-shot", files=dict.fromkeys(("ZSL", "GZSL"), "../../forged.safetensors"))
    for file in ("gzsl.safetensors", "manifest.json"):  # of another run, whole
        shutil.copyfile(whole / "scores/label-propagation-0" / file, scores / "label-propagation-3" / file)
    (scores / "label-propagation-0/gzsl.safetensors").write_bytes(forge("label-propagation-0", annotations="0" * 64))
    (scores / "without-isr-0/gzsl.safetensors").write_bytes(forge("without-isr-0"))
    change("without-isr-0", inputs={**read_json(scores / "without-isr-0/manifest.json")["inputs"], "embeddings": "x"})
    change("without-isr-3", files={"GZSL": "gzsl.safetensors"})
    (scores / "mkt-0/zsl.safetensors").write_bytes(b"damaged")
    change("mkt-3", files=str(tmp_path / "forged.safetensors"), options=[1])
    (out / "times.csv").write_bytes(b"run,minutes\nlabel-propagation-0,nan\nlabel-propagation-3,\xff\n")
    run(inputs, out)
    assert lines(out) == lines(whole)
    assert read_json(scores / "zero-shot/manifest.json")["files"]["GZSL"] == "gzsl.safetensors"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("runs/label-propagation-0/manifest.json", b"[]", "is not a run"),
        ("runs/label-propagation-0/manifest.json", b"{", "cannot be read as JSON"),
        ("runs/label-propagation-0/metrics.json", b'{"epochs": "many"}', "the run is damaged"),
        ("runs/label-propagation-0/diverged.json", b'{"what": 5}', "what: must be text, is 5"),
        ("runs/label-propagation-0/diverged.json", b"", "cannot be read as JSON"),
        ("manifest.json", b'{"kind": "ablation", "options": 5}', "its manifest is damaged"),
        ("manifest.json", b'{"kind": "run"}', "holds run, no ablation"),
        ("manifest.json", b"?", "not empty"),
    ],
)
def test_what_says_what_is_done_is_checked(  # noqa: PLR0917
    name: str, content: bytes, said: str, inputs: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(whole, out)
    (out / name).write_bytes(content)
    if name.endswith("diverged.json"):
        (out / "runs/label-propagation-0/manifest.json").unlink()
    before = fingerprints(out / "runs")
    with pytest.raises(InputError) as caught:
        run(inputs, out)
    assert said in str(caught.value)
    assert fingerprints(out / "runs") == before


@pytest.mark.usefixtures("nothing_drawn")
def test_rows_can_be_added_and_not_changed(inputs: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(whole, out)
    more = GRID.replace("seeds = [0, 3]", "seeds = [0]") + "[grid]\npatches.alpha = [0.5, 0.25]\n"
    (inputs / "more.toml").write_text(more, encoding="utf-8")
    run(inputs, out, "more.toml")
    assert [line["row"] for line in lines(out)] == [
        "zero-shot",
        "label-propagation",
        "without ISR",
        "MKT",
        "patches.alpha = 0.25",
    ]
    assert lines(out)[1] == lines(whole)[1]
    other = GRID.replace("seeds = [0, 3]", "seeds = [3]").replace('patches = "none"', 'patches = "max"')
    (inputs / "other.toml").write_text(other, encoding="utf-8")
    with pytest.raises(InputError, match="made with other options") as caught:
        run(inputs, out, "other.toml")
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["without ISR, seed 3"]
    assert "method.patches.kind: 'none' there, 'max' now" in caught.value.problems[0]
    run(inputs, out, "other.toml", overwrite=True)
    assert lines(out)[:2] == [lines(whole)[0], lines(whole)[2]]
    assert {path.name for path in (out / "runs").iterdir()} == {"label-propagation-3", "without-isr-3", "mkt-3"}


@pytest.mark.usefixtures("nothing_drawn")
def test_rows_with_options_that_the_backbone_has_no_place_for_are_resumed(inputs: Path, tmp_path: Path) -> None:
    grid = """
seeds = [0]
[base]
method = "ram"
adapters.stages = 0
patch_attention = "none"
trained_stages = 1
patches = "isr"
text_tokens.layers = 9
epochs = 1
batch_size = 8
validation = 0.2
[rows."more layers"]
text_tokens.layers = 12
"""
    (inputs / "ram.toml").write_text(grid, encoding="utf-8")
    assert run(inputs, tmp_path / "out", "ram.toml").failed == 0
    assert Run.open(tmp_path / "out/runs/ram-0").options.text_tokens.layers == 2
    before = fingerprints(tmp_path / "out/runs")
    assert run(inputs, tmp_path / "out", "ram.toml").failed == 0
    assert fingerprints(tmp_path / "out/runs") == before


def test_a_run_that_diverges_is_a_row_with_a_note_and_is_not_trained_again(
    inputs: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = GRID.replace(
        '[rows.MKT]\nmethod = "mkt"', "[rows.fast]\nlr = 1e30\nlr_new = 1e30\nclip = 1e30\nwarmup = 0.0"
    )
    (inputs / "fast.toml").write_text(grid, encoding="utf-8")
    shutil.copytree(whole, tmp_path / "out")  # of which this row alone is new
    result = run(inputs, tmp_path / "out", "fast.toml")
    assert result.failed == 2
    assert lines(tmp_path / "out")[:5] == lines(whole)[:5]
    for line in lines(tmp_path / "out")[5:]:
        assert line["note"] == "the loss is no number from the first epoch on"
        assert line["zsl_map"] == ""
    assert "| fast | 0 |" in (tmp_path / "out/ablation.md").read_text(encoding="utf-8")
    table = (tmp_path / "out/ablation.csv").read_bytes()
    trained = list[str]()
    monkeypatch.setattr("c2srt_cli.ablation.ablate.train", lambda job, _: trained.append(job.out.name))
    assert run(inputs, tmp_path / "out", "fast.toml").failed == 2
    assert trained == []
    assert (tmp_path / "out/ablation.csv").read_bytes() == table


def test_a_row_whose_parts_do_not_fit_is_told_before_anything_is_trained(inputs: Path, tmp_path: Path) -> None:
    """The base has the same inputs, and another transfer."""
    grid = GRID.replace(
        '[rows.MKT]\nmethod = "mkt"', '[rows.heads]\nmethod = "c2srt"\nist = {kind = "values", heads = 3}'
    )
    (inputs / "heads.toml").write_text(grid, encoding="utf-8")
    with pytest.raises(InputError, match="some rows cannot be trained") as caught:
        run(inputs, tmp_path / "out", "heads.toml")
    assert caught.value.problems[0].startswith(
        "heads: ist.heads = 3: a hidden width of 32 cannot be divided by 3 heads"
    )


@pytest.mark.usefixtures("nothing_drawn")
def test_a_row_that_cannot_be_trained_is_not_called_diverged(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (inputs / "one.toml").write_text(GRID.replace("[0, 3]", "[0]"), encoding="utf-8")
    options = AblationOptions(inputs / "one.toml", inputs / "e", inputs / "a", tmp_path / "out")
    job = prepare_ablation(options, Progress())

    def refuses(options: TrainOptions, progress: Progress) -> TrainJob:
        if options.out.name == "mkt-0":
            raise UsageError("a batch must have an image for each of 99 processes")
        return prepare_training(options, progress)

    monkeypatch.setattr("c2srt_cli.ablation.ablate.prepare_training", refuses)
    assert ablate(job, Progress()).failed == 1
    assert lines(tmp_path / "out")[3]["note"] == "a batch must have an image for each of 99 processes"
    assert not (tmp_path / "out/runs/mkt-0/diverged.json").exists()
    monkeypatch.undo()
    assert run(inputs, tmp_path / "out", "one.toml").failed == 0


def test_the_figure_is_drawn_and_the_same_each_time(inputs: Path, whole: Path) -> None:
    drawn = [(whole / f"ablation.{form}").read_bytes() for form in ("svg", "png")]
    with Image.open(whole / "ablation.png") as image:
        assert image.width > 1000
        assert len(set(np.asarray(image.convert("L")).ravel().tolist())) > 50
    run(inputs, whole)
    assert [(whole / f"ablation.{form}").read_bytes() for form in ("svg", "png")] == drawn


def test_a_folder_of_something_else_is_left_alone(inputs: Path, whole: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=r"not empty \(mine.txt, …\) and holds no ablation"):
        run(inputs, tmp_path)
    with pytest.raises(InputError, match="holds run, no ablation"):
        run(inputs, whole / "runs/label-propagation-0", overwrite=True)


def test_the_command_prints_the_table(
    inputs: Path, whole: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["-e", inputs / "e", "-a", inputs / "a", "--out", whole]
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr("sys.argv", ["c2srt", "ablate", *map(str, [inputs / "grid.toml", *command])])
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    assert end.value.code == 0
    assert [line.split()[0] for line in out.splitlines() if line[:4] in ("ZSL:", "GZSL", "labe", "MKT ")] == [
        *("ZSL:", "label-propagation", "MKT"),
        *("GZSL:", "label-propagation", "MKT", "label-propagation:"),
    ]
    assert out.count("against label-propagation") == 2
    assert "MKT, seed 3 (6 of 6, kept)" in err
    (inputs / "bad.toml").write_text(GRID.replace("epochs", "epoch"), encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["c2srt", "ablate", *map(str, [inputs / "bad.toml", *command])])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 3
    assert "[base]: label-propagation has no option 'epoch'; did you mean 'epochs'?" in capsys.readouterr().err


@pytest.mark.usefixtures("nothing_drawn")
def test_a_row_without_training_is_scored_once_over_its_graph(inputs: Path, whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "out")
    more = f'{GRID}[rows."zero-shot, graph"]\nmethod = "zero-shot"\n"propagation.gain" = 0.5\n'
    (inputs / "untrained.toml").write_text(more, encoding="utf-8")
    run(inputs, tmp_path / "out", "untrained.toml")
    *_, line = lines(tmp_path / "out")
    assert (line["row"], line["seed"]) == ("zero-shot, graph", "")
    known, store = read_annotations(inputs / "a"), Store.open(inputs / "e")
    one = predictor(
        "zero-shot",
        store,
        known,
        None,
        Progress(),
        graph=read_graph(str(inputs / "graph.json")),
        options=resolve("zero-shot", {"propagation.gain": 0.5}),
    )
    files = score_split(one, store, known, protocol("table"), folder=tmp_path / "s", progress=Progress())
    figures = {found.setting: found for found in evaluate(known, protocol("table"), files).settings}
    assert float(line["gzsl_map"]) == pytest.approx(figures["GZSL"].mean.left_out)
    assert float(line["gzsl_map"]) != float(lines(tmp_path / "out")[0]["gzsl_map"])


def test_spread_is_that_of_a_sample() -> None:
    assert spread([1.0, 2.0, 3.0]) == pytest.approx(1.0)
    assert spread([1.0]) is None
