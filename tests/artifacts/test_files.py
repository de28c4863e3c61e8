import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lesser_file_system
import pytest
from photos import Killed, content, file_limit

from c2srt_cli.artifacts import (
    TEMPORARY,
    atomic_write,
    check_folder,
    check_writable,
    disk_errors,
    lacking,
    output_file,
    remove_leftovers,
    write_json,
)
from c2srt_cli.errors import InputError


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


class TestLinks:
    @pytest.mark.parametrize("there", [True, False])
    @pytest.mark.parametrize("write", [output_file, atomic_write])
    def test_a_link_stays_and_its_file_is_written(
        self, tmp_path: Path, write: Callable[[Path], Any], there: bool
    ) -> None:
        (tmp_path / "real").mkdir()
        if there:
            (tmp_path / "real/tags.csv").write_text("old")
        (tmp_path / "hop").symlink_to("real/tags.csv")
        (tmp_path / "tags.csv").symlink_to("hop")
        with write(tmp_path / "tags.csv") as temporary:
            temporary.write_text("new")
        assert (tmp_path / "tags.csv").readlink() == Path("hop")
        assert (tmp_path / "hop").is_symlink()
        assert content(tmp_path / "real") == {"tags.csv": b"new"}

    def test_links_in_a_circle_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a").symlink_to("b")
        (tmp_path / "b").symlink_to("a")
        for attempt in (lambda: check_writable(tmp_path / "a"), lambda: output_file(tmp_path / "a").__enter__()):
            with pytest.raises(InputError, match="cannot be written"):
                attempt()

    def test_hard_links_part(self, tmp_path: Path) -> None:
        """The other name keeps the old content: it may be somebody's backup."""
        (tmp_path / "a").write_text("old")
        (tmp_path / "b").hardlink_to(tmp_path / "a")
        with atomic_write(tmp_path / "a") as temporary:
            temporary.write_text("new")
        assert content(tmp_path) == {"a": b"new", "b": b"old"}


class TestReplacing:
    @pytest.mark.parametrize("name", ["no-replacing", "files-mounted"])
    @pytest.mark.parametrize("new", ["n", "a longer text than was there"])
    def test_what_cannot_be_replaced_is_filled(
        self, tmp_path: Path, name: str, new: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "a").write_text("old content")
        inode = (tmp_path / "a").stat().st_ino
        lesser_file_system.play(monkeypatch, tmp_path, name)
        with atomic_write(tmp_path / "a") as temporary:
            temporary.write_text(new)
        assert content(tmp_path) == {"a": new.encode()}
        assert (tmp_path / "a").stat().st_ino == inode
        assert "cannot replace files" in lacking()

    def test_what_may_not_be_written_is_not_filled(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "a").mkdir()

        def refuse(*_: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(os, "replace", refuse)
        with pytest.raises(PermissionError), atomic_write(tmp_path / "a") as temporary:
            temporary.write_text("new")
        assert [path.name for path in tmp_path.iterdir()] == ["a"]
        assert lacking() == ""

    def test_a_guard_comes_last(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("old")

        def guard() -> None:
            raise Killed

        with pytest.raises(Killed), atomic_write(tmp_path / "a", guard=guard) as temporary:
            temporary.write_text("new")
        assert content(tmp_path) == {"a": b"old"}


class TestCheckWritable:
    def test_leaves_nothing_and_makes_nothing(self, tmp_path: Path) -> None:
        check_writable(tmp_path / "deep/er/tags.csv")
        check_writable(tmp_path / "new", folder=True)
        check_folder(tmp_path / "new")
        (tmp_path / "old").write_text("old")
        check_writable(tmp_path / "old")
        check_writable(Path("/dev/null"))
        assert content(tmp_path) == {"old": b"old"}
        assert [path.name for path in tmp_path.iterdir()] == ["old"]

    @pytest.mark.parametrize(
        ("name", "folder", "what"),
        [
            ("folder", False, "is a folder; this goes into one file"),
            ("link", False, "is a folder"),
            ("file", True, "is a file; this goes into a folder"),
            ("file/tags.csv", False, "cannot be written"),
            ("file/more", True, "cannot be written"),
            ("link/new", True, None),
            ("link/" + "x" * 256, True, "File name too long"),
        ],
    )
    def test_what_cannot_be(self, tmp_path: Path, name: str, folder: bool, what: str | None) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "link").symlink_to("folder")
        (tmp_path / "file").write_text("mine")
        if what is None:
            check_writable(tmp_path / name, folder=folder)
            return
        with pytest.raises(InputError, match=what) as refused:
            check_writable(tmp_path / name, "--explain", folder=folder)
        assert refused.value.exit_code == 3
        assert "--explain" in (refused.value.hint or "") or "name a file" in (refused.value.hint or "")
        assert content(tmp_path) == {"file": b"mine"}

    @pytest.mark.parametrize("error", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT])
    def test_folders_that_take_nothing(self, tmp_path: Path, error: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever runs the tests may be allowed to write everywhere, so the system's answer is played."""
        real = os.open

        def refuse(path: Any, flags: int, *rest: Any, **options: Any) -> int:
            if flags & os.O_CREAT and str(path).startswith(str(tmp_path)):
                raise OSError(error, os.strerror(error), path)
            return real(path, flags, *rest, **options)

        monkeypatch.setattr(os, "open", refuse)
        for folder in (True, False):
            with pytest.raises(InputError, match=os.strerror(error)) as refused:
                check_writable(tmp_path / "a", folder=folder)
            full = error in (errno.ENOSPC, errno.EDQUOT)
            assert ("make room" in (refused.value.hint or "")) == full

    def test_folders_whose_names_are_no_text(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="not valid UTF-8"):
            check_folder(tmp_path / os.fsdecode(b"caf\xe9"))


class TestLeftovers:
    def test_what_another_process_is_writing_stays(self, tmp_path: Path) -> None:
        with atomic_write(tmp_path / "a.csv") as temporary:
            temporary.write_text("half")
            remove_leftovers(tmp_path / "a.csv")
            assert temporary.exists(), "the file system says that it is in use"
        assert (tmp_path / "a.csv").read_text() == "half"

    def test_a_link_among_them_is_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "mine").write_text("mine")
        (tmp_path / ".a.csv.01234567.c2srt-tmp").symlink_to("mine")
        remove_leftovers(tmp_path / "a.csv")
        assert content(tmp_path) == {"mine": b"mine"}


def test_errors_of_a_disk_name_what_the_user_knows(tmp_path: Path) -> None:
    for name, told in ((f".0123abcd{TEMPORARY}", "tags.csv"), ("tags.csv.manifest.json", "tags.csv.manifest.json")):
        with pytest.raises(InputError, match="Read-only") as refused, disk_errors(tmp_path / "tags.csv"):
            raise OSError(errno.EROFS, "Read-only file system", str(tmp_path / name))
        assert refused.value.where == str(tmp_path / told)
