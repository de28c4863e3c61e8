"""Which formats are read, known by content; and the names of those that are not, known by content or suffix."""

import importlib.util
from pathlib import Path

from PIL import features

from c2srt_cli.artifacts import in_bucket
from c2srt_cli.artifacts.buckets import read_object
from c2srt_cli.errors import ImageError
from c2srt_cli.images.raw import reads_raw

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
_JXL_SUFFIXES = (".jxl",)
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
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
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
_JXL_STARTS = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_OTHER_STARTS = {
    b"8BPS": "a Photoshop file",
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

    RAW files that are TIFF in form are `TIFF` here; `tiff.pages` knows them. The others are ``RAW``.

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
    if data.startswith(TIFF_STARTS):
        return "TIFF"
    if data[4:8] == b"ftyp":
        return _box_format(data)
    if data.startswith(_JXL_STARTS):
        return _jpeg_xl()
    for start, name in _RAW_STARTS.items():
        if data.startswith(start):
            return _raw(name)
    for start, name in _OTHER_STARTS.items():
        if data.startswith(start):
            raise ImageError("unsupported", f"the content is {name}; what is read is {_READ}")
    raise ImageError("unsupported", f"the content is none of {_READ}")


class RawFileError(ImageError):
    """The file is a camera's RAW file, which the extra reads.

    Args:
        name: Of its kind.
    """

    def __init__(self, name: str) -> None:
        read = "pip install 'c2srt[raw]' to read it, or develop it to JPEG or TIFF"
        super().__init__("unsupported", f"a camera's RAW file ({name}); {read}")


def _raw(name: str) -> str:
    if not reads_raw():
        raise RawFileError(name)
    return "RAW"


def _jpeg_xl() -> str:
    try:
        import pillow_jxl  # noqa: F401 - it makes itself known to Pillow
    except ImportError:
        raise ImageError("unsupported", "JPEG XL; to read it: pip install 'c2srt[jxl]'") from None
    return "JXL"


def _box_format(data: bytes) -> str:
    box = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
    brands = {box[start : start + 4] for start in range(0, len(box), 4)}
    if b"crx " in brands:
        return _raw("Canon CR3")
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


def is_raw(name: str) -> bool:
    """Whether a file is called as cameras call their RAW files."""
    return Path(name).suffix.lower() in RAW_SUFFIXES


def extra_reads(path: Path) -> bool:
    """Whether a file is of a format that is read only where an extra is installed, and it is."""
    try:
        if in_bucket(path):
            start = read_object(path, 512)
        else:
            with path.open("rb") as file:
                start = file.read(512)
        kind = format_of(start)
    except (OSError, ImageError):
        return False
    return kind in ("AVIF", "HEIF", "JXL", "RAW") or (kind == "TIFF" and is_raw(path.name) and reads_raw())


def extra_of(suffix: str) -> str:
    """The extra that reads files of a suffix; nothing for those that need none, or that none reads."""
    kinds = {"heif": _HEIF_SUFFIXES, "jxl": _JXL_SUFFIXES, "raw": RAW_SUFFIXES}
    return next((extra for extra, suffixes in kinds.items() if suffix in suffixes), "")


def searched_suffixes() -> tuple[str, ...]:
    """What is searched for here: of `SUFFIXES` and others those that can be read, some only where an extra is there."""
    heif, jxl = (importlib.util.find_spec(package) is not None for package in ("pillow_heif", "pillow_jxl"))
    common = tuple(suffix for suffix in SUFFIXES if heif or suffix not in _HEIF_SUFFIXES)
    return common + (_JXL_SUFFIXES if jxl else ()) + (tuple(sorted(RAW_SUFFIXES)) if reads_raw() else ())
