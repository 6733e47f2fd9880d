"""What every test gets: unit tests may open no socket and start no process."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from lrvmotion.run import credentials

# No test sees the keyring of who runs it, and none asks to unlock it.
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"

# Whoever starts the tests in the background may ignore what a terminal sends; no process of theirs inherits that.
SIGNALS = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}
for number, default in SIGNALS.items():
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, default)

PURE = {Path(__file__).parent / name for name in ("unit", "fuzz")}
TOOLS = ("ip", "nft", "ping")


@pytest.fixture(autouse=True)
def _signals():
    """Give the signals back: a command that ran in this process leaves them ignored; what is started inherits it."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _secrets():
    """Forget the test's secrets: a process looks for each of them in every fault, for as long as it lives."""
    before = set(credentials._KNOWN)
    yield
    credentials._KNOWN &= before


@pytest.fixture(autouse=True)
def _pure(request, monkeypatch):
    """A test below unit/ or fuzz/ touches nothing outside its process."""
    if PURE.isdisjoint(Path(request.node.path).parents):
        return

    def forbidden(*args, **kwargs):
        message = "a test of unit/ or fuzz/ opens no socket and starts no process: put it into wire/ or netns/"
        raise AssertionError(message)

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    monkeypatch.setattr(subprocess.Popen, "__init__", forbidden)


def pytest_collection_modifyitems(items):
    """Say once for all why the namespace tests do not run here."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    reasons = [
        *(["not root"] if os.geteuid() != 0 else []),
        *(["missing: " + ", ".join(missing)] if missing else []),
        *([] if Path("/dev/net/tun").exists() else ["no /dev/net/tun"]),
    ]
    for item in items:
        if reasons and item.get_closest_marker("netns"):
            item.add_marker(pytest.mark.skip(reason="; ".join(reasons)))
