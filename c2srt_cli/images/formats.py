"""Which formats are read, known by content; and the names of those that are not, known by content or suffix."""

import importlib.util
from pathlib import Path

from PIL import features

from c2srt_cli.errors import ImageError

#: What folders and patterns are searched for, in any case. A file named in full is tried whatever its suffix.
SUFFIXES = (
    ".apng",
    ".avif",
    ".bmp",
    ".gif",
    ".heic",
    ".heif",
    ".hif",
    ".jfif",
    ".jpe",
    ".jpeg",
    ".jpg",
    ".mpo",
    ".png",
    ".tif",
    ".tiff",
    ".webp",
)
_HEIF_SUFFIXES = (".heic", ".heif", ".hif")
#: Suffixes of cameras' RAW files.
RAW_SUFFIXES = frozenset(
    """.3fr .ari .arq .arw .bay .braw .cap .cr2 .cr3 .crw .dcr .dcs .dng .drf .eip .erf .fff .gpr .iiq .k25 .kdc .mdc
    .mef .mos .mrw .nef .nrw .orf .ori .pef .ptx .pxn .raf .raw .rw2 .rwl .rwz .sr2 .srf .srw .x3f""".split()  # noqa: SIM905
)
#: Suffixes of other pictures that are not read: found in a search they are counted, not passed over in silence.
OTHER_SUFFIXES = frozenset(
    """.ai .blp .bpg .clip .cur .dcm .dcx .dds .djv .djvu .emf .eps .exr .fit .fits .flc .fli .flif .fpx .hdr .icns
    .ico .j2c .j2k .jng .jp2 .jpf .jpm .jps .jpx .jxl .jxr .kra .mng .msp .ora .pbm .pcd .pcx .pfm .pgm .pic
    .pict .pnm .ppm .psb .psd .pxr .qoi .ras .rgb .sgi .svg .svgz .tga .wbmp .wdp .wmf .xbm .xcf .xpm""".split()  # noqa: SIM905
)

_READ = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, HEIC"
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_HEIF_BRANDS = frozenset((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"))
#: First bytes of what people take for a photograph and is not read.
_RAW_STARTS = {
    b"FUJIFILMCCD-RAW": "Fujifilm RAF",
    b"FOVb": "Sigma X3F",
    b"\0MRM": "Minolta MRW",
    b"IIRO": "Olympus ORF",
    b"IIRS": "Olympus ORF",
    b"MMOR": "Olympus ORF",
    b"IIU\0": "Panasonic RW2",
    b"II\x1a\0\0\0HEAPCCDR": "Canon CRW",
    b"ARRI": "ARRIRAW",
}
_OTHER_STARTS = {
    b"8BPS": "a Photoshop file",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL \r\n\x87\n": "JPEG XL",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"II\xbc\x01": "JPEG XR",
    b"gimp xcf": "a GIMP file",
    b"\0\0\1\0": "an icon",
    b"\0\0\2\0": "a cursor",
    b"v/1\1": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"%PDF": "a PDF",
    b"%!PS": "PostScript",
    b"<svg": "SVG",
    b"<?xml": "XML",
    b"<!DOCTYPE html": "a web page",
    b"<html": "a web page",
    b"PK\3\4": "a ZIP archive",
    b"\0\5\x16\7": "what macOS keeps beside a photograph (AppleDouble), not the photograph",
    b"\0\5\x16\0": "what macOS keeps with a photograph (AppleSingle)",
    b"version https://git-lfs": "a Git LFS pointer: the photograph has not been downloaded",
}


def format_of(data: bytes) -> str:
    """Pillow's name of the format that the first bytes of a file announce.

    RAW files that are TIFF in form are `TIFF` here; `tiff.pages` knows them.

    Raises:
        ImageError: ``unsupported``, with the format's name where it is known.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if data.startswith(_TIFF_MAGIC):
        return "TIFF"
    if data[4:8] == b"ftyp":
        return _box_format(data)
    for start, name in _RAW_STARTS.items():
        if data.startswith(start):
            raise raw_file(name)
    for start, name in _OTHER_STARTS.items():
        if data.startswith(start):
            raise ImageError("unsupported", f"the content is {name}; what is read is {_READ}")
    raise ImageError("unsupported", f"the content is none of {_READ}")


def raw_file(name: str) -> ImageError:
    """The error for a camera's RAW file, whose embedded preview is not the photograph as it would be developed."""
    return ImageError("unsupported", f"a camera's RAW file ({name}); develop it to JPEG or TIFF, and tag that")


def _box_format(data: bytes) -> str:
    box = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
    brands = {box[start : start + 4] for start in range(0, len(box), 4)}
    if b"crx " in brands:
        raise raw_file("Canon CR3")
    if brands & {b"avif", b"avis"}:
        if features.check("avif"):
            return "AVIF"
        raise ImageError("unsupported", "AVIF; this build of Pillow cannot read it")
    if brands & _HEIF_BRANDS:
        try:
            import pillow_heif
        except ImportError:
            raise ImageError("unsupported", "HEIC; to read it: pip install 'c2srt[heif]'") from None
        pillow_heif.register_heif_opener()
        return "HEIF"
    raise ImageError("unsupported", f"the content is a film, or of a brand that is not known; what is read is {_READ}")


def extra_reads(path: Path) -> bool:
    """Whether a file is of a format that is read only where an extra is installed, and it is."""
    try:
        with path.open("rb") as file:
            return format_of(file.read(512)) in ("AVIF", "HEIF")
    except (OSError, ImageError):
        return False


def searched_suffixes() -> tuple[str, ...]:
    """Those of `SUFFIXES` that can be read here: HEIC only where its extra is installed."""
    if importlib.util.find_spec("pillow_heif"):
        return SUFFIXES
    return tuple(suffix for suffix in SUFFIXES if suffix not in _HEIF_SUFFIXES)
