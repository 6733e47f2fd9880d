"""Where each VM goes: host, pool, folder, datastore and the map of its networks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from lrvmotion.checks import placement
from lrvmotion.config.schema import Config
from lrvmotion.config.vm_csv import VmOverride
from lrvmotion.findings import Finding
from lrvmotion.model.inventory import Datastore, Folder, Host, Inventory, Pool, VirtualMachine
from lrvmotion.model.placement import NicMapping, Placement


class Placer:
    """Places one VM after the other, each on the target host whose memory is least in use once it is there.

    What a host holds already counts, so that VMs which move one at a time are spread as well as those of one plan.
    """

    def __init__(
        self, config: Config, source: Inventory, target: Inventory, overrides: Mapping[str, VmOverride] | None = None
    ) -> None:
        """*overrides* are of single VMs, by name: they win over the mappings."""
        self._config = config
        self._overrides = overrides or {}
        self._source = source
        self._target = target
        self._memory: Counter[str] = Counter()  # bytes, and how many VMs, placed by host name
        self._placed: Counter[str] = Counter()
        self._taken: Counter[str] = Counter()  # bytes promised, by datastore name

    def place(self, vm: VirtualMachine) -> tuple[Placement | None, list[Finding]]:
        """Return where *vm* goes, or None with the findings that forbid it."""
        found: list[Finding] = []
        override = self._overrides.get(vm.name) or VmOverride(vm=vm.name)
        datastore = self._datastore(vm, override, found)
        nics = self._nics(vm, override, found)
        folder = self._folder(vm, override, found)
        host = self._host(vm, override, datastore, nics, found)
        if host is None or datastore is None or folder is None or found:
            return None, found
        pool = self._pool(host, override)
        if pool is None:
            found.append(placement.pool_missing(host, override.pool or ""))
            return None, found
        self._memory[host.name] += vm.memory_bytes if vm.power_state == "poweredOn" else 0
        self._placed[host.name] += 1
        self._taken[datastore.name] += vm.storage_bytes + vm.swap_bytes
        return Placement(host=host, pool=pool, folder=folder, datastore=datastore, nics=tuple(nics)), found

    def _datastore(self, vm: VirtualMachine, override: VmOverride, found: list[Finding]) -> Datastore | None:
        names = {store.ref: store.name for store in self._source.datastores}
        first = min(vm.disks, key=lambda disk: disk.key, default=None)
        ref = first.datastore if first else None
        source = names.get(ref, "") if ref else ""
        wanted = override.datastore or self._config.mappings.datastores.get(source, source)
        for store in self._target.datastores:
            if store.name == wanted:
                if not store.accessible:
                    found.append(placement.datastore_inaccessible(vm.name, store.name))
                    return store
                taken = self._taken[store.name]
                free = store.free_bytes - taken
                needed = vm.storage_bytes + vm.swap_bytes
                if free < needed:
                    found.append(placement.datastore_space(vm.name, store.name, needed=needed, free=free, before=taken))
                return store
        there = [store.name for store in self._target.datastores]
        found.append(placement.datastore_missing(vm.name, source, wanted, there))
        return None

    def _nics(self, vm: VirtualMachine, override: VmOverride, found: list[Finding]) -> list[NicMapping]:
        mapped = []
        for nic in vm.nics:
            source = nic.network or ""
            wanted = override.network(nic.label) or self._config.mappings.networks.get(source, source)
            networks = [network for network in self._target.networks if network.name == wanted]
            if len(networks) == 1:
                mapped.append(NicMapping(key=nic.key, label=nic.label, source=source, network=networks[0]))
                continue
            if networks:
                found.append(placement.network_ambiguous(vm.name, wanted, len(networks)))
            else:
                there = [network.name for network in self._target.networks]
                found.append(placement.network_missing(vm.name, nic.label, source, wanted, there))
        return mapped

    def _folder(self, vm: VirtualMachine, override: VmOverride, found: list[Finding]) -> Folder | None:
        wanted = self._config.mappings.folders.get(vm.folder, vm.folder) if override.folder is None else override.folder
        by_path = {folder.path: folder for folder in self._target.folders}
        if wanted in by_path:
            return by_path[wanted]
        if override.folder is None and vm.folder not in self._config.mappings.folders and "" in by_path:
            return by_path[""]  # nobody asked for a folder: the datacenter's own
        found.append(placement.folder_missing(vm.name, wanted, by_path))
        return None

    def _host(
        self,
        vm: VirtualMachine,
        override: VmOverride,
        datastore: Datastore | None,
        nics: list[NicMapping],
        found: list[Finding],
    ) -> Host | None:
        names = self._config.target.hosts or [host.name for host in self._target.hosts]
        source = next((host.name for host in self._source.hosts if host.ref == vm.host), "")
        if override.target_host is not None:
            names = [override.target_host]
        elif source in self._config.mappings.hosts:
            names = [self._config.mappings.hosts[source]]
        hosts = [self._target.host(name) for name in names]
        reasons: dict[str, str] = {}
        fit = []
        for host in hosts:
            reason = _unfit(host, datastore, nics)
            if reason is None:
                fit.append(host)
            else:
                reasons[host.name] = reason
        if not fit:
            if datastore is not None:
                found.append(placement.host_missing(vm.name, reasons))
            return None
        whole = all(host.memory_bytes for host in fit)  # else hosts are compared by bytes, not by shares

        def load(host: Host) -> tuple[float, int, str]:
            used = host.used_bytes + self._memory[host.name]
            return (used / host.memory_bytes if whole else used), self._placed[host.name], host.name

        return min(fit, key=load)

    def _pool(self, host: Host, override: VmOverride) -> Pool | None:
        if override.pool is not None:
            inside = [
                pool for pool in self._target.pools if pool.path == override.pool and pool.cluster == host.cluster
            ]
            return inside[0] if inside else None
        roots = [pool for pool in self._target.pools if pool.ref == host.pool]
        wanted = self._config.mappings.pools.get(host.cluster)
        named = [pool for pool in self._target.pools if pool.path == wanted] if wanted else roots
        return named[0] if named else None


def _unfit(host: Host, datastore: Datastore | None, nics: list[NicMapping]) -> str | None:
    if host.connection_state != "connected":
        return f"is {host.connection_state}"
    if host.in_maintenance:
        return "is in maintenance mode"
    if not host.vmotion_vmknics:
        return "has no vMotion vmknic"
    if datastore is not None and datastore.ref not in host.datastores:
        return f"does not see datastore {datastore.name}"
    missing = [nic.network.name for nic in nics if nic.network.ref not in host.networks]
    return f"is not on network {missing[0]}" if missing else None
