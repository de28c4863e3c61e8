"""Names of rows on a system whose paths have backslashes: the same as elsewhere."""

import ntpath
import os
from types import SimpleNamespace

import pytest

from c2srt_cli.images import search
from c2srt_cli.images.exclusion import Exclusion


@pytest.fixture(autouse=True)
def _windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "os", SimpleNamespace(path=ntpath, sep="\\", fsencode=os.fsencode))


def found(root: str, *paths: str) -> list[str]:
    one = search.Search(root, Exclusion(()))
    for path in paths:
        one.add(path, path)
    return [file.name for file in one.files()]


def test_names_have_forward_slashes() -> None:
    assert found("C:\\photos", "C:\\photos\\2024\\a b.jpg", "C:\\photos\\c.jpg") == ["2024/a b.jpg", "c.jpg"]
    assert found("\\\\server\\share", "\\\\server\\share\\x\\ä.jpg") == ["x/ä.jpg"]
    one = search.Search("C:\\photos", Exclusion(()))
    one.fail("C:\\photos\\2024\\b.jpg", "missing", "no such file")
    assert [bad.name for bad in one.problems] == ["2024/b.jpg"]


def test_exclusions_see_forward_slashes() -> None:
    one = search.Search("C:\\photos", Exclusion(("2024/raw/*.jpg",)))
    assert not one._is_wanted("C:\\photos\\2024\\raw\\a.jpg", "C:\\photos")
    assert one._is_wanted("C:\\photos\\2024\\a.jpg", "C:\\photos")
    assert one.left_out.excluded == 1


def test_long_paths_keep_their_names() -> None:
    deep = "\\".join(["a folder with a long name"] * 20)
    assert found("C:\\photos", f"C:\\photos\\{deep}\\a.jpg") == [f"{deep}\\a.jpg".replace("\\", "/")]
