"""A PDF of the whole book, from a built site by headless Chromium: python docs/print_book.py SITE book.pdf"""

import argparse
import functools
import http.server
import shutil
import threading
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", type=Path, help="the folder that mkdocs build has made")
    parser.add_argument("pdf", type=Path, help="the file to write")
    arguments = parser.parse_args()
    if not (arguments.site / "book" / "index.html").is_file():
        parser.error(f"{arguments.site} has no book/index.html: build the site first, mkdocs build --site-dir SITE")
    # A browser of the system if there is one, else Playwright's own.
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(arguments.site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page()
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/book/", wait_until="load", timeout=300_000)
        page.wait_for_function("!document.querySelector('.arithmatex:not(:has(mjx-container))')", timeout=300_000)
        page.evaluate("for (const picture of document.images) picture.loading = 'eager'")
        page.wait_for_load_state("networkidle")
        page.pdf(path=arguments.pdf, prefer_css_page_size=True, outline=True, tagged=True)
        chromium.close()
    server.shutdown()
    print(f"{arguments.pdf}: {arguments.pdf.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
