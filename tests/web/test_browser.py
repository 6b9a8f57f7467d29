"""The page in a real browser: Chromium, driven by Playwright."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra browser")
pytest.importorskip("gradio", reason="needs the extra web")

pytestmark = pytest.mark.slow

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
WAIT_MS = 120_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser: Any, server: tuple[str, Path]) -> Iterator[Any]:
    found = open_page(browser, server[0])
    yield found
    found.close()


def open_page(browser: Any, address: str, width: int = 1280, height: int = 900) -> Any:
    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(WAIT_MS)
    page.goto(address)
    page.wait_for_selector("#paint")
    return page


def give(page: Any, role: str, path: Path) -> None:
    """Upload an image and wait until it is shown."""
    page.set_input_files(f"#{role} input[type=file]", str(path))
    page.wait_for_selector(f"#{role} img")


def fill(page: Any, key: str, text: str) -> None:
    page.locator(f"#{key} textarea, #{key} input").first.fill(text)


def wait_for_text(page: Any, text: str) -> str:
    """Wait until the progress contains a text; return the whole."""
    page.wait_for_function(f"document.querySelector('#progress').innerText.includes({text!r})")
    return str(page.inner_text("#progress"))


def quick(page: Any, size: str = "48", iterations: str = "6") -> None:
    page.get_by_role("tab", name="Optimization").click()
    fill(page, "transfer-size", size)
    fill(page, "transfer-iterations", iterations)


def begin_long_run(page: Any, images: Path) -> None:
    """Start an optimization that does not end by itself, and wait for its first iteration."""
    give(page, "photo", images / "photo.png")
    give(page, "painting", images / "painting.png")
    quick(page, "64", "100000")
    page.click("#optimize")
    wait_for_text(page, "iteration")


def test_one_pass_gives_a_picture_a_command_and_downloads(page: Any, images: Path, tmp_path: Path) -> None:
    hosts = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2] if "://" in request.url else ""))
    give(page, "photo", images / "photo.png")
    give(page, "painting", images / "painting.png")
    page.click("#paint")
    wait_for_text(page, "Finished")
    page.wait_for_selector("#result img")
    size = page.evaluate(
        "(({naturalWidth: w, naturalHeight: h}) => [w, h])(document.querySelector('#result img'))"
    )
    assert size == [96, 72]
    assert "nstjax stylize photo.png --style painting.png -o picture.png" in page.inner_text("#command")
    with page.expect_download() as download:
        page.locator("#files a").first.click()
    saved = tmp_path / "saved.png"
    download.value.save_as(saved)
    assert saved.read_bytes().startswith(b"\x89PNG")
    assert all(host.startswith("127.0.0.1") for host in hosts - {""}), hosts


def test_a_thumbnail_of_the_gallery_is_one_click(page: Any, images: Path) -> None:
    give(page, "photo", images / "photo.png")
    page.locator("#gallery button.thumbnail-item").nth(3).click()
    wait_for_text(page, "Finished")
    assert "--model gallery --style great_wave" in page.inner_text("#command")


def test_an_optimization_shows_its_progress_and_can_be_continued(page: Any, images: Path) -> None:
    give(page, "photo", images / "photo.png")
    give(page, "painting", images / "painting.png")
    quick(page)
    page.locator("#animation input").check()
    page.click("#optimize")
    said = wait_for_text(page, "iteration")
    assert "of 6" in said
    assert "loss" in said
    wait_for_text(page, "Finished")
    page.wait_for_function("document.querySelector('#files').innerText.includes('steps')")
    for name in ("picture", "run", "loss", "steps"):
        assert name in page.inner_text("#files")
    page.locator("#again input").check()
    page.click("#optimize")
    page.wait_for_function("document.querySelector('#command').innerText.includes('--init-image last.png')")
    wait_for_text(page, "Finished")
    page.click("#reuse")
    page.wait_for_function("document.querySelector('#photo img').src.includes('result-')")


def test_one_pass_beside_an_optimization(page: Any, images: Path) -> None:
    begin_long_run(page, images)
    page.locator("#gallery button.thumbnail-item").nth(1).click()
    page.wait_for_function("document.querySelector('#command').innerText.includes('--model gallery')")
    page.click("#stop")
    wait_for_text(page, "Stopped: the picture so far")


def test_stop_without_a_run_says_so(page: Any) -> None:
    page.click("#stop")
    wait_for_text(page, "No optimization is running")


def test_stop_keeps_the_picture(page: Any, images: Path) -> None:
    begin_long_run(page, images)
    page.click("#stop")
    wait_for_text(page, "Stopped: the picture so far")
    page.wait_for_function("document.querySelector('#files').innerText.includes('picture')")


def test_a_region_painted_with_the_brush_has_its_own_style(page: Any, images: Path) -> None:
    give(page, "photo", images / "photo.png")
    give(page, "painting", images / "painting.png")
    page.click("text=Regions with their own style image")
    page.wait_for_selector("#editor canvas")
    page.locator("#editor").scroll_into_view_if_needed()
    time.sleep(3)  # the canvas has no event that says that it is drawn
    box = page.locator("#editor canvas").first.bounding_box()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.4 * box["height"])
    page.mouse.down()
    for k in range(1, 11):
        page.mouse.move(
            box["x"] + (0.4 + 0.02 * k) * box["width"], box["y"] + (0.4 + 0.02 * k) * box["height"]
        )
    page.mouse.up()
    page.click("#paint")
    page.wait_for_selector("text=the region painted in red has no style image")
    give(page, "painting-red", images / "photo.png")
    page.click("#paint")
    wait_for_text(page, "Finished")
    assert "--masks 'regions.png#e6194b' rest" in page.inner_text("#command")


def test_a_bad_file_is_answered_with_a_sentence(page: Any, images: Path) -> None:
    page.set_input_files("#photo input[type=file]", str(images / "bad.png"))
    page.wait_for_selector("text=bad.png is not an image")
    page.click("#optimize")
    page.wait_for_selector("text=bad.png is not an image")


def test_two_browsers_do_not_mix_their_pictures(browser: Any, server: tuple[str, Path], images: Path) -> None:
    one, two = open_page(browser, server[0]), open_page(browser, server[0])
    give(one, "photo", images / "photo.png")
    give(two, "photo", images / "painting.png")
    for page in (one, two):
        give(page, "painting", images / "painting.png")
        page.click("#paint")
    sizes = []
    for page in (one, two):
        wait_for_text(page, "Finished")
        page.wait_for_selector("#result img")
        sizes.append(page.evaluate("document.querySelector('#result img').naturalHeight"))
    assert sizes == [72, 96]
    one.close()
    two.close()


def test_a_closed_page_ends_its_run_and_its_files_are_deleted(
    browser: Any, own_server: tuple[str, Path], images: Path
) -> None:
    (root,) = own_server[1].glob("nstjax-web-*")

    def files() -> set[Path]:
        return {path for path in root.rglob("*") if path.is_file()}

    before = files()
    page = open_page(browser, own_server[0])
    page.locator("#photos button").first.click()  # an example, which must stay
    page.wait_for_selector("#photo img")
    give(page, "photo", images / "photo.png")
    give(page, "painting", images / "painting.png")
    page.click("text=Regions with their own style image")
    give(page, "painting-red", images / "photo.png")  # not used by a run
    page.click("#paint")
    wait_for_text(page, "Finished")
    quick(page, "64", "100000")
    page.click("#optimize")
    wait_for_text(page, "iteration")
    assert len(files()) > len(before) + 5
    page.close()
    deadline = time.monotonic() + 60
    while files() != before and time.monotonic() < deadline:
        time.sleep(0.5)
    assert files() == before


def test_the_page_fits_a_phone(browser: Any, server: tuple[str, Path]) -> None:
    page = open_page(browser, server[0], 390, 844)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for key in ("photo", "painting", "paint", "optimize", "result", "gallery"):
        box = page.locator(f"#{key}").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
    page.close()
