import importlib.util
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from odd_files import make_odd_files

from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.images import SUFFIXES, Found, find_images

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Make files below a folder, which is also the working directory."""
    root = tmp_path / "photos"
    root.mkdir()
    monkeypatch.chdir(tmp_path)

    def made(*names: str) -> Path:
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(b"content is not looked at")
        return root

    return made


def names(found: Found) -> list[str]:
    for file in found.files:
        assert file.path == found.root / file.name
    assert len({file.name for file in found.files}) == len(found.files)
    return [file.name for file in found.files]


def test_folder_is_searched_in_a_stable_order(make: Make) -> None:
    made = ["b.jpg", "a/z.png", "a/B.jpg", "a.jpg", "Z.jpg", "a/b/c.webp", "a-b/x.jpg", "\u00e9.jpg", "z\U00010000.jpg"]
    root = make(*made, "z\uffff.jpg")
    found = find_images([str(root)])
    # bytewise by parts: "Z" before "a", the folder "a" before "a-b" before "a.jpg", UTF-8 order
    expected = ["Z.jpg", "a/B.jpg", "a/b/c.webp", "a/z.png", "a-b/x.jpg", "a.jpg", "b.jpg", "z\uffff.jpg"]
    assert names(found) == [*expected, "z\U00010000.jpg", "\u00e9.jpg"]
    assert names(found) == sorted(names(found), key=lambda name: [part.encode() for part in name.split("/")])
    assert found.root == root and not found.problems
    assert names(find_images([f"{root}/"])) == names(found)
    assert find_images(["photos"]).root == root


def test_suffixes_count_in_any_case_and_hidden_entries_do_not(make: Make) -> None:
    root = make(
        "a.JPG", "b.TiFf", "c.heic", "d.txt", "e", "f.jpg.xmp", ".g.jpg", ".h/i.jpg", "j/._k.jpg", "j/l.JPEG", ".jpg"
    )
    assert names(find_images([str(root)])) == ["a.JPG", "b.TiFf", "c.heic", "j/l.JPEG"]
    assert names(find_images([str(root / ".h")])) == ["i.jpg"]
    for suffix in SUFFIXES:
        make(f"all/x{suffix}")
    assert len(find_images([str(root / "all")]).files) == len(SUFFIXES)


def test_files_named_in_full_are_always_tried(make: Make) -> None:
    root = make("a.txt", ".b.jpg", "c", "-d.jpg", "[e]*.jpg")
    inputs = [str(root / name) for name in ("c", "a.txt", ".b.jpg", "[e]*.jpg")]
    found = find_images(inputs)
    assert names(found) == ["c", "a.txt", ".b.jpg", "[e]*.jpg"]
    assert found.root == root


def test_links_to_files_are_followed_and_links_to_folders_are_not(make: Make) -> None:
    root = make("a/x.jpg", "b/y.jpg")
    other = make("../elsewhere/z.jpg").parent / "elsewhere"
    (root / "link.jpg").symlink_to(other / "z.jpg")
    (root / "folder").symlink_to(other)
    (root / "folder.jpg").symlink_to(other)
    (root / "a" / "up").symlink_to("..")
    (root / "gone.jpg").symlink_to("nowhere")
    (root / "loop.jpg").symlink_to("loop.jpg")
    assert names(find_images([str(root)])) == ["a/x.jpg", "b/y.jpg", "gone.jpg", "link.jpg", "loop.jpg"]
    named = find_images([str(root / "folder")])
    assert names(named) == ["z.jpg"] and named.root == root / "folder"
    assert names(find_images(["photos/**/*.jpg"])) == ["a/x.jpg", "b/y.jpg", "gone.jpg", "link.jpg", "loop.jpg"]


def test_one_real_file_is_one_row(make: Make) -> None:
    root = make("a.jpg", "b/c.jpg")
    (root / "d.jpg").symlink_to("a.jpg")
    (root / "e").symlink_to("b")
    inputs = [str(root / "b"), str(root), "photos/a.jpg", "photos/*.jpg", str(root / "e"), "photos/../photos/a.jpg"]
    found = find_images(inputs)
    assert names(found) == ["b/c.jpg", "a.jpg"]
    assert not found.problems


def test_root_is_the_common_parent_of_what_was_named(make: Make) -> None:
    root = make("x/a.jpg", "x/y/b.jpg", "z/c.jpg")

    def root_of(*inputs: str) -> Path:
        return find_images(inputs).root

    assert root_of("photos") == root
    assert root_of("photos/x/a.jpg") == root / "x"
    assert root_of("photos/x/a.jpg", "photos/x/y/b.jpg") == root / "x"
    assert root_of("photos/x/y", "photos/z/c.jpg") == root
    # of a pattern the part before its first wildcard, whatever it happens to match
    assert root_of("photos/*/y/b.jpg") == root
    assert root_of("photos/**") == root
    assert names(find_images(["photos/x/y", "photos/z"])) == ["x/y/b.jpg", "z/c.jpg"]


def test_parent_behind_a_link_is_the_real_one(make: Make) -> None:
    root = make("real/a.jpg", "real/deep/b.jpg")
    (root / "link").symlink_to("real/deep")
    found = find_images(["photos/link/../a.jpg"])
    assert [file.path for file in found.files] == [root / "real" / "a.jpg"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("photos/*.jpg", ["a.jpg", "b.jpg"]),
        ("photos/[a].*", ["a.jpg"]),
        ("photos/?/*", ["c/d.jpg", "c/e/f.jpg"]),
        ("photos/**/*.jpg", ["a.jpg", "b.jpg", "c/d.jpg", "c/e/f.jpg"]),
        ("photos/**/e/*.jpg", ["c/e/f.jpg"]),
        ("photos/**", ["a.jpg", "b.jpg", "c/d.jpg", "c/e/f.jpg", "g.png"]),
        ("photos/**/*", ["a.jpg", "b.jpg", "c/d.jpg", "c/e/f.jpg", "g.png"]),
        ("photos/c*", ["c/d.jpg", "c/e/f.jpg"]),
        ("photos/.*/*.jpg", [".h/i.jpg"]),
    ],
)
def test_patterns(make: Make, pattern: str, expected: list[str]) -> None:
    root = make("a.jpg", "b.jpg", "c/d.jpg", "c/e/f.jpg", "g.png", "note.txt", ".h/i.jpg", ".j.jpg", "c/.k.jpg")
    assert names(find_images([pattern])) == expected
    found = find_images([str(root.parent / pattern)])
    assert names(found) == expected and found.root == root


def test_what_is_not_there_is_a_row(make: Make) -> None:
    root = make("a.jpg")
    found = find_images(
        ["photos/gone.jpg", "photos/a.jpg", "photos/gone.jpg", "photos/no/such.jpg", "photos/a.jpg/b.jpg"]
    )
    assert names(found) == ["a.jpg"] and found.root == root
    assert [(bad.name, bad.reason) for bad in found.problems] == [
        ("gone.jpg", "missing"),
        ("no/such.jpg", "missing"),
        ("a.jpg/b.jpg", "missing"),
    ]


def test_inputs_that_hold_no_image_are_an_error_and_all_named(make: Make) -> None:
    root = make("a.jpg", "texts/b.txt")
    (root / "empty").mkdir()
    with pytest.raises(InputError) as caught:
        find_images(["photos/a.jpg", "photos/texts", "photos/empty", "photos/*.gif"])
    assert caught.value.exit_code == 3
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "photos/texts",
        "photos/empty",
        "photos/*.gif",
    ]
    assert caught.value.hint and ".jpg" in caught.value.hint
    with pytest.raises(InputError, match="no image") as caught:
        find_images(["photos/gone.jpg"])
    assert caught.value.problems == ("gone.jpg: missing, no such file",)
    with pytest.raises(InputError, match="no image"):
        find_images([])


def test_unusable_inputs_are_usage_errors(make: Make) -> None:
    make("a.jpg")
    for inputs in ([""], ["photos", ""], ["-"], ["photos/a**b/*.jpg"], ["s3://bucket/photos"]):
        with pytest.raises(UsageError):
            find_images(inputs)


def test_an_address_may_be_the_name_of_a_folder(make: Make) -> None:
    make("s3:/bucket/a.jpg")
    assert find_images(["photos/s3://bucket"]).files.names.to_pylist() == ["a.jpg"]
    os.chdir("photos")
    assert find_images(["s3://bucket"]).files.names.to_pylist() == ["a.jpg"]


def test_list_on_stdin(make: Make) -> None:
    root = make("a.jpg", "b c.jpg", "[d]?.jpg", "- g.txt", " h.jpg ", '"i".jpg', "e/f.jpg")
    listed = ["photos/[d]?.jpg", "", f"{root}/b c.jpg", "photos/- g.txt", "photos/gone.jpg", "photos/ h.jpg "]
    found = find_images(["-"], stdin=listed)
    assert names(found) == ["[d]?.jpg", "b c.jpg", "- g.txt", " h.jpg "]
    assert [(bad.name, bad.detail) for bad in found.problems] == [("gone.jpg", "no such file")]
    assert names(find_images(["photos/a.jpg", "-"], stdin=["photos/e/f.jpg"])) == ["a.jpg", "e/f.jpg"]
    # a path as it stands comes before what else a line may mean
    assert names(find_images(["-"], stdin=['"photos/b c.jpg"', 'photos/"i".jpg', " photos/a.jpg\t"])) == [
        "b c.jpg",
        '"i".jpg',
        "a.jpg",
    ]
    for empty in ([], ["", "  "]):
        with pytest.raises(InputError, match="names no file"):
            find_images(["-"], stdin=empty)


def test_folders_of_a_list_are_searched_only_when_asked(make: Make) -> None:
    root = make("a.jpg", "e/f.jpg", "e/g/h.jpg")
    listed = [f"{root}/e", f"{root}/a.jpg", f"{root}/e", ".", "/"]
    found = find_images(["-"], stdin=listed)
    assert [file.path for file in found.files] == [root / "a.jpg"]
    assert [(bad.reason, bad.detail.split(";")[0]) for bad in found.problems] == [
        ("folder", f"line {number} of the list is a folder") for number in (1, 3, 4, 5)
    ]
    found = find_images(["-"], stdin=listed[:3], recursive=True)
    assert names(found) == ["e/f.jpg", "e/g/h.jpg", "a.jpg"] and not found.problems
    # what is named as an argument is searched as ever
    assert names(find_images(["photos/e", "-"], stdin=["photos/a.jpg"])) == ["e/f.jpg", "e/g/h.jpg", "a.jpg"]


def test_names_of_a_list_that_are_not_utf8(make: Make) -> None:
    root = make("good.jpg")
    odd = os.fsencode(root) + b"/caf\xe9"
    Path(os.fsdecode(odd)).mkdir()
    Path(os.fsdecode(odd + b"/a.jpg")).write_bytes(b"x")
    found = find_images(["-"], stdin=[os.fsdecode(odd + b"/a.jpg"), os.fsdecode(odd + b"/gone.jpg")])
    assert names(found) == ["a.jpg"]
    assert [bad.name for bad in found.problems] == ["gone.jpg"]
    assert "line 2 of the list is not UTF-8" in found.problems[0].detail


def test_names_that_are_not_utf8_are_reported_readably(make: Make) -> None:
    root = make("good.jpg")
    for raw in (b"caf\xe9.jpg", b"d\xff/x.jpg"):
        path = Path(os.fsdecode(os.fsencode(root) + b"/" + raw))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    found = find_images([str(root)])
    assert names(found) == ["good.jpg"]
    assert [(bad.name, bad.reason) for bad in found.problems] == [
        ("caf\\xe9.jpg", "bad-name"),
        ("d\\xff/x.jpg", "bad-name"),
    ]
    # below a folder of such a name everything is fine
    assert names(find_images([os.fsdecode(os.fsencode(root) + b"/d\xff")])) == ["x.jpg"]


def test_folder_that_cannot_be_listed_is_a_row(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make("a.jpg", "locked/b.jpg")
    scandir = os.scandir

    def refusing(path: str) -> object:
        if path.endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)  # the superuser is refused nothing
    found = find_images([str(root)])
    assert names(found) == ["a.jpg"]
    assert [(bad.name, bad.reason) for bad in found.problems] == [("locked", "unreadable")]
    with pytest.raises(InputError, match="no image to read"):
        find_images([str(root / "locked")])


def test_folders_nested_deeper_than_python_calls(tmp_path: Path) -> None:
    root = tmp_path / "deep"
    root.mkdir()
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(os.open("a.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)
    try:
        assert names(find_images([str(root)])) == ["d/" * 1200 + "a.jpg"]
    finally:
        subprocess.run(["rm", "-r", root], check=True)  # pytest's own clearing would recurse too deep


def test_odd_files_are_all_found(tmp_path: Path) -> None:
    expected = make_odd_files(tmp_path)
    found = find_images([str(tmp_path)])
    assert {*names(found), *(bad.name for bad in found.problems)} == set(expected)
    assert [bad.name for bad in found.problems] == [name for name, reason in expected.items() if reason == "bad-name"]
    assert {file.name for file in find_images([f"{tmp_path}/**/*"]).files} == set(names(found))


def link(path: Path, target: Path | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


@pytest.mark.parametrize("album", ["Albums/best", "z-albums"])
def test_a_photograph_is_found_under_its_own_path_not_that_of_a_link(make: Make, album: str) -> None:
    root = make("originals/a.jpg", "originals/b.jpg")
    link(root / album / "a.jpg", "../../originals/a.jpg" if "/" in album else "../originals/a.jpg")
    link(root / album / "renamed.jpg", root / "originals" / "b.jpg")
    link(root / "more" / "again.jpg", root / album / "a.jpg")  # to a link
    for inputs in ([str(root)], [f"{root}/**"], [f"{root}/**/*.jpg"], [f"{root}/{album}", f"{root}/originals"]):
        found = find_images(inputs)
        assert [file.path for file in found.files] == [root / "originals/a.jpg", root / "originals/b.jpg"]
    # named alone, or beside photographs elsewhere, a link is what there is
    assert names(find_images([str(root / album)])) == ["a.jpg", "renamed.jpg"]
    listed = find_images(["-"], stdin=[f"{root}/{album}/a.jpg", f"{root}/originals/a.jpg"])
    assert [file.path for file in listed.files] == [root / "originals/a.jpg"]


def test_a_root_behind_a_link_is_no_link_in_its_photographs(make: Make) -> None:
    root = make("originals/a.jpg")
    link(root / "0.jpg", "originals/a.jpg")
    link(root.parent / "other", "photos")
    assert names(find_images([str(root.parent / "other")])) == ["originals/a.jpg"]


def test_two_files_are_two_rows_however_alike(make: Make) -> None:
    twins = ["IMG_1.JPG", "img_1.jpg", "\u00e9.jpg", "e\u0301.jpg"]
    root = make(*twins)
    if len(list(root.iterdir())) < len(twins):
        pytest.skip("this file system takes some of these names for one")
    (root / "hard.jpg").hardlink_to(root / "img_1.jpg")
    for inputs in ([str(root)], [f"{root}/*"], [str(root / name) for name in (*twins, "hard.jpg")]):
        assert sorted(names(find_images(inputs))) == sorted([*twins, "hard.jpg"])


def test_pictures_that_are_not_read_are_counted_by_suffix(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make("a.jpg", "b.CR3", "c/d.cr3", "c/e.NEF", "f.psd", "g.txt", "h.xmp", ".i.nef", "j.heic", "k.jxl")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)  # the extra is not installed
    said = (
        "left out: 2 .cr3, 1 .heic, 1 .jxl, 1 .nef, 1 .psd (not read; to read more: pip install 'c2srt[heif,jxl,raw]')"
    )
    for inputs in ([str(root)], [f"{root}/**"], [f"{root}/**/*", str(root)]):
        found = find_images(inputs)
        assert names(found) == ["a.jpg"] and not found.problems
        assert found.left_out == said
    assert find_images([str(root / "a.jpg")]).left_out == ""
    with pytest.raises(InputError) as caught:
        find_images([f"{root}/*.CR3", f"{root}/c"])
    assert caught.value.hint and "left out: 2 .cr3, 1 .nef" in caught.value.hint
    # named in full they are tried, and then refused for what they are
    assert names(find_images([str(root / "b.CR3"), str(root / "j.heic")])) == ["b.CR3", "j.heic"]


NOT_PHOTOGRAPHS = [
    "@eaDir",
    "#recycle",
    "#snapshot",
    "$RECYCLE.BIN",
    "$Recycle.Bin",
    "RECYCLER",
    "__MACOSX",
    "lost+found",
]
NOT_PHOTOGRAPHS += ["@Recycle", ".@__thumb", ".Trash-1000", ".Trashes", ".dtrash", ".thumbnails", "appdata_oc1x2y"]


@pytest.mark.parametrize("name", [*NOT_PHOTOGRAPHS, "System Volume Information", "Catalog Previews.lrdata"])
def test_folders_of_no_photographs_are_left_out_and_said(make: Make, name: str) -> None:
    root = make("a.jpg", f"{name}/b.jpg", f"2020/{name}/c.jpg/SYNOPHOTO_THUMB_XL.jpg", "2020/d.jpg", f"{name}.jpg")
    for inputs in ([str(root)], [f"{root}/**"], [f"{root}/**/*.jpg"], [f"{root}/*"]):
        found = find_images(inputs)
        expected = {"a.jpg", "2020/d.jpg", f"{name}.jpg"} - ({f"{name}.jpg"} if name.startswith(".") else set())
        assert set(names(found)) == expected
        assert f"folders {name} (2)" in found.left_out
    # whoever names it means it
    assert names(find_images([str(root / name)])) == ["b.jpg"]
    assert names(find_images([str(root / name / "b.jpg")])) == ["b.jpg"]
    assert names(find_images([f"{root}/{name}/*"])) == ["b.jpg"]
    assert names(find_images([f"{root}/*/{name}/**"])) == [f"2020/{name}/c.jpg/SYNOPHOTO_THUMB_XL.jpg"]
    assert len(find_images([str(root)], exclude=[f"!{name.replace('#', chr(92) + '#')}/"]).files) >= 4


def test_of_a_library_only_the_originals_are_photographs(make: Make) -> None:
    library = "My Photos.photoslibrary"
    root = make(f"{library}/originals/0/a.heic", f"{library}/resources/derivatives/b.jpg", f"{library}/c.jpg", "d.jpg")
    make("old.photolibrary/Masters/2010/e.jpg", "old.photolibrary/Thumbnails/f.jpg", f"{library}/private/g/h.jpg")
    kept = [f"{library}/originals/0/a.heic", "d.jpg", "old.photolibrary/Masters/2010/e.jpg"]
    found = find_images([str(root)])
    assert [name for name in names(found) if not name.endswith(f"{library}/c.jpg")] == kept
    assert "resources" in found.left_out and "private" in found.left_out and "Thumbnails" in found.left_out
    named = find_images([str(root / library)])
    assert "originals/0/a.heic" in names(named) and not any("derivatives" in name for name in names(named))


def test_hidden_pictures_are_counted(make: Make) -> None:
    root = make("a.jpg", "._a.jpg", "b/._c.JPG", ".DS_Store", "b/._notes.txt", "b/c.JPG", ".git/x.jpg")
    for inputs in ([str(root)], [f"{root}/**"]):
        found = find_images(inputs)
        assert names(found) == ["a.jpg", "b/c.JPG"]
        assert found.left_out == "left out: 2 hidden pictures; folder .git"
    assert names(find_images([str(root / "._a.jpg")])) == ["._a.jpg"]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["raw/"], {"a.jpg", "b.png", "c/d.jpg", "c/e/f.jpg"}),
        (["*.png", "e"], {"a.jpg", "raw/g.jpg", "c/d.jpg", "c/raw/h.jpg"}),
        (["/raw"], {"a.jpg", "b.png", "c/d.jpg", "c/e/f.jpg", "c/raw/h.jpg"}),
        (["*", "!*/", "!d.jpg"], {"c/d.jpg"}),
        (["c/**/*.jpg"], {"a.jpg", "b.png", "raw/g.jpg"}),
        (["# a comment", ""], {"a.jpg", "b.png", "raw/g.jpg", "c/d.jpg", "c/e/f.jpg", "c/raw/h.jpg"}),
        (["*/", "!c/"], {"a.jpg", "b.png", "c/d.jpg"}),
        (["c/e", "!**/e"], {"a.jpg", "b.png", "raw/g.jpg", "c/d.jpg", "c/e/f.jpg", "c/raw/h.jpg"}),
        (["**/raw/*.jpg", "!/raw/g.jpg"], {"a.jpg", "b.png", "raw/g.jpg", "c/d.jpg", "c/e/f.jpg"}),
        (["c/*", "!c/e/"], {"a.jpg", "b.png", "raw/g.jpg", "c/e/f.jpg"}),
        (["[ab].*"], {"raw/g.jpg", "c/d.jpg", "c/e/f.jpg", "c/raw/h.jpg"}),
        (["!.hidden/"], {"a.jpg", "b.png", "raw/g.jpg", "c/d.jpg", "c/e/f.jpg", "c/raw/h.jpg", ".hidden/i.jpg"}),
    ],
)
def test_exclude_means_what_gitignore_means(make: Make, patterns: list[str], expected: set[str]) -> None:
    root = make("a.jpg", "b.png", "raw/g.jpg", "c/d.jpg", "c/e/f.jpg", "c/raw/h.jpg", ".hidden/i.jpg")
    found = find_images([str(root)], exclude=patterns)
    assert set(names(found)) == expected
    if patterns != ["!.hidden/"]:
        assert set(names(find_images([f"{root}/**"], exclude=patterns))) == expected
        assert set(names(find_images([f"{root}/*"], exclude=patterns))) == expected
    if len(expected) < 6:
        assert "by --exclude" in found.left_out
    # git's own opinion
    (root / ".gitignore").write_text(
        "\n".join([*patterns, ".gitignore", *([] if "!.hidden/" in patterns else [".hidden"])])
    )
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    listed = subprocess.run(
        ["git", "ls-files", "-o", "--exclude-standard"], cwd=root, check=True, capture_output=True, text=True
    )
    assert set(listed.stdout.split()) == expected


def test_a_pattern_that_is_none(make: Make) -> None:
    root = make("a.jpg")
    with pytest.raises(UsageError) as caught:
        find_images([str(root)], exclude=["!"])
    assert caught.value.where == "--exclude '!'"


@pytest.mark.parametrize(
    ("inputs", "stdin", "hint"),
    [
        (["photo/a.jpg"], None, "relative to"),
        (["photos/b.jpg"], None, "did you mean {folder}/photos/b.png?"),
        (["photso"], None, "did you mean {folder}/photos?"),
        (["-"], ["a.jpg;x", "b.jpg;x"], "one path a line"),
        (["photos"], None, "are searched for"),
    ],
)
def test_the_hint_fits_what_was_named(
    inputs: list[str], stdin: list[str] | None, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "b.png").touch()
    monkeypatch.chdir(tmp_path)
    if inputs == ["photos"]:
        (tmp_path / "photos" / "b.png").unlink()
    with pytest.raises(InputError) as caught:
        find_images(inputs, stdin=stdin)
    assert hint.format(folder=tmp_path) in str(caught.value.hint)
