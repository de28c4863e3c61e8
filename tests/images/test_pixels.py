import hashlib
import io
import os
import random
import subprocess
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from odd_files import encode, exif, flat_jpeg, jpeg_segment, make_odd_files, picture, png, png16, stored
from open_clip.transform import image_transform
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_image

from c2srt_cli.errors import ImageError, UsageError
from c2srt_cli.images import FITS, MAX_BYTES, MAX_PIXELS, Pixels, PixelSpec, bounds, fit, load_pixels, pixels
from c2srt_cli.images.pillow import PILLOW

RESIZE_MODES = {"crop": "shortest", "squash": "squash", "pad": "longest"}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str | None]]]:
    folder = tmp_path_factory.mktemp("odd")
    yield folder, {name: reason for name, reason in make_odd_files(folder).items() if reason != "bad-name"}


def outcome(path: Path, spec: PixelSpec) -> Pixels | str:
    try:
        return load_pixels(path, spec)
    except ImageError as error:
        assert "\n" not in error.detail and error.detail
        return error.reason


def open_clip_pixels(image: Image.Image, spec: PixelSpec) -> np.ndarray:
    """What open_clip's own transform makes, as (S, S, 3) uint8."""
    transform = image_transform(
        spec.size,
        is_train=False,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        resize_mode=RESIZE_MODES[spec.fit],
        interpolation=spec.interpolation,
        fill_color=spec.fill,
    )
    tensor: torch.Tensor = transform(image)
    array: np.ndarray = np.rint(tensor.permute(1, 2, 0).numpy() * 255).astype(np.uint8)  # (S, S, 3)
    return array


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.abs(one.astype(int) - other.astype(int))
    return result


def exact(tmp_path: Path, data: bytes, side: int) -> np.ndarray:
    """The pixels of a square picture of this side, which no fit changes."""
    path = tmp_path / "square"
    path.write_bytes(data)
    return load_pixels(path, PixelSpec(side, draft=False)).array


# --- fit -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "random"])
@pytest.mark.parametrize("how", FITS)
def test_fit_equals_open_clip_to_the_pixel(tmp_path: Path, how: str, interpolation: str) -> None:
    sizes = [(64, 48), (48, 64), (32, 32), (32, 51), (51, 32), (33, 34), (101, 67), (67, 101), (97, 96), (5, 7), (7, 5)]
    sizes += [(1, 1), (2, 1), (601, 20), (20, 601), (640, 427), (427, 641)]
    for seed, (width, height) in enumerate(sizes):
        image = noise(width, height, seed)
        (tmp_path / "a.png").write_bytes(encode(image, "PNG", compress_level=0))
        for size in (32, 37):
            spec = PixelSpec(size, how, interpolation, fill=seed)
            got = load_pixels(tmp_path / "a.png", spec)
            assert (got.width, got.height) == (width, height)
            assert got.array.dtype == np.uint8 and got.array.shape == (size, size, 3)
            np.testing.assert_array_equal(got.array, open_clip_pixels(image, spec), err_msg=f"{width}x{height} {spec}")


@pytest.mark.parametrize("how", FITS)
def test_undrafted_jpeg_photograph_equals_open_clip(tmp_path: Path, how: str) -> None:
    path = tmp_path / "china.jpg"
    Image.fromarray(load_sample_image("china.jpg")).save(path, quality=90)
    for size in (224, 336):
        spec = PixelSpec(size, how, draft=False)
        np.testing.assert_array_equal(load_pixels(path, spec).array, open_clip_pixels(Image.open(path), spec))


def test_pad_keeps_a_row_where_open_clip_fails(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(Image.new("RGB", (300, 3), "red"), "PNG"))
    array = load_pixels(tmp_path / "a.png", PixelSpec(32, "pad", fill=7)).array
    assert (array[15] == (255, 0, 0)).all()
    assert (np.delete(array, 15, axis=0) == 7).all()


def test_extreme_shapes_are_cut_out_without_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for size in ((900, 20), (20, 900), (301, 7), (7, 300), (640, 427), (427, 640)):
        (tmp_path / "a.png").write_bytes(encode(noise(*size), "PNG"))
        whole = load_pixels(tmp_path / "a.png", PixelSpec(48)).array
        with monkeypatch.context() as patched:
            patched.setattr(fit, "_MOST_SCALED", 0)
            window = load_pixels(tmp_path / "a.png", PixelSpec(48)).array
        # in a tall picture Pillow's two passes change places, and noise overshoots differently between them
        assert difference(whole, window).max() <= (1 if size[0] > size[1] else 25)
        assert difference(whole, window).mean() < 0.5
    image = noise(5000, 3)
    (tmp_path / "a.png").write_bytes(encode(image, "PNG"))
    got = load_pixels(tmp_path / "a.png", PixelSpec(224)).array
    assert difference(got, open_clip_pixels(image, PixelSpec(224))).max() <= 2


def test_spec_refuses_what_open_clip_does_not_know() -> None:
    bad: list[dict[str, Any]] = [
        {"size": 0},
        {"size": 32, "fit": "shortest"},
        {"size": 32, "interpolation": "lanczos"},
        {"size": 32, "fill": 256},
    ]
    for options in bad:
        with pytest.raises(UsageError):
            PixelSpec(**options)


# --- draft and orientation -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photograph() -> Image.Image:
    return Image.fromarray(load_sample_image("china.jpg")).resize((1601, 1067), Image.Resampling.LANCZOS)


@pytest.mark.parametrize("how", FITS)
def test_draft_is_close_to_full_decoding(
    tmp_path: Path, photograph: Image.Image, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "photograph.jpg"
    decoded = []
    whole_fit = fit.fit_square

    def watched(image: Image.Image, *rest: Any) -> Image.Image:
        decoded.append(image.size)
        return whole_fit(image, *rest)

    monkeypatch.setattr(pixels, "fit_square", watched)
    for mode, progressive in (("RGB", False), ("RGB", True), ("L", False), ("CMYK", False)):
        photograph.convert(mode).save(path, quality=90, progressive=progressive)
        for size, scale in ((32, 8), (100, 8 if how == "pad" else 4), (224, 2), (266, 2), (600, 1)):
            full = load_pixels(path, PixelSpec(size, how, draft=False))
            fast = load_pixels(path, PixelSpec(size, how))
            assert decoded[-2:] == [(1601, 1067), (-(-1601 // scale), -(-1067 // scale))]
            short, long = min(decoded[-1]), max(decoded[-1])
            assert scale == 1 or (long if how == "pad" else short) >= 2 * size
            assert (fast.width, fast.height, fast.sha256) == (full.width, full.height, full.sha256)
            assert difference(fast.array, full.array).mean() <= (1.5 if scale > 1 else 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_honoured_everywhere(tmp_path: Path, orientation: int) -> None:
    upright = np.asarray(picture().resize((64, 64), box=(16, 0, 80, 64)))
    for kind, options in (
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
    ):
        path = tmp_path / "turned"
        path.write_bytes(encode(stored(orientation), kind, exif=exif(orientation), **options))
        got = load_pixels(path, PixelSpec(64))
        assert (got.width, got.height) == (96, 64)
        np.testing.assert_array_equal(got.array, upright)
    for kind in ("JPEG", "AVIF"):
        path.write_bytes(encode(stored(orientation), kind, quality=95, exif=exif(orientation)))
        got = load_pixels(path, PixelSpec(64))
        assert (got.width, got.height) == (96, 64)
        assert difference(got.array, upright).mean() < 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_drafted_picture_is_cut_at_the_same_place_however_it_is_turned(
    tmp_path: Path, photograph: Image.Image, orientation: int
) -> None:
    """1601 x 1067 leaves a fraction of a column and of a row at 1/8, on a side that depends on the orientation."""
    path = tmp_path / "turned.jpg"
    photograph.save(path, quality=95, exif=exif(orientation))
    for how in FITS:
        full = load_pixels(path, PixelSpec(64, how, draft=False))
        fast = load_pixels(path, PixelSpec(64, how))
        assert (fast.width, fast.height) == ((1601, 1067) if orientation < 5 else (1067, 1601))
        assert difference(fast.array, full.array).mean() < 1


# --- modes -----------------------------------------------------------------------------------------------------------


def square(mode: str) -> Image.Image:
    return noise(16, 16).convert(mode)


def on_white(color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    weight = alpha[..., None] / 255
    return np.asarray(color * weight + 255 * (1 - weight))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_alpha_shows_white(tmp_path: Path, kind: str) -> None:
    alpha = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = square("RGB")
    data = encode(Image.merge("RGBA", (*image.split(), Image.fromarray(alpha))), kind, lossless=True, exact=True)
    assert np.abs(exact(tmp_path, data, 16) - on_white(np.asarray(image), alpha)).max() <= 1


def test_grey_with_alpha_shows_white(tmp_path: Path) -> None:
    alpha = np.arange(256, dtype=np.uint8).reshape(16, 16)
    grey = square("L")
    data = encode(Image.merge("LA", (grey, Image.fromarray(alpha))), "PNG")
    expected = on_white(np.repeat(np.asarray(grey)[..., None], 3, axis=2), alpha)
    assert np.abs(exact(tmp_path, data, 16) - expected).max() <= 1
    clear = encode(Image.new("RGBA", (16, 16), (0, 0, 0, 0)), "PNG")
    assert (exact(tmp_path, clear, 16) == 255).all()


def test_one_transparent_color_shows_white(tmp_path: Path) -> None:
    values = np.full((16, 16), 40, dtype=np.uint8)
    values[3:7] = 200
    expected = np.repeat(np.where(values == 200, 255, values)[..., None], 3, axis=2)
    image = Image.fromarray(values)
    np.testing.assert_array_equal(exact(tmp_path, encode(image, "PNG", transparency=200), 16), expected)
    rgb = encode(image.convert("RGB"), "PNG", transparency=(200, 200, 200))
    np.testing.assert_array_equal(exact(tmp_path, rgb, 16), expected)
    np.testing.assert_array_equal(exact(tmp_path, encode(image, "GIF", transparency=200), 16), expected)
    deep = b"".join(b"\0" + (row.astype(np.uint32) * 257).astype(">u2").tobytes() for row in values)
    data = png(16, 16, 16, 0, deep, (b"tRNS", (200 * 257).to_bytes(2, "big")))
    np.testing.assert_array_equal(exact(tmp_path, data, 16), expected)


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    image = square("RGB").quantize(16)
    index, colors = np.asarray(image), np.array(image.getpalette(), dtype=np.uint8).reshape(-1, 3)
    np.testing.assert_array_equal(exact(tmp_path, encode(image, "PNG"), 16), colors[index])
    np.testing.assert_array_equal(exact(tmp_path, encode(image, "BMP"), 16), colors[index])
    one = np.where((index == 4)[..., None], 255, colors[index])
    np.testing.assert_array_equal(exact(tmp_path, encode(image, "PNG", transparency=4), 16), one)
    alphas = np.arange(0, 256, 16, dtype=np.uint8)
    got = exact(tmp_path, encode(image, "PNG", transparency=alphas.tobytes()), 16)
    assert np.abs(got - on_white(colors[index], alphas[index])).max() <= 1


def test_one_bit(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 2, (16, 16), dtype=np.uint8) * 255
    image = Image.fromarray(values).convert("1", dither=Image.Dither.NONE)
    for data in (encode(image, "PNG"), encode(image, "BMP"), encode(image, "TIFF", compression="group4")):
        np.testing.assert_array_equal(exact(tmp_path, data, 16)[..., 1], values)


@pytest.mark.parametrize(("color", "channels"), [(0, 1), (2, 3), (6, 4)])
def test_sixteen_bit_png_is_scaled_not_clipped(tmp_path: Path, color: int, channels: int) -> None:
    path = tmp_path / "deep.png"
    path.write_bytes(png16(color, channels))
    expected = picture().convert("L").convert("RGB") if channels == 1 else picture()
    got = load_pixels(path, PixelSpec(64)).array
    np.testing.assert_array_equal(got, np.asarray(expected)[:, 16:80])


def test_deep_grey_is_scaled_by_its_depth_or_range(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (16, 16))
    rounded = np.floor(values / 257 + 0.5).astype(np.uint8)

    def grey(array: np.ndarray, kind: str = "TIFF") -> np.ndarray:
        got = exact(tmp_path, encode(Image.fromarray(array), kind), 16)
        assert (got == got[..., :1]).all()
        return got[..., 0]

    np.testing.assert_array_equal(grey(values.astype(np.uint16)), rounded)
    np.testing.assert_array_equal(grey(values.astype(np.uint16), "PNG"), rounded)
    np.testing.assert_array_equal(grey(values.astype(">u2")), rounded)
    np.testing.assert_array_equal(grey(values.astype(np.int32)), rounded)
    np.testing.assert_array_equal(grey(values.astype(np.float32)), rounded)
    # dark pictures of a stated depth stay dark
    np.testing.assert_array_equal(grey(np.full((16, 16), 255, dtype=np.uint16)), 1)
    eight = (values // 256).astype(np.uint8)
    np.testing.assert_array_equal(grey(eight.astype(np.float32) / 255), eight)
    np.testing.assert_array_equal(grey(eight.astype(np.float32)), eight)
    np.testing.assert_array_equal(grey(eight.astype(np.int32)), eight)
    span = np.linspace(-3000, 90_000, 256, dtype=np.float32).reshape(16, 16)
    np.testing.assert_array_equal(grey(span), np.arange(256).reshape(16, 16))
    span[0, 0], span[-1, -1], span[8, 0] = -np.inf, np.inf, np.nan
    got = grey(span)
    assert (got[0, 0], got[-1, -1], got[8, 0]) == (0, 255, 0)
    np.testing.assert_array_equal(grey(np.full((16, 16), -5, dtype=np.float32)), 0)


def test_cmyk_is_not_inverted(tmp_path: Path, odd: tuple[Path, dict[str, str | None]]) -> None:
    ink = np.array([10, 200, 90, 60])
    flat = Image.new("CMYK", (16, 16), tuple(ink.tolist()))
    expected = (255 - ink[:3]) * (255 - ink[3]) / 255
    for data in (encode(flat, "JPEG", quality=100), encode(flat, "TIFF")):
        assert np.abs(exact(tmp_path, data, 16) - expected).max() <= 2
    upright = np.asarray(picture())[:, 16:80]
    for name in ("cmyk-adobe.jpg", "cmyk-no-marker.jpg", "cmyk.tif"):
        assert difference(load_pixels(odd[0] / name, PixelSpec(64)).array, upright).mean() < 3


def test_every_plain_variant_shows_the_picture(odd: tuple[Path, dict[str, str | None]]) -> None:
    names = """exif-corrupt.jpg exif-text.jpg exif-9.jpg progressive.jpg restart-markers.jpg icc.jpg icc-corrupt.jpg
        trailing-garbage.jpg phone.mpo.jpg jpeg-called.png png-called.jpg animated.png animated.webp animated.gif
        pages.tiff lzw.tif ycbcr.tif lab.tif plain.tif plain.bmp plain.webp plain.avif rgba.webp icc-corrupt.png
        trailing-garbage.png exif-6.png exif-6.tif exif-8.webp exif-too-long.jpg palette.png link.jpg"""
    upright = np.asarray(picture())[:, 16:80]
    for name in names.split():
        got = load_pixels(odd[0] / name, PixelSpec(64))
        tolerance = 12 if name in ("animated.gif", "palette.png") else 3
        assert difference(got.array, upright).mean() < tolerance, name


# --- failures --------------------------------------------------------------------------------------------------------


def test_odd_files_load_or_say_why(odd: tuple[Path, dict[str, str | None]], capfd: pytest.CaptureFixture[str]) -> None:
    folder, expected = odd
    assert len(expected) >= 100
    outcomes = {name: outcome(folder / name, PixelSpec(64)) for name in expected}
    got = {name: None if isinstance(value, Pixels) else value for name, value in outcomes.items()}
    assert got == expected
    assert capfd.readouterr() == ("", "")


def test_odd_files_from_threads_are_the_same(odd: tuple[Path, dict[str, str | None]]) -> None:
    folder, expected = odd
    paths = [folder / name for name in expected if name not in ("wide.jpg", "tall.png")] * 3
    serial = [outcome(path, PixelSpec(32)) for path in paths[: len(paths) // 3]] * 3
    with ThreadPoolExecutor(8) as pool:
        parallel = list(pool.map(lambda path: outcome(path, PixelSpec(32)), paths))
    for one, other in zip(serial, parallel, strict=True):
        if isinstance(one, Pixels):
            assert isinstance(other, Pixels)
            np.testing.assert_array_equal(one.array, other.array)
            assert one.sha256 == other.sha256
        else:
            assert one == other


def test_originals_are_only_read(tmp_path: Path) -> None:
    expected = make_odd_files(tmp_path)
    names = [name for name in expected if (tmp_path / name).is_file()]
    before = {name: ((tmp_path / name).stat().st_mtime_ns, (tmp_path / name).read_bytes()) for name in names}
    entries = sorted(tmp_path.iterdir())
    for name in names:
        outcome(tmp_path / name, PixelSpec(32))
    assert {name: ((tmp_path / name).stat().st_mtime_ns, (tmp_path / name).read_bytes()) for name in names} == before
    assert sorted(tmp_path.iterdir()) == entries


def test_facts_of_the_file(tmp_path: Path) -> None:
    data = encode(picture(), "JPEG")
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    os.utime(path, ns=(5, 123_456_789_012))
    got = load_pixels(path, PixelSpec(32))
    assert (got.sha256, got.size, got.mtime_ns) == (hashlib.sha256(data).hexdigest(), len(data), 123_456_789_012)
    assert got.array.flags.writeable and got.array.flags.c_contiguous


def test_failures_of_the_file_system(tmp_path: Path) -> None:
    spec = PixelSpec(32)
    assert outcome(tmp_path / "gone.jpg", spec) == "missing"
    (tmp_path / "file").write_bytes(b"x")
    assert outcome(tmp_path / "file" / "below.jpg", spec) == "missing"
    assert outcome(tmp_path, spec) == "unreadable"
    assert outcome(tmp_path / ("x" * 300), spec) == "unreadable"
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.write(b"\xff\xd8\xff")
        file.truncate(MAX_BYTES + 1)
    assert outcome(tmp_path / "huge.jpg", spec) == "too-large"


def test_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "locked.jpg"
    path.write_bytes(encode(picture(), "JPEG"))
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # the superuser reads everything
    try:
        got = outcome(path, PixelSpec(32))
    finally:
        os.seteuid(user)
    assert got == "unreadable"


def patched_sides(side: int) -> bytes:
    """A JPEG whose header promises this many pixels, which are not there."""
    return flat_jpeg(8, 8).replace(b"\0\x08\0\x08\x01", side.to_bytes(2, "big") * 2 + b"\x01")


def test_pixel_cap_is_ours_and_pillows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jpg"
    side = int(MAX_PIXELS**0.5)
    for data, reason in ((patched_sides(side), "corrupt"), (patched_sides(side + 1), "too-large")):
        path.write_bytes(data)
        for limit in (Image.MAX_IMAGE_PIXELS, None):
            with monkeypatch.context() as patched:
                patched.setattr(Image, "MAX_IMAGE_PIXELS", limit)
                assert outcome(path, PixelSpec(32)) == reason


def test_large_flat_jpeg_is_drafted(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    path.write_bytes(flat_jpeg(14_000, 14_000))
    got = load_pixels(path, PixelSpec(224))
    assert (got.width, got.height) == (14_000, 14_000)
    assert (got.array == 128).all()


def test_pillows_warnings_are_neither_errors_nor_noise(odd: tuple[Path, dict[str, str | None]]) -> None:
    """In a fresh process under ``-W error``, and where nothing is set at all; from threads."""
    code = (
        "import sys; from pathlib import Path; from concurrent.futures import ThreadPoolExecutor\n"
        "from c2srt_cli.images import PixelSpec, load_pixels\n"
        "list(ThreadPoolExecutor(4).map(lambda name: load_pixels(Path(name), PixelSpec(32)), sys.argv[1:]))"
    )
    names = ("exif-corrupt.jpg", "exif-too-long.jpg", "exif-text.jpg", "large-120-megapixels.jpg", "palette-alphas.png")
    files = [str(odd[0] / name) for name in names]
    for options in (["-W", "error"], []):
        run = subprocess.run(
            [sys.executable, *options, "-c", code, *files], capture_output=True, text=True, check=False
        )
        assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    # the files do make Pillow warn
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Image.open(odd[0] / "exif-too-long.jpg").getexif()
    assert caught


def test_only_images_are_hushed() -> None:
    with PILLOW, pytest.warns(UserWarning, match="elsewhere"):
        warnings.warn("elsewhere", UserWarning, stacklevel=1)


def test_whatever_bytes_come_only_image_errors_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_PIXELS", 1_000_000)
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("JPEG", {"exif": exif(6)}),
        ("MPO", {"save_all": True, "append_images": [picture()]}),
        ("PNG", {"exif": exif(3)}),
        ("GIF", {}),
        ("WEBP", {"exif": exif(3)}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_deflate"}),
        ("AVIF", {}),
    ]
    chance = random.Random(0)
    path = tmp_path / "fuzz"
    outcomes = set()
    for kind, options in kinds:
        data = encode(picture().resize((40, 30)), kind, **options)
        for _ in range(60):
            damaged = bytearray(data)
            for _ in range(chance.choice((1, 4, 20))):
                place = int(len(data) ** chance.random())  # headers more often than pixels
                damaged[min(place, len(data) - 1)] = chance.choice((0, 255, chance.randrange(256)))
            path.write_bytes(damaged[: chance.choice((len(data), chance.randrange(len(data))))])
            got = outcome(path, PixelSpec(16, draft=chance.random() < 0.5))
            outcomes.add(got if isinstance(got, str) else "good")
    assert outcomes >= {"good", "corrupt", "too-large", "unsupported"}


def test_heic_without_the_extra_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(ImageError, match=r"c2srt\[heif\]") as caught:
        load_pixels(tmp_path / "a.heic", PixelSpec(32))
    assert caught.value.reason == "unsupported"


@pytest.mark.parametrize("orientation", [1, 6, 3])
def test_heic_with_the_extra_is_upright(tmp_path: Path, orientation: int) -> None:
    heif = pytest.importorskip("pillow_heif", reason="needs the extra c2srt[heif]")
    path = tmp_path / "a.heic"
    image = heif.from_pillow(stored(orientation))
    image.save(path, quality=95, exif=exif(orientation).tobytes())
    got = load_pixels(path, PixelSpec(64))
    assert (got.width, got.height) == (96, 64)
    assert difference(got.array, np.asarray(picture())[:, 16:80]).mean() < 3


def test_heic_of_several_pictures_shows_the_primary_one(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="needs the extra c2srt[heif]")
    upright = np.asarray(picture())[:, 16:80]
    for primary, expected in ((1, upright), (0, 255 - upright)):
        several = heif.HeifFile()
        several.add_from_pillow(ImageOps.invert(picture()))
        several.add_from_pillow(picture())
        several.save(tmp_path / "a.heic", quality=95, primary_index=primary)
        got = load_pixels(tmp_path / "a.heic", PixelSpec(64)).array
        assert difference(got, expected).mean() < 3


def test_heic_of_more_than_eight_bits(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="needs the extra c2srt[heif]")
    deep = np.asarray(picture()).astype(np.uint16) * 257
    heif.from_bytes(mode="RGB;16", size=(96, 64), data=deep.tobytes()).save(tmp_path / "a.heic", quality=95)
    got = load_pixels(tmp_path / "a.heic", PixelSpec(64)).array
    assert difference(got, np.asarray(picture())[:, 16:80]).mean() < 3


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
@pytest.mark.parametrize(("boxes", "said"), [(6, 8), (3, 1), (8, 6)])
def test_of_two_orientations_the_boxes_count(tmp_path: Path, kind: str, boxes: int, said: int) -> None:
    """MIAF: the rotation and mirroring of the container are applied, whatever EXIF says beside them."""
    block = exif(boxes)
    block[0x0113] = said  # an unknown tag beside that of orientation, to be renamed
    if kind == "HEIF":
        heif = pytest.importorskip("pillow_heif", reason="needs the extra c2srt[heif]")
        stream = io.BytesIO()
        heif.from_pillow(stored(boxes)).save(stream, quality=95, exif=block.tobytes())
        data = stream.getvalue()
    else:
        data = encode(stored(boxes), kind, quality=95, exif=block)
    for order in ("little", "big"):
        entry = b"".join(number.to_bytes(2, order) for number in (0x0113, 3))
        renamed = b"".join(number.to_bytes(2, order) for number in (0x0112, 3))
        assert b"irot" in data
        data = data.replace(entry, renamed)
    (tmp_path / "a").write_bytes(data)
    got = load_pixels(tmp_path / "a", PixelSpec(64))
    assert (got.width, got.height) == (96, 64)
    assert difference(got.array, np.asarray(picture())[:, 16:80]).mean() < 3


def test_decoding_is_strict_at_every_length(tmp_path: Path) -> None:
    """Of a cut file no format gives a picture, except where only bytes behind the pixels are gone."""
    image = picture().resize((32, 20))
    path = tmp_path / "cut"
    for kind, spare in (("JPEG", 0), ("PNG", 4), ("WEBP", 1), ("GIF", 2), ("BMP", 0), ("TIFF", 0), ("AVIF", 0)):
        data = encode(image, kind)
        for length in [*range(1, len(data), 29), len(data) - spare - 1]:
            path.write_bytes(data[:length])
            assert outcome(path, PixelSpec(16)) in ("corrupt", "unsupported"), (kind, length, len(data))


def test_memory_error_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: Any) -> Image.Image:
        raise MemoryError

    monkeypatch.setattr(pixels, "opaque", exhausted)
    (tmp_path / "a.png").write_bytes(encode(picture(), "PNG"))
    assert outcome(tmp_path / "a.png", PixelSpec(16)) == "too-large"


def test_jpeg_whose_scan_ends_early_is_no_grey_picture(tmp_path: Path) -> None:
    """libjpeg alone gives the missing part in mid-grey, without a word."""
    path = tmp_path / "a.jpg"
    photograph = Image.fromarray(load_sample_image("china.jpg"))
    thumbnail = jpeg_segment(0xE1, b"thumbnail" + encode(picture(), "JPEG"))
    for mode, options in (("RGB", {}), ("L", {}), ("RGB", {"restart_marker_rows": 1}), ("RGB", {"subsampling": 0})):
        data = encode(photograph.convert(mode), "JPEG", quality=90, **options)
        data = data[:2] + thumbnail + data[2:]
        for draft in (True, False):
            spec = PixelSpec(32, draft=draft)
            for share in (0.2, 0.5, 0.9):
                cut = data[: int(len(data) * share)]
                for ending in (b"\xff\xd9", b"", bytes(len(data) - len(cut))):
                    path.write_bytes(cut + ending)
                    if ending == b"\xff\xd9":
                        Image.open(path).load()
                    assert outcome(path, spec) == "corrupt"
            path.write_bytes(data)
            assert isinstance(outcome(path, spec), Pixels)


def test_grey_jpegs_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    framed = noise(61, 45)
    framed.paste((128, 128, 128), (40, 30, 61, 45))
    for image in (Image.new("L", (61, 45), 128), Image.new("RGB", (61, 45), (128, 128, 128)), framed):
        for options in ({}, {"progressive": True}, {"optimize": True}, {"restart_marker_blocks": 1}):
            path.write_bytes(encode(image, "JPEG", quality=95, **options) + b"trailing" * 99)
            for draft in (True, False):
                got = load_pixels(path, PixelSpec(8, "squash", draft=draft))
                assert difference(got.array[-1, -1], np.array(128)).max() <= 1
