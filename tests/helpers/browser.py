"""Chromium, driven over its own pipe (the DevTools protocol): no driver and no package beside the browser."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ANSWER_S = 40.0
WAIT_S = 30.0
KEYS = {
    "Tab": 9, "Enter": 13, "Escape": 27, "ArrowRight": 39, "ArrowLeft": 37, "ArrowDown": 40, "ArrowUp": 38, "End": 35,
    "Home": 36, " ": 32,
}  # fmt: skip


def find_browser() -> str | None:
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def browser_or_skip() -> str:
    """The browser's program; a test ends as skipped without one (CI installs it and lets nothing be skipped)."""
    found = find_browser()
    if found is None:
        pytest.skip("no Chromium: install the Debian package `chromium`")
    return found


class Page:
    """One tab. `errors`: whatever the page's console told as an error, and exceptions; `requests`: every address."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self._errors: list[str] = []
        # Where a test has the service refuse something: a browser tells every answer that is no 2xx.
        self.refusals_expected = False
        self.requests: list[str] = []

    def send(self, method: str, **parameters: Any) -> Any:
        return self._browser.send(method, self._session, **parameters)

    def open(self, address: str) -> None:
        self.send("Page.navigate", url=address)
        self.until("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of an expression (a promise is waited for)."""
        answer = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, (script, answer["exceptionDetails"])
        return answer["result"].get("value")

    def until(self, condition: str, within_s: float = WAIT_S) -> Any:
        """Looks with every frame, in the page; the value that was true at last."""
        script = f"""new Promise((done) => {{
          const end = performance.now() + {within_s * 1000};
          const look = () => {{
            let value;
            try {{ value = {condition}; }} catch {{ value = null; }}
            if (value || performance.now() > end) done(typeof value === 'object' ? Boolean(value) : value);
            else setTimeout(look, 16); }};
          look(); }})"""
        found = self.run(script)
        assert found, f"did not come true: {condition}\n{self.errors}\n{self.text()[:1500]}"
        return found

    def text(self) -> str:
        return str(self.run("document.body.innerText"))

    def key(self, name: str) -> None:
        code = KEYS.get(name, ord(name[0].upper()))
        more = {"text": "\r"} if name == "Enter" else {"text": name} if len(name) == 1 else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", key=name, windowsVirtualKeyCode=code, **more)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=name, windowsVirtualKeyCode=code)

    def size(self, width: int, height: int, *, phone: bool = False, scale: float = 1.0) -> None:
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone
        )
        self.send("Emulation.setTouchEmulationEnabled", enabled=phone)

    def scheme(self, name: str) -> None:
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def picture(self, path: Path, *, whole: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        found = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    @property
    def errors(self) -> list[str]:
        return [text for text in self._errors if not (self.refusals_expected and "with a status of 4" in text)]

    def forget_errors(self) -> None:
        self._errors.clear()

    def heard(self, method: str, found: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            details = found["exceptionDetails"]
            self._errors.append(str(details.get("exception", {}).get("description") or details["text"]))
        elif method == "Runtime.consoleAPICalled" and found["type"] in ("error", "assert", "warning"):
            self._errors.append(" ".join(str(one.get("value", one.get("description"))) for one in found["args"]))
        elif method == "Log.entryAdded" and found["entry"]["level"] == "error":
            self._errors.append(f"{found['entry']['text']} {found['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.requests.append(str(found["request"]["url"]))


class Browser:
    """A process of its own with a profile of its own; names are not looked up, so nothing outside can be reached."""

    def __init__(self, program: str, profile: Path) -> None:
        ours_read, theirs_write = os.pipe()
        theirs_read, ours_write = os.pipe()
        command = [
            program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage",
            "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-extensions",
            "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", "--remote-debugging-pipe",
            f"--user-data-dir={profile}", "about:blank",
        ]  # fmt: skip
        # The first pipe's ends are made first, so the end that is written to is never 3.
        script = f'exec "$@" 3<&{theirs_read} 4>&{theirs_write}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", *command], pass_fds=(theirs_read, theirs_write),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        os.close(theirs_read)
        os.close(theirs_write)
        self._to, self._from = os.fdopen(ours_write, "wb", 0), os.fdopen(ours_read, "rb", 0)
        self._answers: dict[int, SimpleQueue[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}
        self._number = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, method: str, session: str = "", **parameters: Any) -> Any:
        self._number += 1
        number, queue = self._number, SimpleQueue[dict[str, Any]]()
        self._answers[number] = queue
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self._to.write(json.dumps(message).encode() + b"\0")
        try:
            answer = queue.get(timeout=ANSWER_S)
        except Empty:
            raise TimeoutError(f"the browser did not answer {method}") from None
        finally:
            del self._answers[number]
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def page(self) -> Page:
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.send(f"{domain}.enable")
        return page

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.send("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._reader.join(5)
        self._to.close()
        self._from.close()

    def _read(self) -> None:
        rest = b""
        while chunk := self._from.read(65_536):
            *whole, rest = (rest + chunk).split(b"\0")
            for raw in whole:
                message = json.loads(raw)
                queue = self._answers.get(message.get("id", 0))
                if queue is not None:
                    queue.put(message)
                elif (page := self._pages.get(message.get("sessionId", ""))) is not None:
                    page.heard(message["method"], message["params"])


@contextlib.contextmanager
def browser(program: str) -> Iterator[Browser]:
    profile = Path(tempfile.mkdtemp(prefix="ess-browser-"))
    found = Browser(program, profile)
    try:
        yield found
    finally:
        found.close()
        shutil.rmtree(profile, ignore_errors=True)
