"""The score file against safetensors' own reader, and what becomes of unfinished and damaged ones."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from c2srt_cli.errors import InputError
from c2srt_cli.evaluation.scores import ScoreFile, write_scores

ROWS, COLUMNS = np.array([4, 2, 9, 7, 1, 3, 0]), np.array([5, 0, 3])


def scores_of(count: int = 7) -> np.ndarray:
    return np.random.default_rng(0).random((count, 3)).astype(np.float32)


@pytest.mark.parametrize("buffer", [1, 40, 1 << 20], ids=["block by block", "some held back", "all held back"])
def test_what_is_written_by_images_is_read_by_labels(
    tmp_path: Path, buffer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("c2srt_cli.evaluation.scores.BUFFER", buffer)
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
    with pytest.raises(ValueError, match="NaN"):
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
