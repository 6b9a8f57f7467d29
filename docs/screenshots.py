"""Makes ``images/web-desktop.jpg`` and ``images/web-phone.jpg``, pictures of the page of nstjax web.

Run ``python docs/screenshots.py`` with the extra ``browser`` and Chromium. The page stylizes an example photograph with an
example painting.
"""

import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
CHROMIUM = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)
WAIT_MS = 120_000
SIZES = {"desktop": (1280, 1000, 1000), "phone": (390, 1500, 390)}
"""For each picture the width and height of the browser's window, and the width of the file, in pixels."""


def stylize(page: Page, address: str) -> None:
    """Open the page and stylize the first example photograph."""
    page.set_default_timeout(WAIT_MS)
    page.goto(address)
    page.locator("#photos button").first.click()
    page.wait_for_selector("#photo img")
    page.locator("#paintings button").nth(4).click()
    page.wait_for_selector("#painting img")
    page.click("#paint")
    page.wait_for_function("document.querySelector('#progress').innerText.includes('Finished')")
    page.wait_for_selector("#result img")
    page.wait_for_timeout(2000)


def main() -> None:
    """Make the pictures."""
    command = [sys.executable, "-m", "nstjax", "web", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    address = re.search(r"http://\S+", server.stdout.readline())
    assert address
    IMAGES.mkdir(exist_ok=True)
    try:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            for name, (width, height, kept) in SIZES.items():
                page = browser.new_page(viewport={"width": width, "height": height})
                stylize(page, address[0])
                picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
                picture.thumbnail((kept, 10 * kept))
                picture.save(IMAGES / f"web-{name}.jpg", quality=80)
                page.close()
            browser.close()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
