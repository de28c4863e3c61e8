"""A folder of bad and odd image files, each made by Pillow or by hand, the same bytes every time."""

import contextlib
import importlib.util
import io
import os
import socket
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps

SIZE = (96, 64)
Files = Iterator[tuple[str, bytes, str | None]]


def picture() -> Image.Image:
    """The picture that most of the files hold: smooth, no two corners alike."""
    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    red, green = 255 * x / (SIZE[0] - 1), 255 * y / (SIZE[1] - 1)
    return Image.fromarray(np.stack([red, green, 255 - red / 2 - green / 2], axis=-1).astype(np.uint8))


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png(width: int, height: int, depth: int, color: int, rows: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG by hand; ``rows`` with their filter bytes."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, data) for kind, data in chunks)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png16(color: int, channels: int, *extra: tuple[bytes, bytes]) -> bytes:
    """A 16-bit PNG of the picture (grey for one channel, opaque for four); each value is 257 times the 8-bit one."""
    image = picture().convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])
    values = (np.asarray(image).reshape(SIZE[1], -1).astype(np.uint32) * 257).astype(">u2")
    return png(*SIZE, 16, color, b"".join(b"\0" + row.tobytes() for row in values), *extra)


def jpeg_segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def with_segment(jpeg: bytes, marker: int, payload: bytes) -> bytes:
    """The JPEG with one more segment right behind its first marker."""
    return jpeg[:2] + jpeg_segment(marker, payload) + jpeg[2:]


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    return block


#: Transposing the upright picture by this gives what a camera stores under the orientation.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def stored(orientation: int) -> Image.Image:
    return picture() if orientation == 1 else picture().transpose(STORED[orientation])


def flat_jpeg(width: int, height: int) -> bytes:
    """A mid-grey JPEG of any size in 3 bytes for 256 pixels, written without holding its pixels."""
    small = encode(Image.new("L", (8, 8), 128), "JPEG")
    frame, scan = small.index(b"\xff\xc0"), small.index(b"\xff\xda")
    start = scan + 2 + int.from_bytes(small[scan + 2 : scan + 4], "big")
    header = small[: frame + 5] + struct.pack(">HH", height, width) + small[frame + 9 : start]
    # A block is "no DC difference, end of block" in the standard tables: 00 1010; four of them are three bytes.
    blocks = -(-width // 8) * -(-height // 8)
    return header + b"\x28\xa2\x8a" * -(-blocks // 4) + b"\xff\xd9"


def _jpegs() -> Files:
    rgb = picture()
    plain = encode(rgb, "JPEG", quality=90)
    for orientation in range(1, 9):
        yield f"exif-{orientation}.jpg", encode(stored(orientation), "JPEG", quality=90, exif=exif(orientation)), None
    yield "exif-9.jpg", encode(rgb, "JPEG", exif=exif(9)), None
    yield "exif-corrupt.jpg", with_segment(plain, 0xE1, b"Exif\0\0II*\0\xff\xff\xff\x7f" + b"\xa5" * 40), None
    yield "exif-text.jpg", with_segment(plain, 0xE1, b"Exif\0\0this is no TIFF block"), None
    truncated_ifd = (
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\x0f\x01\x02\0\xff\xff\0\0\x40\0\0\0"
    )
    yield "exif-too-long.jpg", with_segment(encode(stored(6), "JPEG", quality=90), 0xE1, truncated_ifd), None
    yield "grey.jpg", encode(rgb.convert("L"), "JPEG"), None
    yield "progressive.jpg", encode(rgb, "JPEG", progressive=True), None
    yield "restart-markers.jpg", encode(rgb, "JPEG", restart_marker_blocks=2), None
    cmyk = encode(rgb.convert("CMYK"), "JPEG", quality=95)
    yield "cmyk-adobe.jpg", cmyk, None
    marker = cmyk.index(b"\xff\xee")
    yield "cmyk-no-marker.jpg", cmyk[:marker] + cmyk[marker + 16 :], None
    yield (
        "icc.jpg",
        encode(rgb, "JPEG", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()),
        None,
    )
    yield "icc-corrupt.jpg", encode(rgb, "JPEG", icc_profile=b"no profile at all"), None
    yield "trailing-garbage.jpg", plain + b"\0garbage\xff" * 100, None
    yield "phone.mpo.jpg", encode(rgb, "MPO", save_all=True, append_images=[rgb.resize((48, 32))]), None
    yield "UPPER.JPEG", plain, None
    yield "jpeg-called.png", plain, None
    yield "png-called.jpg", encode(rgb, "PNG"), None
    yield "one-pixel.jpg", encode(Image.new("RGB", (1, 1), "red"), "JPEG"), None
    yield "wide.jpg", encode(rgb.resize((5000, 3)), "JPEG"), None
    yield "large-120-megapixels.jpg", flat_jpeg(12_000, 10_000), None
    for percent in (10, 50, 95):
        yield f"truncated-{percent}.jpg", plain[: len(plain) * percent // 100], "corrupt"
    yield "truncated-2-bytes.jpg", plain[:-2], "corrupt"
    progressive = encode(rgb, "JPEG", progressive=True)
    yield "truncated-progressive.jpg", progressive[: len(progressive) * 7 // 10], "corrupt"
    yield "zeros-for-an-end.jpg", plain[: len(plain) // 2] + bytes(len(plain) - len(plain) // 2), "corrupt"
    yield "early-end.jpg", plain[: len(plain) // 2] + b"\xff\xd9", "corrupt"
    yield "only-magic.jpg", b"\xff\xd8\xff", "corrupt"
    table = plain.index(b"\xff\xc4")
    yield "huffman-table.jpg", plain[: table + 5] + b"\xff" * 16 + plain[table + 21 :], "corrupt"
    # Wrong bits inside the scan: libjpeg resumes and hides them, as every viewer does.
    scan = bytearray(plain)
    scan[-len(plain) // 20] ^= 1
    yield "huffman-data.jpg", bytes(scan), None
    yield (
        "bomb.jpg",
        flat_jpeg(16, 16).replace(struct.pack(">HH", 16, 16), struct.pack(">HH", 65_000, 65_000)),
        "too-large",
    )


def _pngs() -> Files:
    rgb = picture()
    grey, plain = rgb.convert("L"), encode(rgb, "PNG")
    ramp = Image.linear_gradient("L").resize(SIZE)
    yield "rgba.png", encode(Image.merge("RGBA", (*rgb.split(), ramp)), "PNG"), None
    yield "rgba-all-clear.png", encode(Image.new("RGBA", SIZE, (0, 0, 0, 0)), "PNG"), None
    yield "la.png", encode(Image.merge("LA", (grey, ramp)), "PNG"), None
    palette = rgb.quantize(64)
    yield "palette.png", encode(palette, "PNG"), None
    yield "palette-one-clear.png", encode(palette, "PNG", transparency=5), None
    yield "palette-alphas.png", encode(palette, "PNG", transparency=bytes(range(0, 256, 4))), None
    yield "palette-2-bit.png", encode(rgb.quantize(4), "PNG", bits=2), None
    yield "rgb-one-clear.png", encode(rgb, "PNG", transparency=rgb.getpixel((0, 0))), None
    yield "grey-one-clear.png", encode(grey, "PNG", transparency=grey.getpixel((0, 0))), None
    yield "one-bit.png", encode(rgb.convert("1"), "PNG"), None
    yield "grey-16-bit.png", png16(0, 1), None
    yield "grey-16-bit-one-clear.png", png16(0, 1, (b"tRNS", struct.pack(">H", 257 * 100))), None
    yield "rgb-16-bit.png", png16(2, 3), None
    yield "rgba-16-bit.png", png16(6, 4), None
    yield "exif-6.png", encode(stored(6), "PNG", exif=exif(6)), None
    yield "icc-corrupt.png", encode(rgb, "PNG", icc_profile=b"no profile at all"), None
    yield "animated.png", encode(rgb, "PNG", save_all=True, append_images=[ImageOps.invert(rgb)]), None
    yield "trailing-garbage.png", plain + b"garbage" * 100, None
    yield "one-pixel.png", encode(Image.new("RGB", (1, 1), "blue"), "PNG"), None
    yield "tall.png", encode(rgb.resize((3, 5000)), "PNG"), None
    for percent in (5, 50, 95):
        yield f"truncated-{percent}.png", plain[: len(plain) * percent // 100], "corrupt"
    yield "truncated-end-chunk.png", plain[:-12], "corrupt"
    data = plain.index(b"IDAT")
    end = data + 4 + int.from_bytes(plain[data - 4 : data], "big")
    yield "checksum.png", plain[:end] + b"\0\0\0\0" + plain[end + 4 :], "corrupt"
    yield "checksum-header.png", plain[:29] + b"\0\0\0\0" + plain[33:], "corrupt"
    rows = b"".join(b"\0" + row.tobytes() for row in np.asarray(rgb))
    stream = bytearray(zlib.compress(rows, 0))
    del stream[-600:-300]
    broken = png(*SIZE, 8, 2, rows).replace(
        png_chunk(b"IDAT", zlib.compress(rows, 9)), png_chunk(b"IDAT", bytes(stream))
    )
    yield "last-rows.png", broken, "corrupt"
    yield "bomb.png", png(50_000, 50_000, 1, 0, b"\0" * 1000), "too-large"
    yield "no-data.png", plain[: data - 4] + png_chunk(b"IEND", b""), "corrupt"


def _others() -> Files:
    rgb = picture()
    grey = np.asarray(rgb.convert("L"))
    frames = [rgb, ImageOps.invert(rgb)]
    gif, webp, bmp = encode(rgb, "GIF"), encode(rgb, "WEBP"), encode(rgb, "BMP")
    yield "animated.gif", encode(frames[0], "GIF", save_all=True, append_images=frames[1:]), None
    yield "one-clear.gif", encode(rgb.quantize(32), "GIF", transparency=3), None
    yield "truncated.gif", gif[: len(gif) // 2], "corrupt"
    yield "bomb.gif", gif[:6] + struct.pack("<HH", 65_535, 65_535) + gif[10:], "too-large"
    yield "plain.webp", webp, None
    yield "rgba.webp", encode(rgb.convert("RGBA"), "WEBP", lossless=True), None
    yield "animated.webp", encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True), None
    yield "exif-8.webp", encode(stored(8), "WEBP", exif=exif(8), lossless=True), None
    yield "truncated.webp", webp[: len(webp) // 2], "corrupt"
    yield "plain.bmp", bmp, None
    yield "one-bit.bmp", encode(rgb.convert("1"), "BMP"), None
    yield "truncated.bmp", bmp[: len(bmp) // 2], "corrupt"
    tiff = encode(rgb, "TIFF")
    yield "plain.tif", tiff, None
    yield "pages.tiff", encode(frames[0], "TIFF", save_all=True, append_images=frames[1:]), None
    yield "lzw.tif", encode(rgb, "TIFF", compression="tiff_lzw"), None
    yield "fax.tif", encode(rgb.convert("1"), "TIFF", compression="group4"), None
    yield "cmyk.tif", encode(rgb.convert("CMYK"), "TIFF"), None
    yield "ycbcr.tif", encode(rgb.convert("YCbCr"), "TIFF"), None
    yield "lab.tif", encode(rgb.convert("LAB"), "TIFF"), None
    yield "exif-6.tif", encode(stored(6), "TIFF", exif=exif(6)), None
    yield "grey-16-bit.tif", encode(Image.fromarray(grey.astype(np.uint16) * 257), "TIFF"), None
    yield "grey-32-bit.tif", encode(Image.fromarray(grey.astype(np.int32) * 257), "TIFF"), None
    yield "float-fractions.tif", encode(Image.fromarray(grey.astype(np.float32) / 255), "TIFF"), None
    yield "float-any-range.tif", encode(Image.fromarray(grey.astype(np.float32) * 1000 - 5000), "TIFF"), None
    holes = np.where(grey < 100, np.nan, grey.astype(np.float32) / 255).astype(np.float32)
    yield "float-holes.tif", encode(Image.fromarray(holes), "TIFF"), None
    yield "float-no-number.tif", encode(Image.fromarray(np.full_like(holes, np.nan)), "TIFF"), "corrupt"
    yield "truncated.tif", tiff[: len(tiff) // 2], "corrupt"
    yield "directory.tif", b"II*\0" + struct.pack("<I", 2**31) + tiff[8:], "corrupt"
    yield "plain.avif", encode(rgb, "AVIF"), None
    heic = struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + bytes(64)
    yield "phone.heic", heic, "corrupt" if importlib.util.find_spec("pillow_heif") else "unsupported"


def _no_images() -> Files:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(zipfile.ZipInfo("a.txt"), "text")
    rgb = picture()
    yield "empty.jpg", b"", "empty"
    for name, content in {
        "text.jpg": b"Just a text.\n" * 9,
        "bmp-text.jpg": b"BMW builds cars, and this is a text.\n" * 9,
        "page.jpg": b"<!DOCTYPE html><html><title>404</title></html>",
        "archive.jpg": archive.getvalue(),
        "zeros.jpg": bytes(4096),
        "noise.jpg": np.random.default_rng(0).bytes(4096),
        "vector.png": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "postscript.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
        "document.jpg": b"%PDF-1.4\n1 0 obj << >> endobj\ntrailer << >>\n%%EOF\n",
        "icon.png": encode(rgb, "ICO"),
        "jpeg2000.jpg": encode(rgb, "JPEG2000"),
        "video.jpg": struct.pack(">I", 24) + b"ftypisom\0\0\x02\0isommp41" + bytes(64),
        "portable.png": encode(rgb, "PPM"),
    }.items():
        yield name, content, "unsupported"


def _names() -> Files:
    plain = encode(picture(), "JPEG", quality=90)
    for name in (
        "caf\u00e9.jpg",
        "cafe\u0301 (decomposed).jpg",
        "\u5199\u771f \U0001f4f7.jpg",
        "\u202egpj.rtl.jpg",
        "two\nlines.jpg",
        "tab\there \x1b[31m red \x07.jpg",
        "[bold red]markup[blink].jpg",
        "-rf.jpg",
        "--help.jpg",
        "=1+1;'\"<&>,.jpg",
        " spaces .jpg",
        "[a]*?.jpg",
        "%41$HOME\\n.jpg",
        "x" * 251 + ".jpg",
        "folder.jpg/inside.jpg",
        "deep/er/than/most/a.jpg",
    ):
        yield name, plain, None


def make_odd_files(folder: Path) -> dict[str, str | None]:
    """Fill ``folder`` with what a search for photographs meets in the wild.

    It also makes entries that such a search leaves out: hidden ones, a JPEG called ``.txt``, a link to a folder.

    Returns:
        Every name that a search of the folder must report, as it is shown, with None where the picture is usable and
        the reason code where it is not. What the system cannot hold (a name that is not UTF-8, on some) is left out.
    """
    expected: dict[str, str | None] = {}
    for source in (_jpegs, _pngs, _others, _no_images, _names):
        for name, content, reason in source():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            assert name not in expected
            path.write_bytes(content)
            expected[name] = reason
    plain = (folder / "exif-1.jpg").read_bytes()

    for left_out in (".hidden.jpg", ".hidden/a.jpg", "._exif-1.jpg", "jpeg-called.txt", "vector.svg"):
        (folder / left_out).parent.mkdir(exist_ok=True)
        (folder / left_out).write_bytes(plain)
    (folder / "folder-link.jpg").symlink_to("deep")
    (folder / "deep" / "loop").symlink_to("..")

    (folder / "link.jpg").symlink_to(".hidden.jpg")
    expected["link.jpg"] = None
    (folder / "dangling.jpg").symlink_to("gone.jpg")
    expected["dangling.jpg"] = "missing"
    (folder / "loop-a.jpg").symlink_to("loop-b.jpg")
    (folder / "loop-b.jpg").symlink_to("loop-a.jpg")
    expected |= {"loop-a.jpg": "unreadable", "loop-b.jpg": "unreadable"}
    os.mkfifo(folder / "pipe.jpg")
    expected["pipe.jpg"] = "unreadable"
    with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(folder):
        listener.bind("socket.jpg")
    expected["socket.jpg"] = "unreadable"
    locked = folder / "locked.jpg"
    locked.write_bytes(plain)
    locked.chmod(0)
    # the superuser reads it all the same
    expected["locked.jpg"] = None if os.access(locked, os.R_OK) else "unreadable"
    with contextlib.suppress(OSError):
        Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.jpg")).write_bytes(plain)
        expected["caf\\xe9.jpg"] = "bad-name"
    return expected
