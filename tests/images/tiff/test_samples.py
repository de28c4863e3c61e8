"""What is decoded, against what tifffile was given to write."""

import io
import itertools
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from odd_files import encode, picture
from PIL import Image
from tiffs import page, tiff

from c2srt_cli.errors import ImageError
from c2srt_cli.images.tiff import TiffError, open_tiff
from c2srt_cli.images.tiff import samples as samples_module

tifffile = pytest.importorskip("tifffile", reason="comes with scikit-image")

W, H = 53, 38
Y, X = np.mgrid[0:H, 0:W]
#: Red to the right, green downwards, blue to the upper left; and alpha, all from 0 to 1.
RGB = np.stack([X / (W - 1), Y / (H - 1), 1 - X / (W - 1) / 2 - Y / (H - 1) / 2], axis=-1)
GREY = RGB @ [0.3, 0.59, 0.11]
ALPHA = (X + Y) / (W + H - 2)
KINDS = [("u", 8), ("u", 16), ("u", 32), ("i", 16), ("f", 16), ("f", 32), ("f", 64)]


def numbers(values: np.ndarray, kind: str, bits: int) -> np.ndarray:
    """Fractions as numbers of a kind, over all its range."""
    if kind == "f":
        return values.astype(f"f{bits // 8}")
    top = 2 ** (bits - (kind == "i")) - 1
    rounded: np.ndarray = np.rint(values * top)
    return rounded.astype(f"{kind}{max(8, 1 << (bits - 1).bit_length()) // 8}")


def written(values: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(
        file, byteorder=options.pop("byteorder", "<"), bigtiff=options.pop("bigtiff", False)
    ) as writer:
        writer.write(values, metadata=None, **options)
    return file.getvalue()


def decoded(data: bytes) -> np.ndarray:
    image = open_tiff(data).decode()
    return np.asarray(image if image.mode != "CMYK" else image.convert("RGB")).astype(int)


def close(got: np.ndarray, fractions: np.ndarray, tolerance: float = 1.01) -> None:
    assert got.shape == fractions.shape
    assert np.abs(got - 255 * fractions).max() <= tolerance


@pytest.mark.parametrize(("kind", "bits"), KINDS)
def test_every_kind_of_number_in_every_layout(kind: str, bits: int) -> None:
    # 32-bit whole numbers have no usual range: they are shown from their smallest to their largest
    stored = numbers(RGB, kind, bits)
    low, high = (RGB.min(), RGB.max()) if bits == 32 and kind != "f" else (0, 1)
    expected = (RGB - low) / (high - low)
    for order, big, planar, tile, compression, predictor in itertools.product(
        "<>", (False, True), ("contig", "separate"), (None, (16, 32)), (None, "zlib"), (1, 2)
    ):
        if predictor == 2 and (compression is None or kind == "f"):
            continue
        options: dict[str, Any] = {"rowsperstrip": 11} if tile is None else {"tile": tile}
        if predictor > 1:
            options["predictor"] = predictor
        values = np.moveaxis(stored, -1, 0) if planar == "separate" else stored
        data = written(
            values, photometric="rgb", planarconfig=planar, byteorder=order, bigtiff=big, compression=compression,
            **options,
        )  # fmt: skip
        close(decoded(data), expected)


@pytest.mark.parametrize(("kind", "bits"), [*KINDS, ("u", 1), ("u", 4), ("u", 10), ("u", 12)])
def test_grey_and_its_negative(kind: str, bits: int) -> None:
    values = (GREY > 0.5).astype(float) if bits == 1 else GREY
    low, high = (values.min(), values.max()) if bits == 32 and kind != "f" else (0, 1)
    for photometric, meant in (("minisblack", values), ("miniswhite", 1 - values)):
        stored = numbers(meant, kind, bits)
        if bits in (4, 10, 12):  # packed, each row from a byte on
            ones = (stored[..., None] >> np.arange(bits)[::-1] & 1).astype(np.uint8).reshape(H, -1)
            one = page(stored, 1 if photometric == "minisblack" else 0, tags={258: (3, [bits])})
            one.strips = [np.packbits(ones, axis=1).tobytes()]
            data = tiff(one)
        else:
            data = written(stored.astype(bool) if bits == 1 else stored, photometric=photometric)
        most = 2**bits - 1
        steps = np.rint(meant * most) / most if kind == "u" and bits < 16 else meant
        shown = 1 - steps if photometric == "miniswhite" else steps
        if low > 0:  # the range of the negative is another
            shown = (values - low) / (high - low)
        close(decoded(data), shown)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("extra", ["unassalpha", "assocalpha", "unspecified"])
def test_alpha_shows_white(bits: int, planar: str, extra: str) -> None:
    colors = RGB * ALPHA[..., None] if extra == "assocalpha" else RGB
    stored = numbers(np.concatenate([colors, ALPHA[..., None]], axis=-1), "u", bits)
    values = np.moveaxis(stored, -1, 0) if planar == "separate" else stored
    data = written(values, photometric="rgb", planarconfig=planar, extrasamples=[extra])
    expected = RGB if extra == "unspecified" else RGB * ALPHA[..., None] + 1 - ALPHA[..., None]
    close(decoded(data), expected, 2)


def test_alpha_of_grey_and_of_rgba_that_does_not_say_so() -> None:
    grey = numbers(np.stack([GREY, ALPHA], axis=-1), "u", 16)
    close(decoded(written(grey, photometric="minisblack", extrasamples=["unassalpha"])), GREY * ALPHA + 1 - ALPHA, 2)
    rgba = numbers(np.concatenate([RGB, ALPHA[..., None]], axis=-1), "u", 8)
    close(decoded(tiff(page(rgba, 2))), RGB * ALPHA[..., None] + 1 - ALPHA[..., None], 2)


def test_alpha_plane_that_is_missing_where_nobody_needs_it() -> None:
    plane = numbers(GREY, "u", 8)
    one = page(plane, 1, tags={258: (3, [8, 8]), 277: (3, [2]), 284: (3, [2]), 338: (3, [0]), 339: (3, [1, 1])})
    one.strips = [plane.tobytes(), b""]
    close(decoded(tiff(one)), GREY)


@pytest.mark.parametrize("bits", [16, 32, 64])
@pytest.mark.parametrize("samples", [1, 3])
def test_floats_as_differences_of_their_bytes(bits: int, samples: int) -> None:
    """Predictor 3, as Adobe's technical note has it: of each row first all highest bytes, then the next."""
    values = (RGB if samples == 3 else GREY[..., None]).astype(f">f{bits // 8}")
    rows = values.view(np.uint8).reshape(H, W * samples, -1)
    flat = np.swapaxes(rows, 1, 2).reshape(H, -1)
    flat[:, samples:] -= flat[:, :-samples].copy()
    one = page(values, 2 if samples == 3 else 1, tags={259: (3, [8]), 317: (3, [3])})
    one.strips = [zlib.compress(flat.tobytes())]
    close(decoded(tiff(one)), RGB if samples == 3 else GREY)
    if (bits, samples) == (32, 1):
        image = Image.fromarray(GREY.astype(np.float32))
        close(decoded(encode(image, "TIFF", compression="tiff_adobe_deflate", tiffinfo={317: 3})), GREY)


def test_cmyk_is_not_inverted() -> None:
    inks = np.concatenate([1 - RGB, np.full((H, W, 1), 0.2)], axis=-1)
    for bits, planar in itertools.product((8, 16), ("contig", "separate")):
        stored = numbers(inks, "u", bits)
        values = np.moveaxis(stored, -1, 0) if planar == "separate" else stored
        close(decoded(written(values, photometric="separated", planarconfig=planar)), RGB * 0.8, 2)
    with pytest.raises(ImageError, match="photometric"):
        decoded(tiff(page(numbers(inks, "u", 8), 5, tags={332: (3, [2])})))  # other inks than CMYK


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_palette(bits: int) -> None:
    entries = 1 << bits
    random = np.random.default_rng(0)
    palette = random.integers(0, 65536, (3, entries)).astype(np.uint16)
    index: np.ndarray = random.integers(0, entries, (H, W // 2 * 2)).astype(np.uint8 if bits <= 8 else np.uint16)
    packed = index if bits != 4 else index[:, ::2] * np.uint8(16) + index[:, 1::2]
    one = page(packed, 3, tags={320: (3, palette.ravel().tolist()), 256: (4, [index.shape[1]]), 258: (3, [bits])})
    got = decoded(tiff(one))
    np.testing.assert_array_equal(got, (palette >> 8).T[index])
    old = page(
        packed, 3, tags={320: (3, (palette >> 8).ravel().tolist()), 256: (4, [index.shape[1]]), 258: (3, [bits])}
    )
    np.testing.assert_array_equal(decoded(tiff(old)), (palette >> 8).T[index])
    with pytest.raises(TiffError, match="palette"):
        decoded(tiff(page(packed, 3, tags={320: (3, [1, 2, 3]), 258: (3, [bits])})))


@pytest.mark.parametrize("bits", [8, 16])
def test_lab_looks_as_scikit_image_has_it(bits: int) -> None:
    color = pytest.importorskip("skimage.color")
    muted = 0.25 + RGB / 2  # within what all of the conversions reach
    lab = color.rgb2lab(muted)
    scale = 1 if bits == 8 else 256
    lightness = np.rint(lab[..., :1] * (2**bits - 1) / 100)
    shades = np.rint(lab[..., 1:] * scale)
    for photometric, offset in ((8, 0), (9, 128 * scale)):
        values = np.concatenate([lightness, shades + offset], axis=-1).astype(np.int32).astype(f"u{bits // 8}")
        image = open_tiff(tiff(page(values, photometric))).decode()
        assert image.mode == "LAB"
        got = np.asarray(image.convert("RGB")).astype(int)
        assert np.abs(got - 255 * muted).mean() < 3


def test_bits_from_the_other_end() -> None:
    values = numbers(GREY, "u", 8)
    turned = np.packbits(np.unpackbits(values), bitorder="little").reshape(values.shape)
    close(decoded(tiff(page(turned, 1, tags={266: (3, [2])}))), GREY)
    stream = zlib.compress(values.tobytes())
    packed = np.packbits(np.unpackbits(np.frombuffer(stream, np.uint8)), bitorder="little").tobytes()
    one = page(values, 1, tags={266: (3, [2]), 259: (3, [8])})
    one.strips = [packed]
    close(decoded(tiff(one)), GREY)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate", "zstd", "lzma"])
def test_what_pillow_packs(compression: str) -> None:
    image = picture()
    for options in ({}, {"tiffinfo": {317: 2}}) if compression != "packbits" else ({},):
        data = encode(image, "TIFF", compression=compression, **options)
        np.testing.assert_array_equal(decoded(data), np.asarray(image))


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
def test_fax_black_on_white(compression: str) -> None:
    values = (GREY > 0.5).astype(np.uint8) * 255
    image = Image.fromarray(values).convert("1", dither=Image.Dither.NONE)
    for photometric in (0, 1):
        data = encode(image, "TIFF", compression=compression, tiffinfo={262: photometric})
        assert open_tiff(data).page.number(262, 9) == photometric
        got = np.asarray(open_tiff(data).decode().convert("L"))
        np.testing.assert_array_equal(got, np.asarray(Image.open(io.BytesIO(data)).convert("L")))
        np.testing.assert_array_equal(got, values)


@pytest.mark.parametrize("mode", ["RGB", "L", "YCbCr", "CMYK"])
def test_jpeg_inside(mode: str) -> None:
    image = picture().convert(mode)
    data = encode(image, "TIFF", compression="jpeg", quality=95)
    got = np.asarray(open_tiff(data).decode().convert("RGB")).astype(int)
    assert np.abs(got - np.asarray(image.convert("RGB")).astype(int)).mean() < 3


def test_what_cannot_be_read_says_so() -> None:
    values = numbers(RGB, "u", 8)
    for tags, reason in (
        ({339: (3, [1, 3, 1])}, "different kinds"),
        ({339: (3, [5, 5, 5])}, "complex"),
        ({258: (3, [5, 6, 5])}, "different kinds"),
        ({258: (3, [24] * 3)}, "24 bits"),
        ({259: (3, [34712])}, "compression 34712"),
        ({259: (3, [7]), 284: (3, [2])}, "compression 7"),
        ({262: (3, [10])}, "photometric meaning 10"),
        ({259: (3, [8]), 317: (3, [3])}, "predictor 3"),
    ):
        with pytest.raises(ImageError, match=reason) as caught:
            decoded(tiff(page(values, 2, tags=tags)))
        assert caught.value.reason == "unsupported"


def test_what_contradicts_itself_is_no_picture() -> None:
    values = numbers(RGB, "u", 8)
    for one in (
        page(values, 2, tags={277: (3, [2])}),
        page(values, 2, tags={256: (4, [0])}),
        page(values, 2, tags={278: (4, [10])}),
        page(values, 2, tags={257: (4, [10**6])}),
    ):
        with pytest.raises(TiffError):
            decoded(tiff(one)[: len(values.tobytes()) + 300])
    several = page(values, 2, tags={278: (4, [2**31 + 1])})
    several.strips = [values.tobytes()[: values.nbytes // 2]] * 2
    with pytest.raises(TiffError, match="more strips"):
        decoded(tiff(several))


def test_a_picture_of_many_bands_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples_module, "_BAND", 300)
    monkeypatch.setattr(samples_module, "_NUMBERS", 500)
    for planar, tile in itertools.product(("contig", "separate"), (None, (16, 16))):
        stored = numbers(RGB, "u", 16)
        values = np.moveaxis(stored, -1, 0) if planar == "separate" else stored
        options: dict[str, Any] = {"rowsperstrip": 3} if tile is None else {"tile": tile}
        data = written(values, photometric="rgb", planarconfig=planar, compression="zlib", predictor=2, **options)
        close(decoded(data), RGB)


def test_a_strip_larger_than_pillow_lets_pictures_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", W * H)  # a row has eight bytes a number
    close(decoded(written(numbers(GREY, "f", 64), photometric="minisblack", compression="zlib")), GREY)
    del tmp_path
