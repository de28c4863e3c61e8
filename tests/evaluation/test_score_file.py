"""The score file against safetensors' own reader, and what becomes of unfinished and damaged ones."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from c2srt_cli.errors import InputError
from c2srt_cli.evaluation.score_file import ScoreFile, write_scores

ROWS, COLUMNS = np.array([4, 2, 9, 7, 1, 3, 0]), np.array([5, 0, 3])


def scores_of(count: int = 7) -> np.ndarray:
    return np.random.default_rng(0).random((count, 3)).astype(np.float32)


@pytest.mark.parametrize("buffer", [1, 40, 1 << 20], ids=["block by block", "some held back", "all held back"])
def test_what_is_written_by_images_is_read_by_labels(
    tmp_path: Path, buffer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("c2srt_cli.evaluation.score_file.BUFFER", buffer)
    scores = scores_of()
    with write_scores(tmp_path / "s.safetensors", ROWS, COLUMNS, {"method": "zero-shot"}) as writer:
        for block in np.split(scores, [2, 3, 3, 6]):
            writer.add(block)
    stored = load_file(tmp_path / "s.safetensors")
    np.testing.assert_array_equal(stored["scores"], scores.T)
    np.testing.assert_array_equal(stored["rows"], ROWS)
    np.testing.assert_array_equal(stored["columns"], COLUMNS)
    file = ScoreFile.open(tmp_path / "s.safetensors")
    assert file.facts == {"method": "zero-shot"}
    np.testing.assert_array_equal(file.rows, ROWS)
    np.testing.assert_array_equal(file.columns, COLUMNS)
    np.testing.assert_array_equal(file.read(np.array([2, 0])), scores.T[[2, 0]])
    np.testing.assert_array_equal(file.read(np.array([1, 2]), 3, 100), scores.T[1:, 3:])


def test_an_unfinished_file_is_none(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    with (
        pytest.raises(ValueError, match="scores of 5 images came, 7"),
        write_scores(path, ROWS, COLUMNS, {}) as writer,
    ):
        writer.add(scores_of(5))
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="no such file"):
        ScoreFile.open(path)


def test_scores_that_do_not_fit_or_are_no_numbers_are_refused(tmp_path: Path) -> None:
    def add(scores: np.ndarray) -> None:
        with write_scores(tmp_path / "s.safetensors", ROWS, COLUMNS, {}) as writer:
            writer.add(scores)

    with pytest.raises(ValueError, match="do not fit"):
        add(scores_of(8))
    with pytest.raises(ValueError, match="do not fit"):
        add(scores_of()[:, :2])
    with pytest.raises(InputError, match="NaN"):
        add(np.full((7, 3), np.nan))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    with write_scores(path, ROWS, COLUMNS, {}) as writer:
        writer.add(scores_of())
    file, whole = ScoreFile.open(path), path.read_bytes()
    for damaged in (b"", b"nonsense", whole[:100], whole[:-1], whole.replace(b'"F32"', b'"F64"'), b"[]" * 40):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="is no score file"):
            ScoreFile.open(path)
    with pytest.raises(InputError, match="ends too early"):
        file.read(np.array([0]))


def forged(path: Path, **change: np.ndarray | None) -> None:
    tensors = {"rows": ROWS, "columns": COLUMNS, "scores": scores_of().T.copy(), **change}
    save_file({name: value for name, value in tensors.items() if value is not None}, path, {"method": "x"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rows": np.array([4, 2, 9, 7, 1, 3, 4])}, "rows: some stand twice"),
        ({"columns": np.array([5, 0, 0])}, "columns: some stand twice"),
        ({"rows": np.array([4, 2, 9, 7, 1, 3, -2])}, "rows: -2 is the number of nothing"),
        ({"rows": ROWS[:6]}, "scores: F32 of shape [3, 7]"),
        ({"rows": ROWS.astype(np.int32)}, "rows: I32 of shape [7] are no numbers"),
        ({"rows": ROWS[:, None]}, "rows: I64 of shape [7, 1] are no numbers"),
        ({"scores": scores_of().T.astype(np.float64)}, "scores: F64 of shape [3, 7]"),
        ({"scores": scores_of()}, "scores: F32 of shape [7, 3]"),
        ({"scores": None}, "it holds columns, rows instead of"),
        ({"extra": ROWS}, "it holds columns, extra, rows, scores instead of"),
        ({"columns": COLUMNS[:0], "scores": scores_of().T[:0]}, "columns: I64 of shape [0] are no numbers"),
    ],
)
def test_what_no_score_file_can_be(tmp_path: Path, change: dict[str, np.ndarray | None], said: str) -> None:
    path = tmp_path / "s.safetensors"
    forged(path, **change)
    with pytest.raises(InputError, match="is no score file") as refused:
        ScoreFile.open(path)
    assert said in str(refused.value)


def test_a_score_that_is_no_number_is_found_when_it_is_read(tmp_path: Path) -> None:
    path, scores = tmp_path / "s.safetensors", scores_of().T.copy()
    scores[1, 2] = np.nan
    forged(path, scores=scores)
    file = ScoreFile.open(path)
    np.testing.assert_array_equal(file.read(np.array([0, 2])), scores[[0, 2]])
    with pytest.raises(InputError, match="a score is NaN"):
        file.read(np.array([1]))
