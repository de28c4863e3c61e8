import hashlib
import json
import os
from pathlib import Path

import pytest

from c2srt_cli.artifacts import (
    artifact_kind,
    canonical_json,
    check_same,
    fingerprint,
    manifest,
    peek_manifest,
    previous_manifest,
    read_json,
    read_manifest,
    write_json,
)
from c2srt_cli.errors import InputError


def test_is_the_hash_of_the_canonical_json() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": "é"}) == b'{"a":"\\u00e9","b":[1,2.5,null]}'
    assert fingerprint({"b": 1, "a": 2}) == hashlib.sha256(b'{"a":2,"b":1}').hexdigest()


def test_refuses_what_json_cannot_say() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        fingerprint(float("nan"))


def test_round_trip(tmp_path: Path) -> None:
    written = manifest("embeddings", 1, {"cut": 3}, {"labels": "abc"})
    write_json(tmp_path / "manifest.json", written)
    assert json.loads((tmp_path / "manifest.json").read_text()) == written
    assert read_manifest(tmp_path, "embeddings", 1) == written
    assert artifact_kind(tmp_path) == "embeddings"


def test_unfinished(tmp_path: Path) -> None:
    write_json(tmp_path / "unfinished.json", manifest("embeddings", 1, {}, {}))
    with pytest.raises(InputError, match="unfinished"):
        read_manifest(tmp_path, "embeddings", 1)
    assert artifact_kind(tmp_path) == "embeddings"


@pytest.mark.parametrize("content", ["", "{", "[]", '"text"', "{}", '{"kind": 3}', "\xff"])
def test_what_is_no_manifest(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content, encoding="latin-1")
    assert peek_manifest(tmp_path) is None
    with pytest.raises(InputError):
        read_manifest(tmp_path, "embeddings", 1)


def test_another_kind_and_another_layout(tmp_path: Path) -> None:
    write_json(tmp_path / "manifest.json", manifest("run", 1, {}, {}))
    with pytest.raises(InputError, match="holds run, no embeddings"):
        read_manifest(tmp_path, "embeddings", 1)
    with pytest.raises(InputError, match="layout 1, this version of c2srt reads layout 2"):
        read_manifest(tmp_path, "run", 2)


def test_the_wrong_place_is_named_by_its_folder_and_what_makes_the_right_one(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat")
    for name, what in (("", "holds no annotations"), ("gone", "no such folder"), ("labels.txt", "is a file")):
        with pytest.raises(InputError, match=what) as refused:
            read_manifest(tmp_path / name, "annotations", 1)
        assert refused.value.where == str(tmp_path / name)
        assert refused.value.hint == "c2srt prepare makes them"


def test_missing_and_broken_json(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InputError, match="JSON"):
        read_json(tmp_path / "a.json")


def test_every_field_that_differs_is_named(tmp_path: Path) -> None:
    check_same(tmp_path, {"a": 1, "b": {"c": [2]}}, {"b": {"c": [2]}, "a": 1})
    with pytest.raises(InputError) as refused:
        check_same(tmp_path, {"a": 1, "b": {"c": 2, "d": 3}, "old": 0}, {"a": 1, "b": {"c": 4, "d": 3}, "new": "x"})
    assert refused.value.problems == (
        "b.c: 2 there, 4 now",
        "new: None there, 'x' now",
        "old: 0 there, None now",
    )
    assert refused.value.exit_code == 3


@pytest.mark.parametrize("odd", ["pipe", "device", "pipe below"])
def test_what_is_no_file_has_no_place_in_an_artifact(odd: str, tmp_path: Path) -> None:
    """Whoever opened the pipe would wait for ever, and the device has no end."""
    write_json(tmp_path / "manifest.json", manifest("run", 2, {}, {}))
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "gone").symlink_to("nowhere")
    assert read_manifest(tmp_path, "run", 2)
    if odd == "device":
        (tmp_path / "index.parquet").symlink_to("/dev/zero")
    else:
        os.mkfifo(tmp_path / ("index.parquet" if odd == "pipe" else "checkpoint/state.safetensors"))
    with pytest.raises(InputError, match="is no file, and has no place in an artifact"):
        read_manifest(tmp_path, "run", 2)
    with pytest.raises(InputError, match="is no file, and has no place in an artifact"):
        previous_manifest(tmp_path, "run")
