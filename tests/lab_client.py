"""The real CLI against a lab, for tests: up and down, and what the lab's witness says."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

from lrvmotion.lab import witness, world
from lrvmotion.lab.client import ask
from lrvmotion.lab.spec import LabSpec


class Lab:
    """A lab of its own name that is up while it is entered; its files are in *folder*."""

    def __init__(self, folder: Path, *options: str, name: str | None = None) -> None:
        self.folder = folder
        self.name = name or f"t{os.getpid()}"
        self.options = options
        self.config = folder / "lab.toml"
        self.directory = world.home(dict(os.environ)) / self.name

    def __enter__(self):
        done = self.run("lab", "up", "--name", self.name, "--file", str(self.config), *self.options, config=False)
        assert done.returncode == 0, done.stderr
        return self

    def __exit__(self, *_):
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.run("lab", "down", "--name", self.name, config=False)

    def argv(self, *arguments: str, config: bool = True) -> list[str]:
        named = ["--config", str(self.config)] if config else []
        return [sys.executable, "-m", "lrvmotion", *named, *arguments]

    def run(self, *arguments: str, config: bool = True, timeout: float = 240, **more) -> subprocess.CompletedProcess:
        return subprocess.run(
            self.argv(*arguments, config=config), capture_output=True, text=True, timeout=timeout, cwd=self.folder,
            stdin=subprocess.DEVNULL, check=False, **more,
        )  # fmt: skip

    def json(self, *arguments: str, status: int = 0) -> dict:
        done = self.run(*arguments, "--output", "json")
        assert done.returncode == status, (done.returncode, done.stdout[-2000:], done.stderr[-5000:])
        return json.loads(done.stdout.splitlines()[-1])

    def spawn(self, *arguments: str) -> subprocess.Popen:
        return subprocess.Popen(
            self.argv(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    @property
    def spec(self) -> LabSpec:
        return LabSpec.read(self.directory / "spec.json")

    def state(self) -> dict:
        return witness.state(self.spec, self.directory)

    def control(self, site: str, op: str, **arguments):
        return ask(self.directory / site / "control.sock", op, **arguments)

    def somebody(self, site: str):
        """Return a pyVmomi connection of another administrator's."""
        import ssl

        from pyVim.connect import SmartConnect

        about = json.loads((self.directory / site / "vcenter.json").read_text())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.directory / site / "vcenter.pem")
        at = self.spec.site(site)
        return SmartConnect(
            host=about["host"], port=about["port"], user=at.username, pwd=at.password, sslContext=context
        )

    def rename_portgroup(self, site: str, host: str, name: str, to: str) -> None:
        """Rename a standard port group as somebody else would."""
        from pyVim.connect import Disconnect
        from pyVmomi import vim

        connection = self.somebody(site)
        try:
            view = connection.content.viewManager.CreateContainerView(
                connection.content.rootFolder, [vim.HostSystem], True
            )
            (found,) = (item for item in view.view if item.name == host)
            system = found.configManager.networkSystem
            (group,) = (item for item in system.networkInfo.portgroup if item.spec.name == name)
            spec = group.spec
            spec.name = to
            system.UpdatePortGroup(name, spec)
        finally:
            Disconnect(connection)

    def set_option(self, site: str, host: str, key: str, value: int) -> None:
        """Change an option as somebody else would."""
        from pyVim.connect import Disconnect
        from pyVmomi import VmomiSupport, vim

        connection = self.somebody(site)
        try:
            view = connection.content.viewManager.CreateContainerView(
                connection.content.rootFolder, [vim.HostSystem], True
            )
            (found,) = (item for item in view.view if item.name == host)
            option = vim.option.OptionValue(key=key, value=VmomiSupport.vmodlTypes["long"](value))
            found.configManager.advancedOption.UpdateOptions(changedValue=[option])
        finally:
            Disconnect(connection)

    def vms(self) -> dict[str, list[str]]:
        """Return the VM names on each side."""
        return {site: sorted(self.control(site, "state")["vms"]) for site in ("source", "target")}
