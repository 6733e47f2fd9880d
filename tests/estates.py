"""Random small estates, as real ones are: equal names in two datacenters, all kinds of switches, VMs of all sizes."""

from __future__ import annotations

import itertools
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from lrvmotion.model.estate import ClusterSettings, Entity, Estate, EstateSite, HostOption
from lrvmotion.model.host_option import Bounds
from lrvmotion.model.inventory import (
    Datastore,
    Device,
    Disk,
    Folder,
    Host,
    HostPortGroup,
    Inventory,
    MoRef,
    Network,
    Nic,
    Pool,
    StoragePod,
    VirtualMachine,
    Vmknic,
)
from lrvmotion.model.surroundings import ClusterBindings

NAMES = ("Prod", "prod", "web-1", "DB 1", "a/b", "50%", "Zürich", "vm-2", "esx.corp.example", "Lager\\2", "x")
GIB, MIB = 2**30, 2**20
DEVICES: tuple[tuple[Any, str, str], ...] = (
    ("cdrom", "CD/DVD drive 2", ""), ("floppy", "Floppy drive 1", "A"), ("usb", "USB 1", "path:1/0/1"),
    ("serial", "Serial port 1", "/dev/char/serial/uart0"), ("serial-network", "Serial port 2", ""),
    ("parallel", "Parallel port 1", "/dev/parport0"),
    ("passthrough", "PCI device 0", "NIC of ACME"), ("vgpu", "PCI device 1", "grid_p40-1q"), ("tpm", "Virtual TPM", ""),
)  # fmt: skip
ROOT = MoRef("Folder", "group-d1")


@dataclass
class Site:
    """A vCenter while it is being made up."""

    name: str
    number: int
    draw: random.Random
    tree: list[Entity] = field(default_factory=list)
    hosts: list[Host] = field(default_factory=list)
    vms: list[VirtualMachine] = field(default_factory=list)
    datastores: list[Datastore] = field(default_factory=list)
    networks: list[Network] = field(default_factory=list)
    pods: list[StoragePod] = field(default_factory=list)
    pools: list[Pool] = field(default_factory=list)
    folders: list[Folder] = field(default_factory=list)
    used: dict[MoRef | None, set[str]] = field(default_factory=dict)
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(2))
    center: str = ""

    def ref(self, kind: str, prefix: str) -> MoRef:
        return MoRef(kind, f"{prefix}-{next(self.ids)}")

    def free_name(self, parent: MoRef | None) -> str:
        """Return a name that nothing in *parent* has: most are there in other places, too."""
        taken = self.used.setdefault(parent, set())
        name = self.draw.choice(NAMES)
        while name.casefold() in taken:
            name += "'"
        taken.add(name.casefold())
        return name

    def entity(self, kind: str, prefix: str, parent: MoRef | None, name: str | None = None, **more: Any) -> MoRef:
        ref = self.ref(kind, prefix)
        self.tree.append(Entity(ref=ref, name=name or self.free_name(parent), parent=parent, **more))
        return ref

    def named(self, ref: MoRef) -> str:
        return next(item.name for item in self.tree if item.ref == ref)

    def uuid(self) -> str:
        return str(uuid.UUID(int=self.draw.getrandbits(128), version=4))

    def switch_uuid(self) -> str:
        pairs = [f"{self.draw.getrandbits(8):02x}" for _ in range(16)]
        return f"{' '.join(pairs[:8])}-{' '.join(pairs[8:])}"

    def some(self, things: list[Any], least: int = 0) -> list[Any]:
        return self.draw.sample(things, self.draw.randint(min(least, len(things)), len(things)))

    def datacenter(self, above: MoRef) -> None:
        draw = self.draw
        center = self.entity("Datacenter", "datacenter", above)
        self.center = "/".join([*([self.named(above)] if above != ROOT else []), self.named(center)])
        tops = {
            kind: self.entity("Folder", f"group-{kind[0]}", center, kind)
            for kind in ("vm", "host", "network", "datastore")
        }
        folders = [(tops["vm"], "")]
        for _ in range(draw.randint(0, 2)):
            parent, path = draw.choice(folders)
            ref = self.entity("Folder", "group-v", parent)
            folders.append((ref, f"{path}/{self.named(ref)}" if path else self.named(ref)))
        self.folders += [Folder(ref=ref, path=path, datacenter=self.center) for ref, path in folders]
        places: list[tuple[MoRef, str]] = [(tops["datastore"], "")]
        for kind in ("Folder", "StoragePod")[: draw.randint(0, 2)]:
            ref = self.entity(kind, "group-s" if kind == "Folder" else "group-p", tops["datastore"])
            places.append((ref, f"{self.named(ref)}/"))
            if kind == "StoragePod":
                self.pods.append(
                    StoragePod(ref=ref, name=self.named(ref), datacenter=self.center, path=self.named(ref))
                )
        stores = [self.datastore(*draw.choice(places)) for _ in range(draw.randint(1, 3))]
        standard = [self.network("Network", tops["network"], "standard") for _ in range(draw.randint(1, 2))]
        groups = self.switch(tops["network"]) if draw.random() < 0.5 else []
        for _ in range(draw.randint(1, 2)):
            self.compute(tops["host"], folders, stores, standard, groups)

    def datastore(self, parent: MoRef, path: str) -> Datastore:
        capacity = self.draw.randint(1, 9000) * GIB
        free = self.draw.randint(0, capacity)
        ref = self.entity("Datastore", "datastore", parent)
        store = Datastore(
            ref=ref, name=self.named(ref), capacity_bytes=capacity, free_bytes=free,
            accessible=self.draw.random() < 0.9, datacenter=self.center, path=path + self.named(ref),
            pod=parent if parent.kind == "StoragePod" else None,
            maintenance=self.draw.random() < 0.1,
        )  # fmt: skip
        self.datastores.append(store)
        return store

    def network(self, kind: str, parent: MoRef, word: Any, **more: Any) -> Network:
        ref = self.entity(kind, kind.lower()[:11], parent)
        key = ref.value if word == "distributed" else None
        network = Network(
            ref=ref, name=self.named(ref), kind=word, portgroup_key=key, datacenter=self.center, path=self.named(ref),
            **more,
        )  # fmt: skip
        self.networks.append(network)
        return network

    def switch(self, parent: MoRef) -> list[Network]:
        uid = self.switch_uuid()
        name = self.named(self.entity("VmwareDistributedVirtualSwitch", "dvs", parent, uuid=uid))
        return [
            self.network("DistributedVirtualPortgroup", parent, "distributed", switch_uuid=uid, switch=name)
            for _ in range(self.draw.randint(1, 2))
        ]

    def compute(
        self, parent: MoRef, folders: list[Any], stores: list[Datastore], standard: list[Network], groups: list[Network]
    ) -> None:
        draw = self.draw
        alone = draw.random() < 0.3
        kind = "ComputeResource" if alone else "ClusterComputeResource"
        cluster = self.entity(kind, "domain-s" if alone else "domain-c", parent)
        name = self.named(cluster)
        root = self.entity("ResourcePool", "resgroup", cluster, "Resources")
        pools = [(root, f"{name}/Resources")]
        if draw.random() < 0.4:
            child = self.entity("ResourcePool", "resgroup", root)
            pools.append((child, f"{name}/Resources/{self.named(child)}"))
        if draw.random() < 0.3:
            app = self.entity("VirtualApp", "resgroup-v", root, folder=draw.choice(folders)[0])
            pools.append((app, f"{name}/Resources/{self.named(app)}"))
        self.pools += [
            Pool(ref=ref, path=path, cluster=name, owner=cluster, datacenter=self.center) for ref, path in pools
        ]
        for _ in range(1 if alone else draw.randint(0, 2)):
            nets = [*self.some(standard, 1), *(groups if draw.random() < 0.7 else [])]
            host = self.host(cluster, name, root, self.some(stores, 1), nets)
            for _ in range(draw.randint(0, 3)):
                self.vm(host, folders, pools, [store for store in stores if store.ref in host.datastores], nets)

    def host(
        self, cluster: MoRef, cluster_name: str, root: MoRef, stores: list[Datastore], nets: list[Network]
    ) -> Host:
        draw = self.draw
        ref = self.entity("HostSystem", "host", cluster, f"esx{len(self.hosts)}.{draw.choice(NAMES[:3])}.example")
        number = len(self.hosts) + 1
        distributed = [net for net in nets if net.kind == "distributed"]
        groups = [
            HostPortGroup(
                name=name, vswitch=f"vSwitch{place}", vlan_id=draw.choice((0, 12, 4095)),
                active=(f"vmnic{place}",) if draw.random() < 0.3 else (),
            )
            for place, name in enumerate(
                dict.fromkeys(["Management Network", *(net.name for net in nets if net.kind == "standard")])
            )
        ]  # fmt: skip
        stacks = ("defaultTcpipStack", "vmotion")

        def vmknic(device: int, address: str, stack: str, services: tuple[str, ...]) -> Vmknic:
            port = draw.choice(distributed) if distributed and device and draw.random() < 0.6 else None
            return Vmknic(
                device=f"vmk{device}", address=address, prefix_length=24, mtu=draw.choice((1500, 9000)),
                mac=f"00:50:56:{0x60 + self.number}:{number:02x}:{device:02x}",
                portgroup="" if port else groups[min(device, len(groups) - 1)].name, netstack=stack,
                dhcp=draw.random() < 0.1, services=frozenset(services),
                gateway=f"10.{self.number}.1.254" if draw.random() < 0.2 else None,
                switch_uuid=port.switch_uuid if port else None, portgroup_key=port.portgroup_key if port else None,
            )  # fmt: skip

        nics = [vmknic(0, f"192.168.{self.number}.{number}", stacks[0], ("management",))]
        if draw.random() < 0.9:
            stack = draw.choice(stacks)
            nics.append(vmknic(1, f"10.{self.number}.1.{number}", stack, ("vmotion",) if stack == stacks[0] else ()))
        links = {nic.device: self.links(nic, groups) for nic in nics}
        without = [(device,) if draw.random() < 0.1 else () for device in ("vmk7", "vmk8")]
        links |= {device: () for devices in without for device in devices}
        away = draw.random() < 0.1
        host = Host(
            ref=ref, name=self.named(ref), connection_state="connected", in_maintenance=draw.random() < 0.1,
            version=draw.choice(("7.0.3", "8.0.3", "6.7.0")), build=str(draw.randint(10**7, 3 * 10**7)),
            cluster=cluster_name, pool=root, vmknics=tuple(nics), portgroups=tuple(groups),
            datastores=frozenset(store.ref for store in stores), networks=frozenset(net.ref for net in nets),
            gateway_on_nic=draw.random() < 0.9, evc_mode=draw.choice(("", "intel-haswell")),
            max_evc_mode="intel-cascadelake", most_disks=draw.choice((64, 440)), encrypted_vmotion=True,
            compute=cluster, datacenter=self.center, ipv6_vmotion=without[0], leaseless_vmotion=without[1],
            reboot_required=draw.random() < 0.1, boot_time="2026-01-02T03:04:05+00:00",
            memory_bytes=draw.randint(64, 1024) * GIB, used_bytes=draw.randint(0, 64) * GIB,
            congestion_control={stack: draw.choice(("newreno", "cubic")) for stack in stacks},
            uplinks=links,
            routes={f"{stacks[0]}/10.250.0.0/16": f"192.168.{self.number}.254"} if draw.random() < 0.3 else {},
        )  # fmt: skip
        if away:
            host = Host(
                ref=ref, name=host.name, connection_state=draw.choice(("disconnected", "notResponding")),
                in_maintenance=False, version=host.version, build=host.build, cluster=cluster_name, pool=root,
                datastores=host.datastores, networks=host.networks, compute=cluster, datacenter=self.center,
                boot_time=host.boot_time,
                max_evc_mode=host.max_evc_mode, memory_bytes=host.memory_bytes, used_bytes=host.used_bytes,
            )  # fmt: skip
        self.hosts.append(host)
        return host

    def links(self, nic: Vmknic, groups: list[HostPortGroup]) -> tuple[tuple[str, int], ...]:
        """Return the uplinks of a vmknic: on a standard switch those of its port group, else all of the host's."""
        if nic.portgroup_key:
            return (("vmnic4", 25000), ("vmnic5", 25000))
        place = next(place for place, group in enumerate(groups) if group.name == nic.portgroup)
        return ((f"vmnic{place}", 10000),)

    def vm(
        self, host: Host, folders: list[Any], pools: list[Any], stores: list[Datastore], nets: list[Network]
    ) -> None:
        draw = self.draw
        folder, path = draw.choice(folders)
        disks, extra = [], draw.choice((0, 4096))
        for number in range(draw.choice((0, 1, 1, 2, 5))):
            used = draw.randint(0, 200) * MIB
            links = draw.choice((1, 1, 3))
            disks.append(
                Disk(
                    key=2000 + number, label=f"Hard disk {number + 1}", capacity_bytes=draw.randint(200, 400) * MIB,
                    datastore=draw.choice(stores).ref, used_bytes=used,
                    below_bytes=draw.choice((0, used)) if links > 1 else 0, links=links,
                    linked_clone=links > 1 and draw.random() < 0.5, first_class=draw.choice(("", "", self.uuid())),
                    mode=draw.choice(("persistent", "independent_persistent")),
                    rdm=draw.choice((None, None, None, "virtual", "physical")), multi_writer=False,
                )
            )  # fmt: skip
        nics = tuple(
            Nic(
                key=4000 + number, label=f"Network adapter {number + 1}", network=net.name, network_ref=net.ref,
                mac=f"00:50:56:9{self.number}:{len(self.vms):02x}:{number:02x}",
            )
            for number, net in enumerate(draw.choices(nets, k=draw.choice((0, 1, 1, 2, 4))))
        )  # fmt: skip
        power = draw.choice(("poweredOn", "poweredOn", "poweredOff", "suspended"))
        devices = []
        if draw.random() < 0.1:
            devices.append(Device(kind="shared-bus", label="SCSI controller 0", backing="physicalSharing"))
        if draw.random() < 0.2:
            devices.append(Device(kind="iso", label="CD/DVD drive 1", backing="[Prod] iso/Secret-Tool.iso"))
        for kind, label, backing in DEVICES:
            if draw.random() < 0.05:
                devices.append(Device(kind=kind, label=label, backing=backing))
        inside = draw.choice(pools)[0]
        app = next((item for item in self.tree if item.ref == inside and inside.kind == "VirtualApp"), None)
        ref = self.entity("VirtualMachine", "vm", None if app else folder, pool=inside)
        if app:
            path = next((path for ref, path in folders if ref == app.folder), "")
        memory, home = draw.choice((16, 64, 4096)) * MIB, draw.choice(stores)
        self.vms.append(
            VirtualMachine(
                ref=ref, name=self.named(ref), instance_uuid=self.uuid(), bios_uuid=self.uuid(), power_state=power,
                host=host.ref, folder=path, memory_bytes=memory, disks=tuple(disks), nics=nics,
                snapshots=draw.choice((0, 0, 2)), storage_bytes=sum(disk.used_bytes or 0 for disk in disks) + extra,
                vapp=app.name if app else "", question=draw.choice(("", "", "msg.uuid.altered: moved or copied?")),
                consolidation=draw.random() < 0.1, datacenter=self.center,
                home=home.ref if [one.name for one in stores].count(home.name) == 1 else None,
                relocate_disabled=draw.random() < 0.1,
                managed_by=draw.choice(("", "", "", "com.vmware.vim.eam/cluster-agent")),
                template=power == "poweredOff" and draw.random() < 0.2, change_version=str(draw.randint(1, 99)),
                connected_devices=tuple(one.label for one in devices if one.kind not in {"tpm", "shared-bus"}),
                devices=tuple(devices),
                hardware=draw.choice(("vmx-13", "vmx-19")), evc_mode="intel-haswell" if power == "poweredOn" else "",
                migrate_encryption="opportunistic", reserved_bytes=draw.choice((0, memory)),
                permissions=tuple(sorted(self.some(["LAB\\ops", "LAB\\Zoë"]))),
                attributes=tuple(self.some([101, 102])),
                connection_state="connected" if host.connection_state == "connected" else "disconnected",
            )
        )  # fmt: skip

    def made(self) -> EstateSite:
        draw = self.draw
        bounds = Bounds(type="long", minimum=0, maximum=112, default=0)
        clusters = [item.ref for item in self.tree if item.ref.kind == "ClusterComputeResource"]
        running = [vm.ref for vm in self.vms if vm.power_state == "poweredOn"]
        clustered = {host.ref for host in self.hosts if host.compute in clusters}
        bound = [vm.ref for vm in self.vms if vm.host in clustered and draw.random() < 0.3]
        return EstateSite(
            inventory=Inventory(
                site=self.name, instance_uuid=self.uuid(), version="8.0.3", build="24022515", api_version="8.0.3.0",
                hosts=tuple(self.hosts), vms=tuple(self.vms), datastores=tuple(self.datastores), pods=tuple(self.pods),
                networks=tuple(self.networks), pools=tuple(self.pools), folders=tuple(self.folders),
            ),
            tree=tuple(self.tree),
            options={
                str(host.ref): (
                    {"Migrate.VMotionStreamHelpers": HostOption(value=draw.randint(0, 48), bounds=bounds)}
                    if host.connection_state == "connected" else None
                )
                for host in self.hosts
            },
            hardware={
                str(host.ref): frozenset({"vmx-13", "vmx-19"} if draw.random() < 0.8 else {"vmx-13"})
                for host in self.hosts
            },
            clusters={
                str(ref): ClusterSettings(drs=draw.choice((None, "manual", "fullyAutomated")), ha=draw.random() < 0.5)
                for ref in clusters
            },
            bindings={
                str(ref): ClusterBindings(rules=("keep apart",), overrides=("DRS manual",)) for ref in bound
            },
            key_providers=frozenset(self.some(["kms-1", "Native"])),
            attributes={101: "owner", 102: "Kostenstelle"},
            write_kib_s={str(ref): draw.randint(0, 400) for ref in running},
        )  # fmt: skip


def estate(seed: int) -> Estate:
    """Return the estate of *seed*."""
    draw = random.Random(seed)
    made = []
    for number, name in enumerate(("source", "target"), 1):
        site = Site(name=name, number=number, draw=draw)
        site.tree.append(Entity(ref=ROOT, name="Datacenters"))
        above = [ROOT]
        if draw.random() < 0.3:
            above.append(site.entity("Folder", "group-d", ROOT))
        for _ in range(draw.randint(1, 2)):
            site.datacenter(draw.choice(above))
        made.append(site.made())
    return Estate(source=made[0], target=made[1])


SEEDS = st.integers(min_value=0, max_value=2**32)
