"""XMP sidecars as files: fresh, beside those of other programs and photographs with keywords, read back by exiftool."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from exiftool import needs_exiftool, read_tags, write_tags
from packets import DARKTABLE, DIGIKAM, FOREIGN, HIERARCHY, LABELS, LIGHTROOM, SUBJECT, bag, packet, words
from PIL import Image

from c2srt_cli.artifacts import Stamp, atomic_write, file_sha256, file_stamp
from c2srt_cli.errors import UsageError
from c2srt_cli.tagging.record import FailedImage, Tag, TaggedImage
from c2srt_cli.tagging.writers import WRITERS, WriteContext, shared_file

FLAT = ("XMP-dc:Subject",)
PATHS = {
    "XMP-digiKam:TagsList": "/",
    "XMP-microsoft:LastKeywordXMP": "/",
    "XMP-lr:HierarchicalSubject": "|",
    "XMP-mediapro:CatalogSets": "|",
}
#: exiftool's name of each list, and how it is given three keywords.
MADE = {
    "XMP-dc:Subject": ["-XMP-dc:Subject=Ann", "-XMP-dc:Subject=Rome", "-XMP-dc:Subject=Zoo"],
    "XMP-digiKam:TagsList": ["-TagsList=People/Ann", "-TagsList=Trips/Rome", "-TagsList=Zoo"],
    "XMP-microsoft:LastKeywordXMP": ["-LastKeywordXMP=People/Ann", "-LastKeywordXMP=Trips/Rome", "-LastKeywordXMP=Zoo"],
    "XMP-lr:HierarchicalSubject": [
        "-HierarchicalSubject=People|Ann",
        "-HierarchicalSubject=Trips|Rome",
        "-HierarchicalSubject=Zoo",
    ],
    "XMP-mediapro:CatalogSets": ["-CatalogSets=People|Ann", "-CatalogSets=Trips|Rome", "-CatalogSets=Zoo"],
    "XMP-acdsee:Categories": [
        '-XMP-acdsee:Categories=<Categories><Category Assigned="0">People<Category Assigned="1">Ann</Category>'
        '</Category><Category Assigned="0">Trips<Category Assigned="1">Rome</Category></Category>'
        '<Category Assigned="1">Zoo'
        "</Category></Categories>"
    ],
}


def image(labels: list[str], path: str = "a.jpg") -> TaggedImage:
    return TaggedImage(path, tuple(Tag(label, 0.5, None, None) for label in labels))


def context(root: Path = Path(), **more: Any) -> WriteContext:
    made = {"method": "zero-shot", "backbone": "ViT-B-16/openai"}
    return WriteContext(
        root, more.pop("labels", ()), provenance=made, vocabulary=more.pop("vocabulary", "labels"), **more
    )


def write(folder: Path, *rows: TaggedImage, **more: Any) -> list[FailedImage]:
    return WRITERS["xmp"].write(rows, folder, context(more.pop("root", folder), **more))


def photograph(path: Path, *arguments: str) -> Path:
    """A small picture in which exiftool has written what the arguments say."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), "teal").save(path)
    if arguments:
        write_tags(path, *arguments)
    return path


@needs_exiftool
def test_what_exiftool_saves_while_a_sidecar_is_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other program replaces the file between our reading and our renaming, as photo managers do."""
    photograph(tmp_path / "a.jpg")
    sidecar = tmp_path / "a.jpg.xmp"
    write_tags(sidecar, "-XMP-dc:Subject=Ann", "-XMP-xmp:Rating=2")
    saved: list[list[str]] = [["-XMP-dc:Subject+=Rome", "-XMP-xmp:Rating=5"], ["-XMP-dc:Title=Holidays"]]

    @contextmanager
    def interrupted(path: Path, *, guard: Callable[[], None]) -> Iterator[Path]:
        def saves_and_guards() -> None:
            if saved:
                write_tags(sidecar, *saved.pop(0))
            guard()

        with atomic_write(path, guard=saves_and_guards) as temporary:
            yield temporary

    monkeypatch.setattr(shared_file, "atomic_write", interrupted)
    assert write(tmp_path, image(["cat"])) == []
    assert saved == []
    found = read_tags(sidecar)
    assert set(found["XMP-dc:Subject"]) == {"Ann", "Rome", "cat"}
    assert (found["XMP-xmp:Rating"], found["XMP-dc:Title"]) == (5, "Holidays")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg", "a.jpg.xmp"]


def keywords(tags: dict[str, Any]) -> dict[str, set[str]]:
    """What each list in exiftool's dump holds, paths by their last level."""
    found = {name: {str(word) for word in tags[name]} for name in FLAT if name in tags}
    found |= {name: {str(word).split(mark)[-1] for word in tags[name]} for name, mark in PATHS.items() if name in tags}
    if categories := tags.get("XMP-acdsee:Categories"):
        found["XMP-acdsee:Categories"] = {
            part.split("<")[0] for part in categories.split('Assigned="1">')[1:] if part.split("<")[0]
        }
    return found


def without_ours(found: dict[str, Any]) -> dict[str, Any]:
    """The dump without c2srt's properties and the keywords that c2srt says it added."""
    added = {
        "XMP-dc:Subject": found.get("XMP-c2srt:AddedSubject", []),
        "XMP-lr:HierarchicalSubject": found.get("XMP-c2srt:AddedHierarchicalSubject", []),
        "XMP-digiKam:TagsList": found.get("XMP-c2srt:AddedTagsList", []),
    }
    kept = {}
    for key, value in found.items():
        if key.startswith("XMP-c2srt:"):
            continue
        rest = [word for word in value if word not in added[key]] if key in added else value
        if rest or key not in added:
            kept[key] = rest
    return kept


def test_fresh_sidecar_text(tmp_path: Path) -> None:
    sample = " ".join(sorted(hashlib.sha256(word).hexdigest()[:8] for word in (b"animal|dog", b"r&b")))
    made = context(decision="d", labels=("animal|dog", "R&B"), stamps={"x/a.jpg": Stamp(12, 34, 56, "f" * 64)})
    assert WRITERS["xmp"].write([image(["animal|dog", "R&B"], "x/a.jpg")], tmp_path, made) == []
    assert (tmp_path / "x/a.jpg.xmp").read_text(encoding="utf-8") == (
        f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="c2srt">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
 <rdf:Description rdf:about=""
   xmlns:dc="http://purl.org/dc/elements/1.1/"
   xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
   xmlns:c2srt="urn:c2srt:xmp#">
  <dc:subject>
   <rdf:Seq>
    <rdf:li>animal</rdf:li>
    <rdf:li>dog</rdf:li>
    <rdf:li>R&amp;B</rdf:li>
   </rdf:Seq>
  </dc:subject>
  <lr:hierarchicalSubject>
   <rdf:Bag>
    <rdf:li>animal|dog</rdf:li>
    <rdf:li>R&amp;B</rdf:li>
   </rdf:Bag>
  </lr:hierarchicalSubject>
  <c2srt:vocabularies>
   <rdf:Bag>
    <rdf:li rdf:parseType="Resource">
     <c2srt:name>labels</c2srt:name>
     <c2srt:tags>
      <rdf:Bag>
       <rdf:li>animal|dog</rdf:li>
       <rdf:li>R&amp;B</rdf:li>
      </rdf:Bag>
     </c2srt:tags>
     <c2srt:sample>{sample}</c2srt:sample>
     <c2srt:decision>d</c2srt:decision>
     <c2srt:photograph>12 34 {"f" * 64}</c2srt:photograph>
     <c2srt:backbone>ViT-B-16/openai</c2srt:backbone>
     <c2srt:method>zero-shot</c2srt:method>
    </rdf:li>
   </rdf:Bag>
  </c2srt:vocabularies>
  <c2srt:addedSubject>
   <rdf:Bag>
    <rdf:li>animal</rdf:li>
    <rdf:li>dog</rdf:li>
    <rdf:li>R&amp;B</rdf:li>
   </rdf:Bag>
  </c2srt:addedSubject>
  <c2srt:addedHierarchicalSubject>
   <rdf:Bag>
    <rdf:li>animal|dog</rdf:li>
    <rdf:li>R&amp;B</rdf:li>
   </rdf:Bag>
  </c2srt:addedHierarchicalSubject>
  <c2srt:introduced>
   <rdf:Bag>
    <rdf:li>dc:subject</rdf:li>
    <rdf:li>lr:hierarchicalSubject</rdf:li>
   </rdf:Bag>
  </c2srt:introduced>
  <c2srt:created>True</c2srt:created>
 </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""
    )


@needs_exiftool
def test_exiftool_reads_a_fresh_sidecar(tmp_path: Path) -> None:
    labels = [*LABELS, "naïve 猫 🐈 \U0001f469\u200d\U0001f52c", "x\x00y\x1bz"]
    write(tmp_path, image(labels))
    found = read_tags(tmp_path / "a.jpg.xmp")
    flat = ["beach", "rock & <roll>"]
    rest = ["naïve 猫 🐈 \U0001f469\u200d\U0001f52c", "x\ufffdy\ufffdz"]
    assert found["XMP-dc:Subject"] == ["animal", "dog", *flat, "cat", *rest]
    assert found["XMP-lr:HierarchicalSubject"] == ["animal|dog", *flat, "animal|cat", *rest]
    assert found["XMP-c2srt:Vocabularies"][0]["Method"] == "zero-shot"


@needs_exiftool
@pytest.mark.parametrize("name", ["darktable", "lightroom", "digikam", "bom"])
def test_exiftool_finds_every_foreign_field_after_a_merge(tmp_path: Path, name: str) -> None:
    sidecar = tmp_path / "a.jpg.xmp"
    sidecar.write_bytes(FOREIGN[name])
    before = read_tags(sidecar)
    assert write(tmp_path, image(LABELS)) == []
    after = read_tags(sidecar)
    assert without_ours(after) == before
    assert {"animal", "dog", "beach", "rock & <roll>", "cat"} <= set(after["XMP-dc:Subject"])
    assert set(LABELS) <= set(after["XMP-lr:HierarchicalSubject"])


@needs_exiftool
@pytest.mark.parametrize("name", sorted(MADE))
def test_exiftool_finds_all_keywords_in_all_lists_on_every_run(tmp_path: Path, name: str) -> None:
    """A sidecar with one list; a run, a second one, then the user's edit, and one more."""
    photograph(tmp_path / "a.jpg")
    sidecar = tmp_path / "a.jpg.xmp"
    write_tags(sidecar, *MADE[name])
    theirs, everything = {"Ann", "Rome", "Zoo"}, {"Ann", "Rome", "Zoo", "cat", "sofa"}
    assert keywords(read_tags(sidecar)) == {name: theirs}
    for _ in range(2):
        assert write(tmp_path, image(["animal|cat", "sofa"])) == []
        found = keywords(read_tags(sidecar))
        assert found.keys() == {name, "XMP-dc:Subject", "XMP-lr:HierarchicalSubject"}
        assert found.pop("XMP-dc:Subject") == everything | {"animal"}
        assert all(held == everything for held in found.values())
    # the user takes sofa out of one list, and brings another
    other = "XMP-mediapro:CatalogSets" if name != "XMP-mediapro:CatalogSets" else "XMP-digiKam:TagsList"
    write_tags(sidecar, "-XMP-dc:Subject-=sofa", *MADE[other][:1], f"-{other.split(':')[1]}=Tom")
    assert write(tmp_path, image(["animal|cat", "sofa"])) == []
    found = keywords(read_tags(sidecar))
    assert found.keys() == {name, other, "XMP-dc:Subject", "XMP-lr:HierarchicalSubject"}
    assert found.pop("XMP-dc:Subject") == (everything | {"animal", "Tom"}) - {"sofa"}
    assert all(held == (everything | {"Tom"}) - {"sofa"} for held in found.values())
    # without our labels, what is the user's is left
    assert write(tmp_path, image([])) == []
    found = keywords(read_tags(sidecar))
    assert found[name] == theirs
    assert "cat" not in set.union(*found.values())


@needs_exiftool
@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp"])
def test_a_new_sidecar_starts_from_what_exiftool_has_written_into_the_photograph(tmp_path: Path, kind: str) -> None:
    iptc = ["-IPTC:Keywords=Köln", "-IPTC:CodedCharacterSet=UTF8"] if kind in ("jpg", "tif") else []
    made = [*MADE["XMP-lr:HierarchicalSubject"], *MADE["XMP-dc:Subject"], *iptc]
    path = photograph(tmp_path / f"a.{kind}", *made, *MADE["XMP-digiKam:TagsList"])
    before = path.read_bytes()
    for _ in range(2):
        assert write(tmp_path, image(["animal|cat", "zoo"], path.name)) == []
        found = read_tags(tmp_path / f"a.{kind}.xmp")
        more = ["Köln"] if iptc else []
        assert found["XMP-dc:Subject"] == ["Ann", "Rome", "Zoo", *more, "animal", "cat"]
        assert found["XMP-lr:HierarchicalSubject"] == ["Zoo", *more, "People|Ann", "Trips|Rome", "animal|cat"]
        assert found["XMP-digiKam:TagsList"] == ["Zoo", *more, "People/Ann", "Trips/Rome", "animal/cat"]
    assert path.read_bytes() == before
    # with the last label it goes, and the photograph's own keywords are seen again
    assert write(tmp_path, image([], path.name)) == []
    assert not (tmp_path / f"a.{kind}.xmp").exists()


@needs_exiftool
def test_merge_with_a_sidecar_made_by_exiftool(tmp_path: Path) -> None:
    sidecar = tmp_path / "a.xmp"
    write_tags(
        sidecar, "-Subject=beach", "-Subject=sun & sea", "-Title=T", "-Rating=4", "-GPSLatitude=48.2", "-Creator=Me"
    )
    before = read_tags(sidecar)
    write(tmp_path, image(LABELS))  # its name is of the other kind, and taken all the same
    assert not (tmp_path / "a.jpg.xmp").exists()
    after = read_tags(sidecar)
    assert without_ours(after) == before
    assert after["XMP-dc:Subject"] == ["beach", "sun & sea", "animal", "dog", "rock & <roll>", "cat"]
    # darktable and Immich stop reading dc:subject once this list exists, so the user's keywords are in it too
    assert after["XMP-lr:HierarchicalSubject"] == ["beach", "sun & sea", "animal|dog", "rock & <roll>", "animal|cat"]


@needs_exiftool
def test_retraction_after_exiftool_rewrote_our_sidecar(tmp_path: Path) -> None:
    sidecar = tmp_path / "a.jpg.xmp"
    write(tmp_path, image(LABELS))
    write_tags(sidecar, "-Subject+=mine", "-Rating=5")
    assert write(tmp_path, image(["beach", "sea"])) == []
    found = read_tags(sidecar)
    assert found["XMP-dc:Subject"] == ["mine", "beach", "sea"]
    assert found["XMP-lr:HierarchicalSubject"] == ["mine", "beach", "sea"]
    assert found["XMP-xmp:Rating"] == 5
    assert write(tmp_path, image([])) == []
    found = read_tags(sidecar)
    assert found["XMP-dc:Subject"] == ["mine"]
    assert not any(key.startswith(("XMP-c2srt", "XMP-lr")) for key in found)


@needs_exiftool
def test_a_sidecar_that_exiftool_rewrote_goes_with_the_last_keyword_too(tmp_path: Path) -> None:
    sidecar = tmp_path / "a.jpg.xmp"
    write(tmp_path, image(LABELS))
    write_tags(sidecar, "-Rating=5")
    write_tags(sidecar, "-Rating=")
    assert write(tmp_path, image([])) == []
    assert not sidecar.exists()


@needs_exiftool
@pytest.mark.parametrize(
    "edit", [("-Subject-=cat",), ("-HierarchicalSubject-=cat",), ("-Subject=", "-HierarchicalSubject=")], ids=str
)
@pytest.mark.parametrize("own", [(), ("-XMP-dc:Subject=Ann",)], ids=str)
def test_the_last_keyword_taken_out_with_its_list_stays_out(
    tmp_path: Path, edit: tuple[str, ...], own: tuple[str, ...]
) -> None:
    """A list that has no entry left is no list any more, to most programs."""
    photograph(tmp_path / "a.jpg", *own)
    sidecar = tmp_path / "a.jpg.xmp"
    write(tmp_path, image(["cat"]))
    write_tags(sidecar, *edit)
    assert current(tmp_path, labels=("cat",), decision="d") == []
    for _ in range(2):
        write(tmp_path, image(["cat"]))
        found = read_tags(sidecar)
        assert "cat" not in (*found.get("XMP-dc:Subject", ()), *found.get("XMP-lr:HierarchicalSubject", ()))
        assert "cat" in found["XMP-c2srt:Refused"]
    write(tmp_path, image(["cat"]), restore=True, labels=("cat",))
    assert "cat" in read_tags(sidecar)["XMP-dc:Subject"]
    assert "cat" in read_tags(sidecar)["XMP-lr:HierarchicalSubject"]


@needs_exiftool
def test_a_removal_by_exiftool_stands_until_it_is_asked_back(tmp_path: Path) -> None:
    photograph(tmp_path / "a.jpg", "-XMP-dc:Subject=Ann")
    sidecar, labels = tmp_path / "a.jpg.xmp", ("sofa", "cat")
    write(tmp_path, image([*labels]), labels=labels)
    write_tags(sidecar, "-HierarchicalSubject-=sofa", "-Subject-=Ann")
    for _ in range(2):
        write(tmp_path, image([*labels]), labels=labels)
        assert read_tags(sidecar)["XMP-dc:Subject"] == ["cat"]
        assert read_tags(sidecar)["XMP-c2srt:Refused"] == ["ann", "sofa"]
    write(tmp_path, image([*labels]), labels=labels, restore=True)
    assert read_tags(sidecar)["XMP-dc:Subject"] == ["sofa", "cat"]
    assert read_tags(sidecar)["XMP-lr:HierarchicalSubject"] == ["sofa", "cat"]
    assert read_tags(sidecar)["XMP-c2srt:Refused"] == ["ann"]  # not a label of this run's


def test_names_and_untagged_images(tmp_path: Path) -> None:
    assert write(tmp_path, image(["dog"], "x/a.b.jpg"), image([], "y.jpg"), sidecar_name="stem") == []
    assert [path.name for path in sorted(tmp_path.rglob("*.*"))] == ["a.b.xmp"]


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xff\xd8\xff\xe0 a photograph", "not UTF-8"),
        (b"not XML at all", "not well-formed"),
        (DARKTABLE.encode()[:-30], "not well-formed"),
        (DARKTABLE.encode("utf-16"), "not UTF-8"),
        (DARKTABLE.encode("utf-16-le"), "not UTF-8"),
        (DARKTABLE.encode("utf-16-be"), "not UTF-8"),
        (DARKTABLE.replace("UTF-8", "ISO-8859-1").encode(), "ISO-8859-1"),
        ((BOMB + LIGHTROOM).encode(), "document type"),
        (b"<svg/>", "0 rdf:RDF"),
        (DIGIKAM.replace("r:Bag>", "r:Other>").encode(), "subject holds a structure"),
        (LIGHTROOM.replace("crs:Version=", "lr:hierarchicalSubject='x' xmlns:lr='http://ns.adobe.com/lightroom/1.0/' "
                           "crs:Version=").encode(), "lr:hierarchicalSubject is an attribute"),
    ],
)  # fmt: skip
def test_what_cannot_be_merged_is_left_alone_and_reported(tmp_path: Path, data: bytes, why: str) -> None:
    sidecar = tmp_path / "a.jpg.xmp"
    sidecar.write_bytes(data)
    failed = write(tmp_path, image(["cat"]), image(["cat"], "b.jpg"))
    assert [(row.path, row.reason) for row in failed] == [("a.jpg", "sidecar")]
    assert why in failed[0].detail
    assert sidecar.read_bytes() == data
    assert words((tmp_path / "b.jpg.xmp").read_bytes(), SUBJECT) == ["cat"]


def test_rerun_does_not_touch_the_file(tmp_path: Path) -> None:
    sidecar = tmp_path / "a.jpg.xmp"
    write(tmp_path, image(LABELS))
    before = sidecar.stat()
    write(tmp_path, image(LABELS))
    after = sidecar.stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    assert write(tmp_path, image([])) == []
    assert not sidecar.exists()


def test_provenance_must_be_a_property_name(tmp_path: Path) -> None:
    for name in ("a b", "tags", "1x", ""):
        made = WriteContext(tmp_path, (), provenance={name: "x"})
        with pytest.raises(ValueError, match="cannot be a property"):
            WRITERS["xmp"].write([image(["dog"])], tmp_path, made)


# incremental


def current(folder: Path, **more: Any) -> list[str]:
    """The photographs of a folder whose sidecar holds."""
    find = WRITERS["xmp"].current
    assert find is not None
    stamps = {path.name: file_stamp(path) for path in sorted(folder.glob("*.jpg"))}
    return list(find(stamps, folder, context(folder, **{"decision": "d", "labels": ("cat", "sofa"), **more})))


def run(folder: Path, *labels: str, hashed: bool = True, **more: Any) -> None:
    paths = sorted(folder.glob("*.jpg"))
    stamps = {path.name: file_stamp(path) for path in paths}
    if hashed:
        stamps = {path.name: stamps[path.name]._replace(sha256=file_sha256(path)) for path in paths}
    rows = [image([*labels], path.name) for path in paths]
    assert write(folder, *rows, stamps=stamps, **{"decision": "d", "labels": ("cat", "sofa"), **more}) == []


def touch(path: Path) -> None:
    path.write_bytes(path.read_bytes())


def repaint(path: Path) -> None:
    Image.new("RGB", (8, 8), "navy").save(path)


def drop(path: Path) -> None:
    path.with_name("a.jpg.xmp").unlink()


def take_out(path: Path) -> None:
    sidecar = path.with_name("a.jpg.xmp")
    sidecar.write_bytes(sidecar.read_bytes().replace(b"<rdf:li>sofa</rdf:li>", b"", 1))


def rate(path: Path) -> None:
    sidecar = path.with_name("a.jpg.xmp")
    mark = b'<xmp:Rating xmlns:xmp="http://ns.adobe.com/xap/1.0/">3</xmp:Rating>'
    sidecar.write_bytes(sidecar.read_bytes().replace(b"<dc:subject>", mark + b"<dc:subject>", 1))


def bring_a_list(path: Path) -> None:
    sidecar = path.with_name("a.jpg.xmp")
    mark = bag("digiKam:TagsList", "People/Ann").replace(">", ' xmlns:digiKam="http://www.digikam.org/ns/1.0/">', 1)
    sidecar.write_bytes(sidecar.read_bytes().replace(b"<dc:subject>", mark.encode() + b"<dc:subject>", 1))


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        (None, True),
        (touch, True),
        (repaint, False),
        (drop, False),
        (take_out, False),
        (rate, True),
        (bring_a_list, False),
    ],
)
def test_what_has_not_changed_is_not_tagged_again(
    tmp_path: Path, change: Callable[[Path], None] | None, *, holds: bool
) -> None:
    for name in ("a.jpg", "b.jpg"):
        photograph(tmp_path / name)
    assert current(tmp_path) == []
    run(tmp_path, "cat", "sofa")
    if change is not None:
        change(tmp_path / "a.jpg")
    assert current(tmp_path) == (["a.jpg", "b.jpg"] if holds else ["b.jpg"])
    assert current(tmp_path, decision="other") == []
    assert current(tmp_path, decision="") == []
    assert current(tmp_path, vocabulary="other") == []


def test_without_a_hash_only_times_can_say_that_a_photograph_is_the_same(tmp_path: Path) -> None:
    path = photograph(tmp_path / "a.jpg")
    run(tmp_path, "cat", hashed=False)
    assert current(tmp_path) == ["a.jpg"]
    path.chmod(0o600)  # the system saw it change after the sidecar was written
    assert current(tmp_path) == []


def test_what_was_refused_is_tagged_again_when_it_is_asked_back(tmp_path: Path) -> None:
    path = photograph(tmp_path / "a.jpg")
    run(tmp_path, "cat", "sofa")
    take_out(path)
    run(tmp_path, "cat", "sofa")
    assert current(tmp_path) == ["a.jpg"]
    assert current(tmp_path, restore=True) == []
    run(tmp_path, "cat", "sofa", restore=True)
    assert current(tmp_path, restore=True) == ["a.jpg"]


def test_a_sidecar_of_an_older_version_is_written_again(tmp_path: Path) -> None:
    photograph(tmp_path / "a.jpg")
    old = packet(bag("dc:subject", "sofa"), after=(
        '<rdf:Description rdf:about="" xmlns:c2srt="urn:c2srt:xmp#">'
        f"{bag('c2srt:tags', 'sofa')}{bag('c2srt:addedSubject', 'sofa')}</rdf:Description>"
    ))  # fmt: skip
    (tmp_path / "a.jpg.xmp").write_bytes(old)
    assert current(tmp_path) == []
    run(tmp_path, "cat")
    assert words((tmp_path / "a.jpg.xmp").read_bytes(), HIERARCHY) == ["cat"]
    assert current(tmp_path) == ["a.jpg"]


@pytest.mark.parametrize(("left", "fine"), [(("cat", "sofa"), True), (("sofa", "x", "y"), True), (("x", "y"), False)])
def test_a_vocabulary_with_other_labels_under_its_name_takes_nothing_out_unasked(
    tmp_path: Path, left: tuple[str, ...], *, fine: bool
) -> None:
    photograph(tmp_path / "a.jpg")
    run(tmp_path, "cat")
    before = (tmp_path / "a.jpg.xmp").read_bytes()
    if fine:
        current(tmp_path, labels=left)
    else:
        with pytest.raises(UsageError, match=r"fewer than half \(0 of 2\)") as caught:
            current(tmp_path, labels=left)
        assert "--replace" in str(caught.value)
        assert (tmp_path / "a.jpg.xmp").read_bytes() == before
    current(tmp_path, labels=left, replace=True)
    current(tmp_path, labels=left, vocabulary="mine")


def test_half_of_a_large_vocabulary_is_told_by_a_sample(tmp_path: Path) -> None:
    photograph(tmp_path / "a.jpg")
    many = tuple(f"label {i}" for i in range(5000))
    run(tmp_path, "label 1", labels=many)
    assert len((tmp_path / "a.jpg.xmp").read_bytes()) < 4000
    current(tmp_path, labels=many[:3500])
    with pytest.raises(UsageError, match="fewer than half"):
        current(tmp_path, labels=many[:1500])


_PACKET = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:subject><rdf:Bag><rdf:li>Ann</rdf:li>'
    "</rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"
)


@needs_exiftool
@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + _PACKET.encode(),
        _PACKET.replace("><", ">\r\n<").encode(),
        _PACKET.replace("x:xmpmeta", "x:xapmeta").encode(),
        _PACKET[_PACKET.index("<rdf:RDF") : _PACKET.index("</x:xmpmeta>")].encode(),
        b'<?xml version="1.0" encoding="UTF-8"?>\n' + _PACKET.encode(),
        _PACKET.replace("rdf:Bag", "rdf:Alt").encode(),
        _PACKET.replace("<rdf:li>", '<rdf:li xml:lang="de">').encode(),
        _PACKET.replace(">Ann<", "><![CDATA[Ann]]><").encode(),
        _PACKET.replace(">Ann<", ">&#x41;nn<").encode(),
        b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>' + _PACKET.encode() + b" " * 2000 + b'<?xpacket end="r"?>',
        _PACKET.replace('rdf:about=""', 'rdf:about="uuid:1"').encode(),
    ],
    ids=range(11),
)
def test_a_packet_in_any_wrapping_gains_and_loses_our_keywords_alone(tmp_path: Path, data: bytes) -> None:
    photograph(tmp_path / "a.jpg")
    sidecar = tmp_path / "a.jpg.xmp"
    sidecar.write_bytes(data)
    for _ in range(2):
        write(tmp_path, image(["cat"]))
        assert read_tags(sidecar)["XMP-dc:Subject"] == ["Ann", "cat"]
        assert read_tags(sidecar)["XMP-lr:HierarchicalSubject"] == ["Ann", "cat"]
    write(tmp_path, image([]))
    assert sidecar.read_bytes() == data


@pytest.mark.parametrize(
    "data",
    [
        ("\ufeff" + _PACKET).encode("utf-16-le"),
        ('<?xml version="1.0" encoding="ISO-8859-1"?>' + _PACKET.replace("Ann", "Andr\xe9")).encode("latin-1"),
        _PACKET.encode() + bytes(8),
        _PACKET.replace("rdf:li", "rdf:_1").encode(),
        b'<!DOCTYPE x [<!ENTITY e "Ann">]>' + _PACKET.replace("Ann", "&e;").encode(),
        _PACKET.encode()[:-20],
    ],
    ids=range(6),
)
def test_a_packet_that_cannot_be_added_to_stays_and_is_listed(tmp_path: Path, data: bytes) -> None:
    photograph(tmp_path / "a.jpg")
    (tmp_path / "a.jpg.xmp").write_bytes(data)
    (failure,) = write(tmp_path, image(["cat"]))
    assert failure.reason == "sidecar"
    assert "was left as it is: " in failure.detail
    assert (tmp_path / "a.jpg.xmp").read_bytes() == data


def test_neither_a_photograph_that_moves_with_its_sidecar_nor_one_that_is_copied_is_tagged_again(
    tmp_path: Path,
) -> None:
    photograph(tmp_path / "a.jpg")
    run(tmp_path, "cat")
    (tmp_path / "a.jpg").rename(tmp_path / "b.jpg")
    (tmp_path / "a.jpg.xmp").rename(tmp_path / "b.jpg.xmp")
    assert current(tmp_path) == ["b.jpg"]
    shutil.copytree(tmp_path, tmp_path / "copy")
    assert current(tmp_path / "copy") == ["b.jpg"]
    repaint(tmp_path / "copy/b.jpg")
    assert current(tmp_path / "copy") == []
