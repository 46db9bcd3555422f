"""Takes the pictures in docs/pictures again: ``python -m tests.browser.pictures``."""

import shutil
import tempfile
from base64 import b64decode
from pathlib import Path

from harness.run import judge_directory
from tests.browser.chromium import Chromium, found

ROOT = Path(__file__).parents[2]

PICTURES = [
    # name, width, height in pixels, dark, where it begins
    ("report-light", 1160, 1560, False, "body"),
    ("report-dark", 1160, 1560, True, "body"),
    ("report-phone", 390, 844, True, "details.story"),
    ("story-light", 1160, 588, False, "details.story"),
    ("story-dark", 1160, 588, True, "details.story"),
]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        run.mkdir()
        shutil.copyfile(ROOT / "tests/histories/bad/lost.recorded.jsonl", run / "history.jsonl")
        judge_directory(run)
        with Chromium(found() or "", Path(folder)) as browser:
            for name, width, height, dark, begin in PICTURES:
                browser.open(run / "report.html", width=width, height=height, dark=dark)
                browser.click("details.story summary")
                top = browser.value(f"document.querySelector('{begin}').getBoundingClientRect().top + scrollY")
                clip = {"x": 0, "y": max(0, top - 12), "width": width, "height": height, "scale": 1}
                taken = browser.ask("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"]
                (ROOT / "docs" / "pictures" / f"{name}.png").write_bytes(b64decode(taken))


if __name__ == "__main__":
    main()
