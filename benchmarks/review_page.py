"""Open a page of `c2srt review` in chromium: seconds until photographs show, frames while it is scrolled, a verdict.

    python benchmarks/review_page.py review/ [--browser /usr/bin/chromium]

Frames are what the page's own clock sees between two of them: on a busy machine they are late without the page's doing.
So the longest task of its main thread is told too, in processor time.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

MAIN, TASK = "CrRendererMain", ("RunTask", "ThreadControllerImpl::RunTask")
WATCH = """() => {
  window.frames_ = [];
  let last = performance.now();
  const tick = now => { window.frames_.push(now - last); last = now; requestAnimationFrame(tick); };
  requestAnimationFrame(tick);
}"""


def longest_task(trace: bytes) -> float:
    """Milliseconds of processor time that the page's own thread worked at a stretch."""
    events = json.loads(trace)["traceEvents"]
    threads = {(one["pid"], one["tid"]): one["args"]["name"] for one in events if one["name"] == "thread_name"}
    tasks = [
        one.get("tdur", 0) for one in events if threads.get((one["pid"], one["tid"])) == MAIN and one["name"] in TASK
    ]
    return float(max(tasks)) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("page", type=Path, help="folder that c2srt review wrote")
    parser.add_argument("--browser", default="/usr/bin/chromium")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    address = (arguments.page / "index.html").absolute().as_uri()
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=arguments.browser, args=["--no-sandbox"])
        for _ in range(arguments.repeats):
            view = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
            start = time.perf_counter()
            view.goto(address)
            view.wait_for_selector(".tile img")
            while not view.evaluate("[...document.querySelectorAll('.tile img')].every(one => one.complete)"):
                view.wait_for_timeout(5)  # what wait_for_function polls with, the page's policy does not let in
            loaded = time.perf_counter() - start
            view.evaluate(WATCH)
            view.mouse.move(600, 400)
            browser.start_tracing(page=view, categories=["toplevel", "devtools.timeline"])
            for step in range(60):
                view.mouse.wheel(0, 900 if step % 3 else 9000)
                view.wait_for_timeout(30)
            task = longest_task(browser.stop_tracing())
            frames = view.evaluate("window.frames_")
            view.evaluate("location.hash = document.querySelectorAll('#labels a')[1].hash")
            view.wait_for_timeout(300)
            start = time.perf_counter()
            view.keyboard.press("y")
            view.wait_for_selector(".tile.yes")
            judged = time.perf_counter() - start
            print(
                f"photographs shown after {loaded:.2f} s; {len(frames)} frames while scrolling: median "
                f"{np.median(frames):.0f} ms, longest {max(frames):.0f} ms, "
                f"longest task {task:.0f} ms of processor time; a verdict shows after {judged * 1000:.0f} ms"
            )
            view.context.close()
        browser.close()


if __name__ == "__main__":
    main()
