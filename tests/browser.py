"""Headless Chromium, driven through a pair of pipes: pages, clicks, screenshots, and everything that a page asks for.

The browser's own protocol needs no package; see https://chromedevtools.github.io/devtools-protocol/.
"""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time

import pytest

NAMES = ("chromium", "google-chrome", "chromium-browser", "google-chrome-stable", "chrome")
SECONDS = 120


def find_browser():
    """The path of a browser, that of ``BITSPIKE_BROWSER`` first; the test skips, saying so, where there is none."""
    found = next(filter(None, map(shutil.which, (os.environ.get("BITSPIKE_BROWSER", ""), *NAMES))), None)
    if found is None:
        pytest.skip("no browser: install chromium or google-chrome")
    return found


class Browser:
    """One page in a browser; events of the protocol are kept in the order in which they came."""

    def __init__(self, profile):
        (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
        # The browser reads from descriptor 3 and writes to 4: the shell puts the pipes there.
        script = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        options = [
            "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run",
            "--disable-dev-shm-usage", "--disable-background-networking", f"--user-data-dir={profile}",
        ]  # fmt: skip
        self.process = subprocess.Popen(
            ["bash", "-c", script, "bash", find_browser(), *options, "about:blank"],
            pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self._in, self._out, self._buffer, self._number, self._session = ours_in, ours_out, b"", 0, None
        self.events = []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(one["targetId"] for one in targets if one["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        """The protocol's answer to one command."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def open(self, address, width=1200, height=900, scheme="light"):
        """Load a page in a window of this size, and wait until it is there."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.events.clear()
        self.call("Page.navigate", url=address)
        while not self.named("Page.loadEventFired"):
            self.wait()

    def run(self, expression):
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def click(self, selector):
        """A click of the mouse on the middle of an element, which is brought into sight."""
        box = self.run(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)});"
            "one.scrollIntoView({block: 'center'}); const box = one.getBoundingClientRect();"
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def wait(self):
        """Wait for the next event."""
        self.events.append(self._next())

    def named(self, method):
        """The events of one name so far."""
        return [event for event in self.events if event.get("method") == method]

    def complaints(self):
        """What the console said, and exceptions."""
        logged = [e["params"]["entry"]["text"] for e in self.named("Log.entryAdded")]
        called = [str(e["params"]["args"]) for e in self.named("Runtime.consoleAPICalled")]
        thrown = [e["params"]["exceptionDetails"]["text"] for e in self.named("Runtime.exceptionThrown")]
        return logged + called + thrown

    def requests(self):
        """Addresses that were asked for."""
        return [event["params"]["request"]["url"] for event in self.named("Network.requestWillBeSent")]

    def picture(self, path):
        """Write a screenshot of the whole page."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        found = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def print(self, path):
        """Write the page as a PDF, as it would be printed on A4."""
        found = self.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=False)
        path.write_bytes(base64.b64decode(found["data"]))

    def close(self):
        with contextlib.suppress(OSError):
            os.write(self._out, b'{"id": 0, "method": "Browser.close"}\0')
        for end in (self._out, self._in):
            os.close(end)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _next(self):
        limit = time.monotonic() + SECONDS
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, limit - time.monotonic()))
            part = os.read(self._in, 1 << 20) if ready else b""
            assert part, "the browser says nothing"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)
