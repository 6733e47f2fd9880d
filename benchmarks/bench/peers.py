"""The contenders: relayd and what the distribution offers, each with its redirect, in the box of the lanes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.lanes import BOX_LAN, PORT, SOURCE, TARGET, Lanes, run, wait_for_listener
from bench.relaying import relaying
from lrvmotion.lab.box.disk.packages import cache_folder, unpacked
from lrvmotion.lab.box.record import BoxError

# haproxy's splice-auto was seen to splice nothing on this path (`show info`: TotalSplicdedBytesOut 0), so that it runs
# a second time with splicing demanded: a peer is measured at its best.
CONTENDERS = ("forwarding", "relayd", "socat", "haproxy", "haproxy-splice", "nginx", "floor")

# The field report's iptables rule in nft's words.
_DNAT = f"""table ip bench {{
  chain pre {{
    type nat hook prerouting priority dstnat;
    ip daddr {TARGET} tcp dport {PORT} dnat to {BOX_LAN}:{PORT}
  }}
}}
"""
_HAPROXY = f"""global
  nbthread 2
  maxconn 2000
  tune.pipesize 1048576
defaults
  mode tcp
  %s
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen relay
  bind {BOX_LAN}:{PORT}
  server target {TARGET}:{PORT}
"""
_SPLICE = {"haproxy": "option splice-auto", "haproxy-splice": "option splice-request\n  option splice-response"}
_NGINX = """load_module %(module)s;
daemon off;
user root;
worker_processes 2;
pid %(folder)s/nginx.pid;
error_log stderr;
events { worker_connections 4096; }
stream {
  server {
    listen %(listen)s;
    proxy_pass %(target)s;
    proxy_buffer_size 256k;
    proxy_timeout 1h;
  }
}
"""


class Peers:
    """The programs, found or unpacked into the cache, never installed; *missing* maps who cannot run to the reason."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._libraries: list[str] = []
        self.missing: dict[str, str] = {}
        self.socat = self._get("socat", "/usr/bin/socat", "socat")
        self.haproxy = self._get("haproxy", "/usr/sbin/haproxy", *_SPLICE)
        self.nginx = self._get("nginx", "/usr/sbin/nginx", "nginx")
        self.stream = self._get("libnginx-mod-stream", "/usr/lib/nginx/modules/ngx_stream_module.so", "nginx")
        self.floor = self._compiled("floor")

    def _get(self, package: str, program: str, *contenders: str) -> str:
        try:
            root = unpacked(package, program, cache_folder())
        except BoxError as error:
            self.missing.update(dict.fromkeys(contenders, str(error)))
            return program
        if root is None:
            return program
        self._libraries += [str(path) for path in sorted(root.glob("usr/lib/*-linux-gnu*"))]
        return str(root / program.lstrip("/"))

    def _compiled(self, name: str) -> str:
        """Return the program made of a C file beside this one."""
        program = str(self._folder / name)
        if (compiler := shutil.which("cc")) is None:
            self.missing[name] = "there is no C compiler (cc)"
        else:
            run(compiler, "-O2", "-pthread", "-o", program, str(Path(__file__).with_name(f"{name}.c")))
        return program

    @property
    def environment(self) -> dict[str, str]:
        """What unpacked programs need to find their libraries."""
        return {"LD_LIBRARY_PATH": ":".join(self._libraries)} if self._libraries else {}

    def versions(self) -> dict[str, str]:
        """Return what each program says its version is, one line each."""
        printed = {}
        for name, words in {
            "socat": (self.socat, "-V"),
            "haproxy": (self.haproxy, "-v"),
            "nginx": (self.nginx, "-v"),
        }.items():
            if name in self.missing:
                continue
            said = run("env", *(f"{key}={value}" for key, value in self.environment.items()), "sh", "-c",
                       'exec "$0" "$@" 2>&1', *words)  # fmt: skip
            line = next(line for line in said.splitlines() if "version" in line.lower())
            printed[name] = line.removeprefix("nginx version: ").split(" on ")[0].split(" - ")[0].strip()
        return printed

    @contextmanager
    def in_the_path(self, name: str, lanes: Lanes) -> Iterator[int | None]:
        """Put a contender into the path until the block ends; yields the session its processes share, if any."""
        if name == "forwarding":
            yield None
        elif name == "relayd":
            with relaying(lanes, self._folder, address=BOX_LAN, source=SOURCE, target=TARGET) as (process, _):
                yield process.pid
        else:
            yield from self._peer(name, lanes)

    def _peer(self, name: str, lanes: Lanes) -> Iterator[int]:
        log = self._folder / f"{name}.log"
        lanes.nft(_DNAT)
        try:
            with lanes.running("box", *self._command(name), env=self.environment, log=log) as process:
                wait_for_listener(process, PORT, log)
                yield process.pid
        finally:
            lanes.nft("delete table ip bench\n")

    def _command(self, name: str) -> list[str]:
        path = self._folder / f"{name}.conf"
        if name == "socat":
            listen = f"TCP4-LISTEN:{PORT},fork,reuseaddr,bind={BOX_LAN}"
            return [self.socat, listen, f"TCP4:{TARGET}:{PORT}"]
        if name == "floor":
            return [self.floor, BOX_LAN, TARGET, str(PORT)]
        if name in _SPLICE:
            path.write_text(_HAPROXY % _SPLICE[name])
            return [self.haproxy, "-db", "-f", str(path)]
        path.write_text(
            _NGINX
            % {
                "module": self.stream,
                "folder": self._folder,
                "listen": f"{BOX_LAN}:{PORT}",
                "target": f"{TARGET}:{PORT}",
            }
        )
        return [self.nginx, "-e", "stderr", "-p", str(self._folder), "-c", str(path)]
