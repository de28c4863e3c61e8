import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from odd_files import encode, exif, picture, png_chunk, stored
from PIL import Image, ImageCms
from sklearn.datasets import load_sample_image
from tiffs import page, tiff

from c2srt_cli.images import FITS, PixelSpec, load_pixels, profile

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def s15(value: float) -> bytes:
    return round(value * 65536).to_bytes(4, "big", signed=True)


def icc(space: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr") -> bytes:
    """A version 2 profile by hand."""
    tags = {b"desc": b"desc" + bytes(4) + (5).to_bytes(4, "big") + b"test\0" + bytes(78), b"wtpt": xyz(*D50), **tags}
    place = 128 + 4 + 12 * len(tags)
    table, body = len(tags).to_bytes(4, "big"), b""
    for name, content in tags.items():
        table += name + (place + len(body)).to_bytes(4, "big") + len(content).to_bytes(4, "big")
        body += content + bytes(-len(content) % 4)
    head = (
        (place + len(body)).to_bytes(4, "big") + bytes(4) + b"\2\x40\0\0" + kind + space + b"XYZ " + bytes(12) + b"acsp"
    )
    head += bytes(28) + b"".join(map(s15, D50)) + bytes(48)
    return head + table + body


D50 = (0.9642, 1.0, 0.8249)
#: Columns of the colour spaces' primaries, adapted to D50 (Lindbloom).
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
PROPHOTO = ((0.79775, 0.28804, 0.0), (0.13518, 0.71188, 0.0), (0.03134, 0.00009, 0.82521))
BACK = np.array(
    [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540], [0.0719453, -0.2289914, 1.4052427]]
)


def xyz(x: float, y: float, z: float) -> bytes:
    return b"XYZ " + bytes(4) + s15(x) + s15(y) + s15(z)


def curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + (1).to_bytes(4, "big") + round(gamma * 256).to_bytes(2, "big")


def rgb_profile(columns: tuple[tuple[float, float, float], ...], gamma: float, **more: Any) -> bytes:
    tags = {f"{c}XYZ".encode(): xyz(*column) for c, column in zip("rgb", columns, strict=True)}
    return icc(b"RGB ", tags | {f"{c}TRC".encode(): curve(gamma) for c in "rgb"}, **more)


def in_srgb(numbers: np.ndarray, columns: tuple[tuple[float, float, float], ...], gamma: float) -> np.ndarray:
    """By the book: curve, primaries, sRGB's inverse matrix and curve, clipped."""
    light = (numbers / 255) ** (round(gamma * 256) / 256) @ np.array(columns) @ BACK.T
    light = np.clip(light, 0, 1)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(255 * encoded)


def square(path: Path, data: bytes, side: int = 64, **spec: Any) -> np.ndarray:
    path.write_bytes(data)
    return load_pixels(path, PixelSpec(side, **{"draft": False, "icc": True, **spec})).array


@pytest.fixture(scope="module")
def colors() -> Image.Image:
    """A square of colours that no space clips."""
    return Image.fromarray(np.asarray(picture().resize((64, 64))) // 2 + 50)


@pytest.mark.parametrize(("columns", "gamma"), [(ADOBE, 2.2), (PROPHOTO, 1.8)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF"])
def test_rgb_by_the_book(tmp_path: Path, colors: Image.Image, kind: str, columns: Any, gamma: float) -> None:
    made = rgb_profile(columns, gamma)
    options: dict[str, Any] = {"quality": 100} if kind in ("JPEG", "AVIF") else {"lossless": True}
    if kind in ("JPEG", "AVIF"):
        options["subsampling"] = "4:4:4"
    data = encode(colors, kind, icc_profile=made, **options)
    with Image.open(io.BytesIO(data)) as image:
        numbers = np.asarray(image.convert("RGB"))
    expected = in_srgb(numbers, columns, gamma)
    got = square(tmp_path / "a", data)
    assert np.abs(got - expected).max() <= 2.5
    assert np.abs(numbers - expected).mean() > 5  # it does make a difference
    plain = square(tmp_path / "a", data, icc=False)
    np.testing.assert_array_equal(plain, numbers)


def test_pictures_without_a_profile_or_in_srgb_stay_to_the_pixel(tmp_path: Path, colors: Image.Image) -> None:
    wrong = rgb_profile(ADOBE, 2.2)
    grey = icc(b"GRAY", {b"kTRC": curve(1.0)})
    for made in (
        None,
        SRGB,
        b"no profile at all",
        wrong[:200],
        grey,  # of another space
        rgb_profile(ADOBE, 2.2, kind=b"link"),
        wrong + bytes(5_000_000),
    ):
        data = encode(colors, "TIFF", **({} if made is None else {"icc_profile": made}))
        np.testing.assert_array_equal(square(tmp_path / "a.tif", data), np.asarray(colors))


def test_grey_cmyk_and_lab_profiles(tmp_path: Path) -> None:
    ramp = Image.linear_gradient("L").resize((64, 64))
    lighter = icc(b"GRAY", {b"kTRC": curve(1.5)})
    for kind in ("PNG", "JPEG", "TIFF"):
        data = encode(ramp, kind, icc_profile=lighter, **({"quality": 100} if kind == "JPEG" else {}))
        with Image.open(io.BytesIO(data)) as image:
            values = np.asarray(image) / 255
        light = values**1.5
        expected = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
        got = square(tmp_path / "a", data)
        assert np.abs(got - expected[..., None]).max() <= 2
    deep = page((np.asarray(ramp).astype(np.uint16) * 257), 1, tags={34675: lighter})
    assert np.abs(square(tmp_path / "a", tiff(deep)).astype(int) - got.astype(int)).max() <= 2
    # a profile of the picture's numbers that are no RGB is taken before the picture is made small
    paper = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    lab = picture().resize((64, 64)).convert("LAB")
    data = encode(lab, "TIFF", icc_profile=paper)
    got = square(tmp_path / "a", data)
    assert np.abs(got.astype(int) - np.asarray(lab.convert("RGB")).astype(int)).mean() < 3


@pytest.mark.parametrize("how", FITS)
def test_converted_small_looks_as_converted_large(tmp_path: Path, how: str) -> None:
    """The conversion comes after the resize, where there are 30 times fewer pixels; by the book it comes before."""
    photograph = Image.fromarray(load_sample_image("china.jpg"))
    made = rgb_profile(ADOBE, 2.2)
    before = ImageCms.profileToProfile(
        photograph, ImageCms.ImageCmsProfile(io.BytesIO(made)), ImageCms.createProfile("sRGB")
    )
    assert before is not None
    small = square(tmp_path / "a", encode(photograph, "PNG", icc_profile=made), 224, fit=how, fill=37)
    large = square(tmp_path / "a", encode(before, "PNG"), 224, fit=how, fill=37)
    assert np.abs(small.astype(int) - large.astype(int)).mean() < 1
    if how == "pad":
        assert (small[:5] == 37).all()  # what is filled up keeps its colour


def test_turned_drafted_and_transparent_pictures_are_converted_too(tmp_path: Path) -> None:
    made = rgb_profile(PROPHOTO, 1.8)
    upright = square(tmp_path / "a", encode(picture(), "PNG", icc_profile=made))
    for orientation in (3, 6):
        turned = encode(stored(orientation), "PNG", icc_profile=made, exif=exif(orientation))
        assert np.abs(square(tmp_path / "a", turned).astype(int) - upright).max() <= 2
    large = picture().resize((960, 640))
    data = encode(large, "JPEG", quality=95, icc_profile=made)
    assert np.abs(square(tmp_path / "a", data, draft=True).astype(int) - upright).mean() < 3
    clear = Image.merge("RGBA", (*picture().split(), Image.new("L", (96, 64), 0)))
    assert (square(tmp_path / "a", encode(clear, "PNG", icc_profile=made)) == 255).all()


def test_gamma_of_a_png_without_profile(tmp_path: Path) -> None:
    image = picture().resize((64, 64))
    plain = encode(image, "PNG")

    def with_gamma(gamma: float, *more: bytes) -> np.ndarray:
        chunk = png_chunk(b"gAMA", round(gamma * 100_000).to_bytes(4, "big"))
        return square(tmp_path / "a", plain[:33] + chunk + b"".join(more) + plain[33:])

    np.testing.assert_array_equal(with_gamma(0.45455), np.asarray(image))
    expected = 255 * (np.asarray(image) / 255) ** (1 / 2.2)
    assert np.abs(with_gamma(1.0) - expected).max() <= 1
    np.testing.assert_array_equal(with_gamma(1.0, png_chunk(b"sRGB", b"\0")), np.asarray(image))
    np.testing.assert_array_equal(with_gamma(0.0), np.asarray(image))


def test_a_transform_is_made_once_and_serves_all_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode(picture(), "PNG", icc_profile=rgb_profile(PROPHOTO, 1.5)))
    profile._transform.cache_clear()
    once = load_pixels(path, PixelSpec(64, icc=True)).array
    with monkeypatch.context() as patched, ThreadPoolExecutor(8) as pool:
        patched.setattr(ImageCms, "buildTransform", lambda *_: pytest.fail("made again"))
        for array in pool.map(lambda _: load_pixels(path, PixelSpec(64, icc=True)).array, range(40)):
            np.testing.assert_array_equal(array, once)
