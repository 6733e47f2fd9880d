"""Two simulated vCenters and their hosts as processes, for the tests of this folder."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim

from lrvmotion.lab.spec import MIB, HostSpec, LabSpec, SiteSpec, VmknicSpec, VmSpec

PASSWORD = "lab-secret"
USER = "administrator@vsphere.local"


def host(name: str, number: str, lan: str, switch: str = "standard") -> HostSpec:
    return HostSpec(
        name=name,
        switch=switch,
        gateways=(("defaultTcpipStack", f"{lan}.254"),),
        vmknics=(
            VmknicSpec(device="vmk0", address=f"{lan}.{number}", portgroup="Management", services=("management",)),
            VmknicSpec(device="vmk1", address=f"{lan}.1{number}"),
        ),
    )


def spec(vms: tuple[VmSpec, ...], switch: str = "standard") -> LabSpec:
    def site(name: str, lan: str, machines: tuple[VmSpec, ...]) -> SiteSpec:
        letter = "a" if name == "source" else "b"
        return SiteSpec(
            name=name,
            lan=f"{lan}.0/24",
            router=f"{lan}.254",
            vcenter=f"vc-{letter}",
            username=USER,
            password=PASSWORD,
            hosts=(host(f"{letter}1", "11", lan, switch), host(f"{letter}2", "12", lan, switch)),
            vms=machines,
        )

    return LabSpec(
        name=f"t{os.getpid()}", net=False, source=site("source", "10.88.0", vms), target=site("target", "10.99.0", ())
    )


def vm(name: str, where: str = "a1", **more) -> VmSpec:
    size = {"memory_bytes": 4 * MIB, "disk_bytes": 4 * MIB, **more}
    return VmSpec(name=name, host=where, **size)


class Lab:
    """The processes; *hosts* False leaves the hosts' own away, which makes the hosts notResponding."""

    def __init__(self, folder: Path, lab_spec: LabSpec, *, hosts: bool = True, sites=("source", "target")) -> None:
        self.folder = folder
        self.spec = lab_spec
        self.children: list[subprocess.Popen[bytes]] = []
        self.hostds: dict[str, subprocess.Popen[bytes]] = {}
        lab_spec.write(folder / "spec.json")
        try:
            if hosts:
                for name in sites:
                    for each in lab_spec.site(name).hosts:
                        self.start_host(name, each.name)
                for name in sites:
                    for each in lab_spec.site(name).hosts:
                        self._await(folder / name / f"{each.name}.sock", self.hostds[each.name])
            started = [(name, self._start("vcenter", name)) for name in sites]
            self.vcenters = dict(started)
            for name, child in started:
                self._await(folder / name / "vcenter.json", child)
        except BaseException:
            self.close()
            raise

    def start_host(self, site: str, name: str) -> None:
        self.hostds[name] = self._start("hostd", site, "--host", name)

    def kill_vcenter(self, site: str) -> None:
        """End the vCenter's process with SIGKILL, which runs none of its code any more."""
        child = self.vcenters[site]
        child.kill()
        child.wait(20)

    def start_vcenter(self, site: str) -> None:
        """Start it again, where it listened before."""
        ready = self.folder / site / "vcenter.json"
        port = json.loads(ready.read_text())["port"]
        ready.unlink()
        self.vcenters[site] = self._start("vcenter", site, "--port", str(port))
        self._await(ready, self.vcenters[site])

    def _start(self, module: str, site: str, *more: str) -> subprocess.Popen[bytes]:
        (self.folder / site).mkdir(exist_ok=True)
        log = (self.folder / f"{module}-{site}{''.join(more)}.log").open("wb")
        with log:
            command = [sys.executable, "-m", f"lrvmotion.lab.{module}", "--lab", str(self.folder), "--site", site]
            child = subprocess.Popen([*command, *more], stdout=log, stderr=log)
        self.children.append(child)
        return child

    def _await(self, path: Path, child: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + 30
        while not path.exists():
            if child.poll() is not None or time.monotonic() > end:
                logs = "\n".join(log.read_text() for log in self.folder.glob("*.log"))
                message = f"{path.name} did not appear: {logs}"
                raise AssertionError(message)
            time.sleep(0.02)

    def about(self, site: str) -> dict[str, object]:
        return json.loads((self.folder / site / "vcenter.json").read_text())

    def context(self, site: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(str(self.folder / site / "vcenter.pem"))
        return context

    def connect(self, site: str, password: str = PASSWORD):
        return SmartConnect(
            host="127.0.0.1", port=self.about(site)["port"], user=USER, pwd=password, sslContext=self.context(site)
        )

    def control(self, site: str, op: str, **request):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(str(self.folder / site / "control.sock"))
            connection.sendall(json.dumps({"op": op, **request}).encode() + b"\n")
            with connection.makefile("rb") as stream:
                answer = json.loads(stream.readline())
        assert "ok" in answer, answer
        return answer["ok"]

    def fault(self, site: str, **rule) -> None:
        self.control(site, "fault_add", rule=rule)

    def close(self) -> None:
        for child in self.children:
            child.terminate()
        for child in self.children:
            child.wait(20)


def objects(si, kind):
    """The usual ContainerView listing."""
    content = si.RetrieveContent()
    view = content.viewManager.CreateContainerView(content.rootFolder, [kind], True)
    found = list(view.view)
    view.Destroy()
    return found


def named(si, kind, name: str):
    return next(item for item in objects(si, kind) if item.name == name)


def relocate_spec(lab: Lab, target, host_name: str = "b1", **change):
    """A ServiceLocator and the five references that a cross-vCenter relocate needs."""
    about = lab.about("target")
    locator = vim.ServiceLocator(
        instanceUuid=change.get("uuid", about["instance_uuid"]),
        url=change.get("url", about["url"]),
        credential=vim.ServiceLocator.NamePassword(username=USER, password=change.get("password", PASSWORD)),
        sslThumbprint=change.get("thumbprint", about["sha1"]),
    )
    where = named(target, vim.HostSystem, host_name)
    return vim.vm.RelocateSpec(
        service=locator,
        host=where,
        pool=where.parent.resourcePool,
        folder=objects(target, vim.Datacenter)[0].vmFolder,
        datastore=where.datastore[0],
    )


def disconnect(si) -> None:
    Disconnect(si)
    si._stub.DropConnections()


__all__ = ["Lab", "disconnect", "named", "objects", "relocate_spec", "replace", "spec", "vm"]
