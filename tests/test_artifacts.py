import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from photos import Killed, file_limit

from c2srt_cli.artifacts import (
    artifact_kind,
    atomic_write,
    canonical_json,
    check_same,
    disk_errors,
    file_sha256,
    file_stamp,
    fingerprint,
    lock,
    manifest,
    peek_manifest,
    read_json,
    read_manifest,
    remove_leftovers,
    write_json,
)
from c2srt_cli.errors import InputError, UsageError


class TestFingerprint:
    def test_is_the_hash_of_the_canonical_json(self) -> None:
        assert canonical_json({"b": [1, 2.5, None], "a": "é"}) == b'{"a":"\\u00e9","b":[1,2.5,null]}'
        assert fingerprint({"b": 1, "a": 2}) == hashlib.sha256(b'{"a":2,"b":1}').hexdigest()

    def test_refuses_what_json_cannot_say(self) -> None:
        with pytest.raises(ValueError, match="not JSON compliant"):
            fingerprint(float("nan"))

    def test_of_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"abc")
        assert file_sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        os.utime(tmp_path / "a", ns=(5, 7))
        assert file_stamp(tmp_path / "a")[:2] == (3, 7)
        assert file_stamp(tmp_path / "b") == (-1, -1, -1, "")


class TestAtomicWrite:
    @pytest.mark.parametrize("name", ["a.json", "x" * 255, "\U0001f4f7" * 63, "é" * 127])
    def test_leaves_the_file_and_nothing_else(self, tmp_path: Path, name: str) -> None:
        with atomic_write(tmp_path / "deep" / name) as temporary:
            temporary.write_text("new")
            assert not (tmp_path / "deep" / name).exists()
        assert [path.name for path in (tmp_path / "deep").iterdir()] == [name]
        assert (tmp_path / "deep" / name).read_text() == "new"

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Killed])
    def test_an_error_keeps_the_old_file(self, tmp_path: Path, error: type[BaseException]) -> None:
        (tmp_path / "a").write_text("old")
        with pytest.raises(error), atomic_write(tmp_path / "a") as temporary:
            temporary.write_text("half of the n")
            raise error
        assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "old")]

    def test_mode_is_the_umask_s_or_the_old_file_s(self, tmp_path: Path) -> None:
        before = os.umask(0o027)
        try:
            write_json(tmp_path / "a", 1)
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
        (tmp_path / "a").chmod(0o604)
        write_json(tmp_path / "a", 2)
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o604

    def test_what_a_kill_leaves_is_removed_by_name(self, tmp_path: Path) -> None:
        die = (
            "import os, pathlib, sys\nfrom c2srt_cli.artifacts import atomic_write\n"
            "writes = [atomic_write(pathlib.Path(name)) for name in sys.argv[1:]]\n"
            "for write in writes: write.__enter__()\nos._exit(9)"
        )
        subprocess.run([sys.executable, "-c", die, tmp_path / "a.csv", tmp_path / "b.csv"], check=False)
        mine = tmp_path / ".a.csv.backup.tmp"
        mine.write_text("the user's")
        assert len(list(tmp_path.iterdir())) == 3
        remove_leftovers(tmp_path / "a.csv")
        assert sorted(path.name[:4] for path in tmp_path.iterdir()) == [".a.c", ".b.c"]
        remove_leftovers(tmp_path)
        assert list(tmp_path.iterdir()) == [mine]


class TestDiskErrors:
    def test_a_full_disk(self, tmp_path: Path) -> None:
        with file_limit(100), pytest.raises(InputError, match="cannot be written") as error, disk_errors(tmp_path):
            (tmp_path / "a").write_bytes(bytes(1000))
        assert "it resumes" in str(error.value)

    def test_a_folder_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "a").touch()
        with pytest.raises(InputError) as error, disk_errors(tmp_path), atomic_write(tmp_path / "a/b"):
            pass
        assert error.value.where == str(tmp_path / "a")

    def test_other_errors_pass(self, tmp_path: Path) -> None:
        with pytest.raises(ZeroDivisionError), disk_errors(tmp_path):
            raise ZeroDivisionError


class TestManifest:
    def test_round_trip(self, tmp_path: Path) -> None:
        written = manifest("embeddings", 1, {"cut": 3}, {"labels": "abc"})
        write_json(tmp_path / "manifest.json", written)
        assert json.loads((tmp_path / "manifest.json").read_text()) == written
        assert read_manifest(tmp_path, "embeddings", 1) == written
        assert artifact_kind(tmp_path) == "embeddings"

    def test_unfinished(self, tmp_path: Path) -> None:
        write_json(tmp_path / "unfinished.json", manifest("embeddings", 1, {}, {}))
        with pytest.raises(InputError, match="unfinished"):
            read_manifest(tmp_path, "embeddings", 1)
        assert artifact_kind(tmp_path) == "embeddings"

    @pytest.mark.parametrize("content", ["", "{", "[]", '"text"', "{}", '{"kind": 3}', "\xff"])
    def test_what_is_no_manifest(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "manifest.json").write_text(content, encoding="latin-1")
        assert peek_manifest(tmp_path) is None
        with pytest.raises(InputError):
            read_manifest(tmp_path, "embeddings", 1)

    def test_another_kind_and_another_layout(self, tmp_path: Path) -> None:
        write_json(tmp_path / "manifest.json", manifest("run", 1, {}, {}))
        with pytest.raises(InputError, match="not the manifest of embeddings"):
            read_manifest(tmp_path, "embeddings", 1)
        with pytest.raises(InputError, match="layout 1, this version of c2srt reads layout 2"):
            read_manifest(tmp_path, "run", 2)

    def test_missing_and_broken_json(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no such file"):
            read_json(tmp_path / "a.json")
        (tmp_path / "a.json").write_text("{")
        with pytest.raises(InputError, match="JSON"):
            read_json(tmp_path / "a.json")

    def test_every_field_that_differs_is_named(self, tmp_path: Path) -> None:
        check_same(tmp_path, {"a": 1, "b": {"c": [2]}}, {"b": {"c": [2]}, "a": 1})
        with pytest.raises(InputError) as refused:
            check_same(tmp_path, {"a": 1, "b": {"c": 2, "d": 3}, "old": 0}, {"a": 1, "b": {"c": 4, "d": 3}, "new": "x"})
        assert refused.value.problems == (
            "b.c: 2 there, 4 now",
            "new: None there, 'x' now",
            "old: 0 there, None now",
        )
        assert refused.value.exit_code == 3


class TestLock:
    HOLD = (
        "import sys, pathlib; from c2srt_cli.artifacts import lock\n"
        "with lock(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )

    def test_one_at_a_time_until_its_holder_dies(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / ".lock"
        command = [sys.executable, "-c", self.HOLD, str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"held\n"
            with pytest.raises(UsageError, match="another c2srt is writing here"), lock(path):
                pass
            other.kill()
        with lock(path):
            pass
        assert list(path.parent.iterdir()) == []

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "a").touch()
        with pytest.raises(InputError, match="cannot be written"), lock(tmp_path / "a/b/.lock"):
            pass
