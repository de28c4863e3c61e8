"""Packets as programs write them, and their keywords read by something else than c2srt."""

from xml.etree import ElementTree

from hypothesis import strategies as st

from c2srt_cli.tagging.keywords.contents import Embedded
from c2srt_cli.tagging.keywords.ledger import Claim
from c2srt_cli.tagging.keywords.lists import keyword_key
from c2srt_cli.tagging.keywords.merge import merge
from c2srt_cli.tagging.keywords.state import read_state
from c2srt_cli.tagging.keywords.strip import strip

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
SUBJECT = "{http://purl.org/dc/elements/1.1/}subject"
HIERARCHY = "{http://ns.adobe.com/lightroom/1.0/}hierarchicalSubject"
TAGS_LIST = "{http://www.digikam.org/ns/1.0/}TagsList"
LAST_KEYWORD = "{http://ns.microsoft.com/photo/1.0/}LastKeywordXMP"
CATALOG_SETS = "{http://ns.iview-multimedia.com/mediapro/1.0/}CatalogSets"
CATEGORIES = "{http://ns.acdsee.com/iptc/1.0/}categories"
OWN = "{urn:c2srt:xmp#}"

SPACES = """xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
 xmlns:digiKam="http://www.digikam.org/ns/1.0/" xmlns:MicrosoftPhoto="http://ns.microsoft.com/photo/1.0/"
 xmlns:mediapro="http://ns.iview-multimedia.com/mediapro/1.0/" xmlns:acdsee="http://ns.acdsee.com/iptc/1.0/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/\""""


def packet(body: str, attributes: str = "", *, after: str = "") -> bytes:
    """A packet with one description, and what else stands in its rdf:RDF."""
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="test">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" {SPACES} {attributes}>
   {body}
  </rdf:Description>
  {after}
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>""".encode()


def bag(name: str, *words: str, container: str = "Bag") -> str:
    """A list as most programs write it."""
    items = "".join(f"\n     <rdf:li>{word}</rdf:li>" for word in words)
    return f"<{name}>\n    <rdf:{container}>{items}\n    </rdf:{container}>\n   </{name}>"


def words(data: bytes, name: str) -> list[str]:
    """Entries of a keyword list, by ElementTree."""
    root = ElementTree.fromstring(data)
    return [item.text or "" for element in root.iter(name) for item in element.iter(f"{RDF}li")]


def categories(data: bytes) -> list[str]:
    """ACDSee's assigned categories, by ElementTree."""
    root = ElementTree.fromstring(data)
    texts = [element.text for element in root.iter(CATEGORIES)]
    texts += [element.attrib[CATEGORIES] for element in root.iter() if CATEGORIES in element.attrib]

    def paths(node: ElementTree.Element, above: str) -> list[str]:
        name = above + (node.text or "").strip()
        mine = [name] if node.get("Assigned") == "1" else []
        return mine + [path for child in node for path in paths(child, f"{name}|")]

    return [path for text in texts if text for child in ElementTree.fromstring(text) for path in paths(child, "")]


def tags(data: bytes) -> list[str]:
    """The labels that the vocabularies of a packet give, by ElementTree."""
    root = ElementTree.fromstring(data)
    return [item.text or "" for element in root.iter(f"{OWN}tags") for item in element.iter(f"{RDF}li")]


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

ACDSEE = packet(
    bag("dc:subject", "Ann"),
    "acdsee:categories='&lt;Categories&gt;&lt;Category Assigned=&#34;0&#34;>People"
    "&lt;Category Assigned=&quot;1&quot;&gt;Ann&#xe9; &amp;amp; co&lt;/Category&gt;&lt;/Category&gt;"
    "&lt;/Categories&gt;'",
)

FOREIGN = {
    "darktable": DARKTABLE.encode(),
    "lightroom": LIGHTROOM.encode(),
    "digikam": DIGIKAM.encode(),
    "default-namespace": DEFAULT_NAMESPACE.encode(),
    "bom": b"\xef\xbb\xbf" + DARKTABLE.encode(),
    "acdsee": ACDSEE,
    "empty lists": packet(
        "<dc:subject/><lr:hierarchicalSubject><rdf:Bag /></lr:hierarchicalSubject><digiKam:TagsList>\n"
        "</digiKam:TagsList><MicrosoftPhoto:LastKeywordXMP><rdf:Bag>\n </rdf:Bag></MicrosoftPhoto:LastKeywordXMP>"
        "<acdsee:categories/>"
    ),
    "empty tree": packet("<acdsee:categories>&lt;Categories/&gt;</acdsee:categories>"),
    "empty rdf": b"<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'/>",
    "bare description": b"<r:RDF xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><r:Description about='x'/>"
    b"</r:RDF>",
    "every list": packet(
        "".join(
            (
                bag("digiKam:TagsList", "People/Ann", "Trips/Rome", container="Seq"),
                bag("MicrosoftPhoto:LastKeywordXMP", "People/Ann", "Trips/Rome"),
                bag("lr:hierarchicalSubject", "People|Ann", "Trips|Rome"),
                bag("mediapro:CatalogSets", "People|Ann", "Trips|Rome"),
                bag("dc:subject", "Ann", "Rome"),
                "<acdsee:categories>&lt;Categories&gt;&lt;Category Assigned=\"0\"&gt;People&lt;Category "
                "Assigned=\"1\"&gt;Ann&lt;/Category&gt;&lt;/Category&gt;&lt;/Categories&gt;</acdsee:categories>",
            )
        )
    ),
}  # fmt: skip

LABELS = ["animal|dog", "beach", "rock & <roll>", "animal|cat"]
MADE = {"method": "zero-shot", "backbone": "ViT-B-16/openai"}


def tagged(
    data: bytes,
    labels: list[str],
    vocabulary: str = "labels",
    embedded: Embedded | None = Embedded(),  # noqa: B008 - frozen
    restored: tuple[str, ...] = (),
) -> bytes:
    return merge(data, vocabulary, Claim(tuple(labels), provenance=MADE), embedded, restored)


def stripped(data: bytes) -> bytes:
    return strip(read_state(data))


def lists(data: bytes) -> dict[str, set[tuple[str, ...]]]:
    """The keywords of every list there is, whatever their spelling."""
    return {keywords.qualified: {keyword_key(k) for k in found} for keywords, found in read_state(data).present.items()}


def without(data: bytes, name: str, *entries: str) -> bytes:
    """The packet after another program took entries out of a list; ElementTree writes it anew."""
    root = ElementTree.fromstring(data)
    for element in root.iter(name):
        for container in element:
            for item in list(container):
                if item.text in entries:
                    container.remove(item)
    return ElementTree.tostring(root)


#: Labels of any characters.
any_label = st.text(st.characters(exclude_categories=[]), min_size=1, max_size=10) | st.sampled_from(
    [
        "a|b",
        "a|c",
        "A|B",
        "|",
        "a|",
        "||x",
        "<&>",
        "]]>",
        "🐈",
        "e\u0301",
        "\u00e9",
        "beach",
        "Dog",
        '"',
        "\ufffe",
        "\t",
        "a/b",
    ]
)
