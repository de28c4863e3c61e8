"""XMP sidecars: fresh, merged into those of other programs, and read back by exiftool and ElementTree."""

import json
import shutil
import subprocess
import unicodedata
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2srt_cli.tagging.record import Tag, TaggedImage
from c2srt_cli.tagging.writers import WRITERS, WriteContext
from c2srt_cli.tagging.writers.packet import PacketError
from c2srt_cli.tagging.writers.xmp import EMPTY, merge, strip

exiftool = pytest.mark.skipif(
    shutil.which("exiftool") is None, reason="exiftool is not installed (Debian: libimage-exiftool-perl)"
)

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
SUBJECT = "{http://purl.org/dc/elements/1.1/}subject"
HIERARCHY = "{http://ns.adobe.com/lightroom/1.0/}hierarchicalSubject"
PROVENANCE = {"method": "zero-shot", "backbone": "ViT-B-16/openai"}
LABELS = ["animal|dog", "beach", "rock & <roll>", "animal|cat"]

DARKTABLE = """<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:exif="http://ns.adobe.com/exif/1.0/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
    xmlns:darktable="http://darktable.sf.net/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
   exif:DateTimeOriginal="2024:07:14 18:33:00.000"
   xmp:Rating="3"
   xmpMM:DerivedFrom="IMG_1.CR2"
   darktable:import_timestamp="63856000000000000"
   darktable:xmp_version="5"
   darktable:auto_presets_applied="1"
   darktable:history_end="2"
   darktable:iop_order_version="4">
   <!-- edited by hand -->
   <darktable:masks_history>
    <rdf:Seq/>
   </darktable:masks_history>
   <darktable:history>
    <rdf:Seq>
     <rdf:li
      darktable:num="0"
      darktable:operation="exposure"
      darktable:enabled="1"
      darktable:params="gz02eJxjYGBgYAFiCQYYOOHEgAZY0QWAgBGLGANDgz0Ej1Q=="
      darktable:multi_name="a &gt; b &amp; c"/>
     <rdf:li darktable:num="1" darktable:operation="flip" darktable:params="ffffffff"/>
    </rdf:Seq>
   </darktable:history>
   <dc:subject>
    <rdf:Seq>
     <rdf:li>beach</rdf:li>
     <rdf:li>Summer 2024</rdf:li>
    </rdf:Seq>
   </dc:subject>
   <lr:hierarchicalSubject>
    <rdf:Seq>
     <rdf:li>beach</rdf:li>
     <rdf:li>Trips|Summer 2024</rdf:li>
    </rdf:Seq>
   </lr:hierarchicalSubject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""

LIGHTROOM = """<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0-c000">\r
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\r
  <rdf:Description rdf:about=""\r
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"\r
    xmlns:crs='http://ns.adobe.com/camera-raw-settings/1.0/'\r
    xmlns:dc="http://purl.org/dc/elements/1.1/"\r
   xmp:CreatorTool="Adobe Photoshop Lightroom Classic 13.0"\r
   crs:Version="16.0"   crs:Exposure2012='+0.35'\r
   crs:LensProfileName="Who&apos;s &quot;lens&quot;">\r
   <crs:ToneCurvePV2012><rdf:Seq><rdf:li>0, 0</rdf:li><rdf:li>255, 255</rdf:li></rdf:Seq></crs:ToneCurvePV2012>\r
   <crs:Look>\r
    <rdf:Description crs:Name="Adobe Color" crs:Amount="1"/>\r
   </crs:Look>\r
   <dc:title><rdf:Alt><rdf:li xml:lang="x-default">A &lt;title&gt;</rdf:li></rdf:Alt></dc:title>\r
   <dc:subject><rdf:Bag><rdf:li>family</rdf:li><rdf:li>dog</rdf:li></rdf:Bag></dc:subject>\r
  </rdf:Description>\r
 </rdf:RDF>\r
</x:xmpmeta>"""

DIGIKAM = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <r:Description r:about="uuid:faf5bdd5-ba3d-11da-ad31-d33d75182f1b"
    xmlns:digiKam="http://www.digikam.org/ns/1.0/" digiKam:ColorLabel="0" digiKam:PickLabel="2">
   <digiKam:TagsList>
    <r:Seq>
     <r:li>Orte/Köln</r:li>
     <r:li>Menschen/Zoë</r:li>
    </r:Seq>
   </digiKam:TagsList>
  </r:Description>
  <r:Description r:about="uuid:faf5bdd5-ba3d-11da-ad31-d33d75182f1b" xmlns:tags="http://purl.org/dc/elements/1.1/">
   <tags:subject>
    <r:Bag>
     <r:li>Köln</r:li>
     <r:li>Zoe\u0308</r:li>
    </r:Bag>
   </tags:subject>
  </r:Description>
 </r:RDF>
</x:xmpmeta>
PADDING<?xpacket end="w"?>""".replace("PADDING", (" " * 99 + "\n") * 20)

DEFAULT_NAMESPACE = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><RDF xmlns="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><Description rdf:about=""><subject
 xmlns="http://purl.org/dc/elements/1.1/"><Bag xmlns="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><li>sea</li></Bag>
 </subject></Description></RDF></x:xmpmeta>"""

FOREIGN = {
    "darktable": DARKTABLE.encode(),
    "lightroom": LIGHTROOM.encode(),
    "digikam": DIGIKAM.encode(),
    "default-namespace": DEFAULT_NAMESPACE.encode(),
    "bom": b"\xef\xbb\xbf" + DARKTABLE.encode(),
}


def words(packet: bytes, name: str) -> list[str]:
    """Entries of a keyword list, by ElementTree."""
    root = ElementTree.fromstring(packet)
    return [item.text or "" for element in root.iter(name) for item in element.iter(f"{RDF}li")]


def own(packet: bytes, name: str) -> list[str]:
    return words(packet, f"{{urn:c2srt:xmp#}}{name}")


def image(labels: list[str], path: str = "a.jpg") -> TaggedImage:
    return TaggedImage(path, tuple(Tag(label, 0.5, None, None) for label in labels))


def context(sidecar_name: Any = "ext") -> WriteContext:
    return WriteContext(Path(), (), sidecar_name=sidecar_name, provenance=PROVENANCE)


def exif(path: Path) -> dict[str, Any]:
    """What exiftool reads, without what belongs to the file system."""
    run = subprocess.run(
        ["exiftool", "-j", "-G1", "-struct", "-a", str(path)], capture_output=True, check=True, encoding="utf-8"
    )
    found: dict[str, Any] = json.loads(run.stdout)[0]
    return {key: value for key, value in found.items() if not key.startswith(("System:", "ExifTool:", "SourceFile"))}


def without_ours(found: dict[str, Any]) -> dict[str, Any]:
    """The dump without c2srt's properties and the keywords that c2srt says it added."""
    added = {
        "XMP-dc:Subject": found.get("XMP-c2srt:AddedSubject", []),
        "XMP-lr:HierarchicalSubject": found.get("XMP-c2srt:AddedHierarchicalSubject", []),
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
    assert WRITERS["xmp"].write([image(["animal|dog", "R&B"], "x/a.jpg")], tmp_path, context()) == []
    assert (tmp_path / "x/a.jpg.xmp").read_text(encoding="utf-8") == (
        """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="c2srt">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
 <rdf:Description rdf:about=""
   xmlns:dc="http://purl.org/dc/elements/1.1/"
   xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
   xmlns:c2srt="urn:c2srt:xmp#">
  <dc:subject>
   <rdf:Bag>
    <rdf:li>animal</rdf:li>
    <rdf:li>dog</rdf:li>
    <rdf:li>R&amp;B</rdf:li>
   </rdf:Bag>
  </dc:subject>
  <lr:hierarchicalSubject>
   <rdf:Bag>
    <rdf:li>animal|dog</rdf:li>
    <rdf:li>R&amp;B</rdf:li>
   </rdf:Bag>
  </lr:hierarchicalSubject>
  <c2srt:tags>
   <rdf:Bag>
    <rdf:li>animal|dog</rdf:li>
    <rdf:li>R&amp;B</rdf:li>
   </rdf:Bag>
  </c2srt:tags>
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
  <c2srt:backbone>ViT-B-16/openai</c2srt:backbone>
  <c2srt:method>zero-shot</c2srt:method>
 </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""
    )


def test_flat_labels_alone_make_no_hierarchy() -> None:
    packet = merge(b"", ["beach", "sea"], {})
    assert words(packet, SUBJECT) == ["beach", "sea"]
    assert words(packet, HIERARCHY) == []


def test_names_and_untagged_images(tmp_path: Path) -> None:
    rows = [image(["dog"], "x/a.b.jpg"), image([], "y.jpg")]
    assert WRITERS["xmp"].write(rows, tmp_path, context("stem")) == []
    assert [path.name for path in sorted(tmp_path.rglob("*.*"))] == ["a.b.xmp"]


@exiftool
def test_exiftool_reads_a_fresh_sidecar(tmp_path: Path) -> None:
    labels = [*LABELS, "naïve 猫 🐈 \U0001f469\u200d\U0001f52c", "x\x00y\x1bz"]
    WRITERS["xmp"].write([image(labels)], tmp_path, context())
    found = exif(tmp_path / "a.jpg.xmp")
    flat = ["beach", "rock & <roll>"]
    rest = ["naïve 猫 🐈 \U0001f469\u200d\U0001f52c", "x\ufffdy\ufffdz"]
    assert found["XMP-dc:Subject"] == ["animal", "dog", *flat, "cat", *rest]
    assert found["XMP-lr:HierarchicalSubject"] == ["animal|dog", *flat, "animal|cat", *rest]
    assert found["XMP-c2srt:Method"] == "zero-shot"
    assert "ExifTool:Warning" not in found


@exiftool
@pytest.mark.parametrize("name", sorted(FOREIGN.keys() - {"default-namespace"}))  # exiftool cannot read that one
def test_exiftool_finds_every_foreign_field_after_a_merge(tmp_path: Path, name: str) -> None:
    sidecar = tmp_path / "a.jpg.xmp"
    sidecar.write_bytes(FOREIGN[name])
    before = exif(sidecar)
    assert WRITERS["xmp"].write([image(LABELS)], tmp_path, context()) == []
    after = exif(sidecar)
    assert without_ours(after) == before
    assert {"animal", "dog", "beach", "rock & <roll>", "cat"} <= set(after["XMP-dc:Subject"])
    assert set(LABELS) <= set(after["XMP-lr:HierarchicalSubject"])


@exiftool
def test_merge_with_a_sidecar_made_by_exiftool(tmp_path: Path) -> None:
    sidecar = tmp_path / "a.xmp"
    make = ["-Subject=beach", "-Subject=sun & sea", "-Title=T", "-Rating=4", "-GPSLatitude=48.2", "-XMP:Creator=Me"]
    subprocess.run(["exiftool", "-q", *make, "-o", str(sidecar)], check=True)
    before = exif(sidecar)
    WRITERS["xmp"].write([image(LABELS)], tmp_path, context("stem"))
    after = exif(sidecar)
    assert without_ours(after) == before
    assert after["XMP-dc:Subject"] == ["beach", "sun & sea", "animal", "dog", "rock & <roll>", "cat"]
    # darktable and Immich stop reading dc:subject once this list exists, so the user's keywords are in it too
    assert after["XMP-lr:HierarchicalSubject"] == ["beach", "sun & sea", "animal|dog", "rock & <roll>", "animal|cat"]


@exiftool
def test_retraction_after_exiftool_rewrote_our_sidecar(tmp_path: Path) -> None:
    sidecar = tmp_path / "a.jpg.xmp"
    WRITERS["xmp"].write([image(LABELS)], tmp_path, context())
    # exiftool drops what it does not know only when told to; here it adds a keyword and a rating of the user's
    subprocess.run(["exiftool", "-q", "-overwrite_original", "-Subject+=mine", "-Rating=5", str(sidecar)], check=True)
    assert WRITERS["xmp"].write([image(["beach", "sea"])], tmp_path, context()) == []
    found = exif(sidecar)
    assert found["XMP-dc:Subject"] == ["mine", "beach", "sea"]
    assert found["XMP-xmp:Rating"] == 5
    assert "XMP-lr:HierarchicalSubject" not in found


@pytest.mark.parametrize("name", sorted(FOREIGN))
def test_bytes_of_others_stay(name: str) -> None:
    before = FOREIGN[name]
    merged = merge(before, LABELS, PROVENANCE)
    assert strip(merged) == before
    assert merge(merged, LABELS, PROVENANCE) == merged
    assert merge(merge(before, ["sea", "animal|horse"], {}), LABELS, PROVENANCE) == merged
    assert merge(merged, [], PROVENANCE) == before
    # deleting what was inserted gives the old file: the new one holds every old byte, in order
    remaining = iter(merged)
    assert all(byte in remaining for byte in before)


def test_keywords_of_the_user_are_never_retracted() -> None:
    merged = merge(FOREIGN["darktable"], ["beach", "sea"], {})
    assert own(merged, "tags") == ["beach", "sea"]
    assert own(merged, "addedSubject") == ["sea"]
    assert words(merge(merged, ["hill"], {}), SUBJECT) == ["beach", "Summer 2024", "hill"]
    assert words(merge(merged, [], {}), SUBJECT) == ["beach", "Summer 2024"]


def test_equal_keywords_in_another_composition_are_not_doubled() -> None:
    merged = merge(FOREIGN["digikam"], [unicodedata.normalize("NFC", "Zoë"), "sea"], {})
    assert own(merged, "addedSubject") == ["sea"]
    assert words(merged, SUBJECT) == ["Köln", "Zoe\u0308", "sea"]


def test_tags_written_as_attributes_by_other_programs_are_found() -> None:
    """Adobe's toolkit gathers everything in one description and writes simple properties as attributes."""
    rewritten = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:own="urn:c2srt:xmp#"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
   own:method="ram" xmp:Label="own:method='ram'" own:backbone='mini'>
   <dc:subject><rdf:Bag><rdf:li>mine</rdf:li><rdf:li>sea</rdf:li></rdf:Bag></dc:subject>
   <own:tags><rdf:Bag><rdf:li>sea</rdf:li></rdf:Bag></own:tags>
   <own:addedSubject><rdf:Bag><rdf:li>sea</rdf:li></rdf:Bag></own:addedSubject>
  </rdf:Description></rdf:RDF></x:xmpmeta>"""
    stripped = strip(rewritten)
    (description,) = ElementTree.fromstring(stripped).iter(f"{RDF}Description")
    assert description.attrib == {f"{RDF}about": "", "{http://ns.adobe.com/xap/1.0/}Label": "own:method='ram'"}
    assert words(stripped, SUBJECT) == ["mine"]
    merged = merge(rewritten, ["hill"], {"method": "c2srt"})
    assert words(merged, SUBJECT) == ["mine", "hill"]
    assert merge(merged, ["hill"], {"method": "c2srt"}) == merged


@pytest.mark.parametrize(
    "body",
    [
        "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'/>",
        "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description about='x'/></rdf:RDF>",
        "<r:RDF xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns:d='http://purl.org/dc/elements/1.1/'>"
        "<r:Description r:about=''><d:subject><r:Bag/></d:subject></r:Description></r:RDF>",
        "<r:RDF xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns:d='http://purl.org/dc/elements/1.1/'>"
        "<r:Description r:about=''><d:subject/><d:format>image/jpeg</d:format></r:Description></r:RDF>",
        "  \n",
    ],
)
def test_empty_structures(body: str) -> None:
    merged = merge(body.encode(), ["dog", "a|b"], {})
    assert words(merged, SUBJECT) == ["dog", "a", "b"]
    assert words(merged, HIERARCHY) == ["dog", "a|b"]
    assert merge(merged, ["dog", "a|b"], {}) == merged
    assert ("image/jpeg" in body) == (b"image/jpeg" in merged)


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
        (DIGIKAM.replace("<r:Bag>", "<r:Other>").replace("</r:Bag>", "</r:Other>").encode(), "subject is not a list"),
        (LIGHTROOM.replace("crs:Version=", "dc:subject=").encode(), "subject is not a list"),
    ],
)  # fmt: skip
def test_what_cannot_be_merged_is_left_alone_and_reported(tmp_path: Path, data: bytes, why: str) -> None:
    sidecar = tmp_path / "a.jpg.xmp"
    sidecar.write_bytes(data)
    failed = WRITERS["xmp"].write([image(["dog"]), image(["dog"], "b.jpg")], tmp_path, context())
    assert [(row.path, row.reason) for row in failed] == [("a.jpg", "sidecar")]
    assert why in failed[0].detail
    assert sidecar.read_bytes() == data
    assert words((tmp_path / "b.jpg.xmp").read_bytes(), SUBJECT) == ["dog"]


def test_rerun_does_not_touch_the_file(tmp_path: Path) -> None:
    sidecar = tmp_path / "a.jpg.xmp"
    WRITERS["xmp"].write([image(LABELS)], tmp_path, context())
    before = sidecar.stat()
    WRITERS["xmp"].write([image(LABELS)], tmp_path, context())
    after = sidecar.stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    assert WRITERS["xmp"].write([image([])], tmp_path, context()) == []
    assert sidecar.read_bytes() == EMPTY


def test_provenance_must_be_a_property_name() -> None:
    for name in ("a b", "tags", "1x", ""):
        with pytest.raises(ValueError, match="cannot be a property"):
            merge(b"", ["dog"], {name: "x"})


label = st.text(st.characters(exclude_categories=[]), min_size=1, max_size=10) | st.sampled_from(
    ["a|b", "a|c", "|", "a|", "||x", "<&>", "]]>", "🐈", "e\u0301", "\u00e9", "beach", "dog", '"', "\ufffe", "\t"]
)


@settings(deadline=None)
@given(
    st.sampled_from([b"", *FOREIGN.values()]),
    st.lists(label, max_size=6),
    st.lists(label, min_size=1, max_size=6),
    st.dictionaries(st.sampled_from(["method", "run"]), label),
)
def test_merge_of_any_labels(foreign: bytes, earlier: list[str], labels: list[str], provenance: dict[str, str]) -> None:
    merged = merge(foreign, labels, provenance)
    assert merge(merged, labels, provenance) == merged
    assert merge(merge(foreign, earlier, {}), labels, provenance) == merged
    assert strip(merged) == (foreign or EMPTY)
    cleaned = ["".join(c if is_xml(c) else "\ufffd" for c in text) for text in labels]
    spaced = ["".join(" " if c in "\t\r\n" else c for c in text) for text in cleaned]
    assert set(own(merged, "tags")) == {squeeze(raw, text) for raw, text in zip(labels, spaced, strict=True)}
    flat = {unicodedata.normalize("NFC", word.strip()) for word in words(merged, SUBJECT)}
    for text in own(merged, "tags"):
        levels = [unicodedata.normalize("NFC", part.strip()) for part in text.split("|") if part.strip()]
        assert set(levels) <= flat


def is_xml(letter: str) -> bool:
    """Production 2 of XML 1.0."""
    code = ord(letter)
    return code in (9, 10, 13) or 32 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000


def squeeze(raw: str, text: str) -> str:
    """One space for a run of tabs and line breaks."""
    kept = [
        letter
        for position, letter in enumerate(text)
        if not (position and raw[position] in "\t\r\n" and raw[position - 1] in "\t\r\n")
    ]
    return "".join(kept)


def test_packet_error_is_a_value_error() -> None:
    with pytest.raises(PacketError, match="larger than"):
        merge(b" " * (64 << 20) + b"<a/>", ["dog"], {})
