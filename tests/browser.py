"""A real browser for tests: chromium without a window or a network, told what to do through its DevTools pipe."""

import json
import os
import select
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from itertools import count

NAMES = "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"
FLAGS = (
    "--headless",
    "--no-sandbox",  # root and most containers cannot have one, and only pages of this book are opened
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # no name leads anywhere
    "--remote-debugging-pipe",
)
PATIENCE = 60  # seconds
OWN = "file:", "data:", "blob:", "about:"  # addresses that need no network


def find():
    """The path of a chromium on this machine, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One tab; ``errors`` are what its page complained of or missed, ``requests`` what it wanted from a network.

    The ends of the pipe are file descriptors; a message is JSON with a zero byte after it.
    """

    def __init__(self, commands, answers):
        self._commands, self._answers = commands, answers
        self._numbers, self._read, self._tab = count(1), bytearray(), {}
        self._loaded, self.errors, self.requests = False, [], []
        tab = self("Target.createTarget", url="about:blank")["targetId"]
        self._tab = {"sessionId": self("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def __call__(self, method, **parameters):
        """The result of a command of the DevTools protocol."""
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": parameters, **self._tab}
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        while (answer := self._next()).get("id") != number:
            pass
        assert "result" in answer, f"{method}: {answer}"
        return answer["result"]

    def _next(self):
        while b"\0" not in self._read:
            assert select.select([self._answers], [], [], PATIENCE)[0], f"silent for {PATIENCE} seconds"
            part = os.read(self._answers, 1 << 20)
            assert part, "the browser has gone"
            self._read += part
        message, _, self._read = self._read.partition(b"\0")
        message = json.loads(message)
        self._note(message.get("method"), message.get("params"))
        return message

    def _note(self, event, about):
        if event == "Page.loadEventFired":
            self._loaded = True
        elif event == "Network.requestWillBeSent" and not about["request"]["url"].startswith(OWN):
            self.requests.append(about["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            details = about["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif event == "Runtime.consoleAPICalled" and about["type"] in ("error", "assert"):
            self.errors.append(" ".join(str(a.get("value", a.get("description"))) for a in about["args"]))
        elif event == "Log.entryAdded" and about["entry"]["level"] == "error":
            self.errors.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")

    def show_on(self, media, width):
        """Lay pages out for a "screen" or for "print", so many CSS pixels wide."""
        self("Emulation.setEmulatedMedia", media=media)
        self("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)

    def open(self, address):
        """Go to a page and wait until all it asks for is there; what was noted before is forgotten."""
        self._loaded, self.errors, self.requests = False, [], []
        self("Page.navigate", url=address)
        while not self._loaded:
            self._next()

    def evaluate(self, script):
        """The value of a JavaScript expression, of a promise what it resolves to."""
        answer = self("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key, *, code, control=False):
        """Press a key and let it go; ``code`` is its number in Windows, which pages are told."""
        key = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 2 * control}
        for kind in ("rawKeyDown", "keyUp"):
            self("Input.dispatchKeyEvent", type=kind, **key)


@contextmanager
def browsing():
    """A browser with a profile of its own, for as long as the context lasts."""
    (their_commands, commands), (answers, their_answers) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # chromium reads from descriptor 3 and writes to 4, where the shell puts the pipes
        script = f'exec "$@" 3<&{their_commands} 4>&{their_answers}'
        command = ["bash", "-c", script, "bash", find(), *FLAGS, f"--user-data-dir={profile}"]
        with subprocess.Popen(
            command,
            pass_fds=(their_commands, their_answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            os.close(their_commands)
            os.close(their_answers)
            try:
                yield Browser(commands, answers)
            finally:
                os.close(commands)  # which ends it
                os.close(answers)
                try:
                    process.wait(timeout=PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()
