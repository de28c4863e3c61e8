"""The page in a real browser, opened from its folder, driven by keys."""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from c2srt_cli.progress import Progress
from c2srt_cli.review.options import ReviewOptions
from c2srt_cli.review.review import review

sync_api = pytest.importorskip("playwright.sync_api")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium is installed: apt-get install chromium")

#: Each sets `hacked`, or asks for something, where it is taken for more than text.
ATTACKS = [
    "<script>hacked=1</script>",
    "</script><script>hacked=1</script>",
    "<img src=x onerror=hacked=1>",
    "<svg onload=hacked=1>",
    "\"'><img src=http://127.0.0.1:9/x onerror=hacked=1>",
    "javascript:hacked=1",
    "<iframe srcdoc='<script>parent.hacked=1</script>'>",
    "<style>@import 'http://127.0.0.1:9/y'</style>",
    "${hacked=1}{{hacked=1}}",
    "<!--<script>",
    "a\u2028hacked=1",
    "__proto__",
    "constructor",
    "\u202egnp.exe",
]
NAMES = [f"{attack.replace('/', '')}.png" for attack in ATTACKS]
COUNT = 60


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of photographs and labels with such names, beside the photographs."""
    folder = tmp_path_factory.mktemp("a b#%41<")
    rng, rows, why = np.random.default_rng(0), [], []
    (folder / "photos/d%2e#").mkdir(parents=True)
    for number in range(COUNT):
        name = NAMES[number] if number < len(NAMES) else f"d%2e#/p{number:02}.png"
        size = (90, 60) if number % 2 else (60, 90)
        Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(folder / "photos" / name)
        tags = [
            {"label": label, "score": round(1 - number / 100, 6)}
            for label in (ATTACKS[0], ATTACKS[number % len(ATTACKS)])
        ]
        tags = tags[: 1 + (number % len(ATTACKS) > 0)]
        scores = {label: 0.5 if label in [tag["label"] for tag in tags] else -number / 100 for label in ATTACKS}
        rows.append(json.dumps({"path": name, "tags": tags if number < 40 else [], "scores": scores}))
        entry = {
            "label": ATTACKS[0],
            "patches": [{"row": 1, "col": 2}],
            "sources": [{"label": ATTACKS[1], "relation": "is_a", "attention": 0.5}],
        }
        why.append(json.dumps({"path": name, "grid": [4, 4], "labels": [entry]}))
    (folder / "t.jsonl").write_text("\n".join(rows) + "\n")
    (folder / "why.jsonl").write_text("\n".join(why) + "\n")
    options = ReviewOptions(folder / "t.jsonl", folder / "review", root=folder / "photos", explain=folder / "why.jsonl")
    review(options, Progress())
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as play:
        found = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield found
        found.close()


def until(page: Any, expression: str, arg: object = None) -> None:
    """Wait for something: what `wait_for_function` polls with, the page's policy does not let in."""
    end = time.monotonic() + 20
    while not page.evaluate(expression, arg):
        assert time.monotonic() < end, f"{expression} has not come"
        page.wait_for_timeout(20)


@pytest.fixture
def view(browser: Any, folder: Path) -> Iterator[Any]:
    """The page; whatever it asks for beyond its folder, says or complains about fails the test."""
    faults: list[str] = []
    context = browser.new_context(viewport={"width": 1300, "height": 800}, accept_downloads=True)
    context.set_default_timeout(20_000)
    page = context.new_page()
    page.add_init_script(
        "addEventListener('securitypolicyviolation', one => console.error(one.violatedDirective, one.blockedURI))"
    )
    page.on("request", lambda one: None if one.url.startswith((folder.as_uri(), "blob:")) else faults.append(one.url))
    page.on("console", lambda one: faults.append(one.text))
    page.on("pageerror", lambda one: faults.append(str(one)))
    page.on("dialog", lambda one: faults.append(one.message))
    page.goto((folder / "review/index.html").as_uri())
    page.wait_for_selector(".tile img")
    yield page
    until(page, "[...document.images].every(one => one.complete)")
    assert page.evaluate("[...document.images].filter(one => !one.naturalWidth).map(one => one.src)") == []
    assert page.evaluate("globalThis.hacked") is None
    assert faults == []
    context.close()


def label(view: Any, name: str) -> None:
    view.fill("#find", name)
    view.press("#find", "Enter")
    until(view, "name => document.querySelector('h2').textContent === name", arg=name)


def keys(view: Any, *names: str) -> None:
    for name in names:
        view.keyboard.press(name)


def saved(view: Any) -> list[dict[str, str]]:
    with view.expect_download() as download:
        view.click("#save")
    assert download.value.suggested_filename == "corrections.jsonl"
    text = Path(download.value.path()).read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_names_are_text(view: Any, folder: Path) -> None:
    shown = view.eval_on_selector_all("#labels a:not(.all) span:first-child", "all => all.map(one => one.textContent)")
    assert shown == ATTACKS
    for place, attack in enumerate(ATTACKS):
        label(view, attack)
        assert view.text_content("#details .tag.chosen span") == attack
        assert place != 1 or view.text_content("#details p").startswith(NAMES[1])
    keys(view, "a", "End", "Enter")
    original = f"{(folder / 'photos').as_uri()}/d%252e%23/p{COUNT - 1}.png"  # after those of its neighbours, perhaps
    until(view, "one => [...document.querySelectorAll('.pswp__img')].some(i => i.src === one)", arg=original)


def test_keys_at_once_reach_what_the_first_shows(view: Any) -> None:
    """Before the browser has told the page that its address is another."""
    label(view, ATTACKS[3])
    press = "names => names.forEach(key => document.dispatchEvent(new KeyboardEvent('keydown', {key})))"
    view.evaluate(press, ["a", "End"])
    assert view.text_content("#details p").startswith(f"d%2e#/p{COUNT - 1}.png")
    view.wait_for_timeout(50)
    assert view.text_content("#details p").startswith(f"d%2e#/p{COUNT - 1}.png")


def test_keys_and_the_file(view: Any, folder: Path) -> None:
    label(view, ATTACKS[0])
    keys(view, "y", "n", "u", "n", " ", "y")
    assert view.eval_on_selector_all(".tile.yes", "all => all.map(one => one.index)") == [0, 3]
    assert view.eval_on_selector_all(".tile.no", "all => all.map(one => one.index)") == [1]
    keys(view, "Enter")
    view.wait_for_selector(".pswp--open")
    keys(view, "n", "Escape")
    view.wait_for_selector(".pswp", state="detached")
    label(view, ATTACKS[10])
    keys(view, "y")
    view.reload()
    view.wait_for_selector(".tile img")
    verdicts = [(0, 0, "yes"), (1, 0, "no"), (3, 0, "yes"), (4, 0, "no"), (10, 10, "yes")]
    expected = [
        {"path": NAMES[n], "sha256": sha(folder / "photos" / NAMES[n]), "label": ATTACKS[m], "verdict": verdict}
        for n, m, verdict in verdicts
    ]
    found = saved(view)
    assert sorted(found, key=lambda row: row["path"]) == sorted(expected, key=lambda row: row["path"])
    view.evaluate("localStorage.clear()")
    view.reload()
    view.wait_for_selector(".tile img")
    more = [*found, {**found[0], "verdict": "yes"}]
    lines = "".join(json.dumps(row) + "\n" for row in more).encode()
    view.set_input_files("#load", {"name": "c.jsonl", "mimeType": "text/plain", "buffer": lines})
    until(view, "document.querySelector('#message').textContent === '6 verdicts loaded'")
    again = saved(view)
    assert again == [{**row, "verdict": "yes"} if row["sha256"] == found[0]["sha256"] else row for row in found]
    bad = lines + json.dumps({**found[0], "verdict": "perhaps"}).encode()
    view.set_input_files("#load", {"name": "<b>.jsonl", "mimeType": "text/plain", "buffer": bad})
    until(view, "document.querySelector('#message').textContent === '<b>.jsonl: line 7 is no correction'")
    assert saved(view) == again


def test_filters_and_the_line(view: Any) -> None:
    label(view, ATTACKS[0])
    state = "[page.grid.items.length, page.grid.line.before]"
    assert view.evaluate(state) == [COUNT, 40]
    assert [item["score"] for item in view.evaluate("page.grid.items.map(({score}) => ({score}))")][:2] == [1, 0.99]
    keys(view, "y", "n", "y")
    for which, count in (("yes", 2), ("no", 1), ("open", COUNT - 3), ("", COUNT)):
        view.select_option("#which", which)
        assert view.evaluate("page.grid.items.length") == count
    view.fill("#path", "P5")
    assert view.evaluate("page.grid.items.map(one => one.photo.name)") == [f"p{n}.png" for n in range(50, 60)]
    assert view.evaluate("page.grid.line.before") == 0
    assert view.text_content(".line").startswith("given above")


def test_the_whole_photograph(view: Any) -> None:
    """Tags are judged one after the other, then comes the next photograph."""
    keys(view, "ArrowRight", "n")
    assert view.text_content(".tag.chosen span") == ATTACKS[1]
    keys(view, "y")
    assert view.evaluate("page.grid.cursor") == 2
    found = {(row["label"], row["verdict"]) for row in saved(view)}
    assert found == {(ATTACKS[0], "no"), (ATTACKS[1], "yes")}
    keys(view, "Home")
    view.wait_for_selector(".source")
    assert view.text_content(".source span") == ATTACKS[1]


@pytest.mark.parametrize(
    ("fit", "expected"),
    [("crop", [0, 1 / 6, 1, 2 / 3]), ("pad", [-1 / 4, 0, 3 / 2, 1]), ("squash", [0, 0, 1, 1]), (None, None)],
)
def test_the_map_lies_where_the_model_looked(view: Any, fit: str | None, expected: list[float] | None) -> None:
    view.evaluate("fit => { page.data.fit = fit; page.look(); }", fit)
    view.wait_for_selector(".source")
    if expected is None:
        assert view.query_selector("canvas") is None
        return
    place = """() => {
      const map = document.querySelector("canvas").getBoundingClientRect();
      const { left, top, width, height } = document.querySelector("figure img").getBoundingClientRect();
      return [(map.left - left) / width, (map.top - top) / height, map.width / width, map.height / height];
    }"""
    assert view.evaluate(place) == pytest.approx(expected, abs=0.02)
    alpha = """() => {
      const pixels = document.querySelector("canvas").getContext("2d").getImageData(0, 0, 4, 4).data;
      return [...Array(16).keys()].filter(i => pixels[4 * i + 3] === 0);
    }"""
    assert view.evaluate(alpha) == [1 * 4 + 2]


def luminance(color: str) -> float:
    """Of ``rgb(r, g, b)``, as WCAG 2 has it."""
    parts = np.array([int(part) for part in color.removeprefix("rgb(").removesuffix(")").split(",")]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize(("width", "scheme"), [(1300, "light"), (900, "dark"), (390, "light")])
def test_a_screen_of_any_width_and_colour(view: Any, width: int, scheme: str) -> None:
    """No part lies on another or outside, the picture keeps its shape, text can be read."""
    view.emulate_media(color_scheme=scheme)
    view.set_viewport_size({"width": width, "height": 800})
    until(view, "width => page.grid.box.clientWidth <= width && page.grid.columns * 184 <= width", arg=width)
    rectangles = """names => names.map(name => {
      const { left, top, right, bottom } = document.querySelector(name).getBoundingClientRect();
      return [left, top, right, bottom];
    })"""
    boxes = np.array(view.evaluate(rectangles, ["nav", "header", "#grid", "aside"]))
    assert (boxes >= -1).all() and (boxes[:, 2] <= width + 1).all() and (boxes[:, 3] <= 801).all()
    for number, one in enumerate(boxes):
        for other in boxes[:number]:
            assert (one[:2] >= other[2:] - 1).any() or (other[:2] >= one[2:] - 1).any()
    assert boxes[2, 2] - boxes[2, 0] > 184 and boxes[2, 3] - boxes[2, 1] > 202  # a photograph
    keys(view, "ArrowRight")
    left, top, right, bottom = view.evaluate(rectangles, ["figure img"])[0]
    assert (right - left) / (bottom - top) == pytest.approx(90 / 60, rel=0.02)
    style = """name => {
      const { color, backgroundColor } = getComputedStyle(document.querySelector(name));
      return [color, backgroundColor];
    }"""
    paper = luminance(view.evaluate(style, "body")[1])
    assert (paper < 0.1) == (scheme == "dark")
    for name in ("body", "p", "h3", ".tag .number"):
        light, dark = sorted((paper, luminance(view.evaluate(style, name)[0])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 4.5
