"""Every code of a finding: its severities, what it means and what helps; docs/checks.md is made of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from lrvmotion.findings import Finding, Severity

_LETTERS = {"E": Severity.ERROR, "W": Severity.WARNING, "I": Severity.INFO}


class Code(StrEnum):
    """A finding's code, stable and documented: code, severities ("E W": each may be), what it means, what helps.

    Where a code has several severities, what it means says when which.
    """

    severities: tuple[Severity, ...]
    meaning: str
    remedy: str

    def __new__(cls, code: str, severities: str, meaning: str, remedy: str) -> Self:
        """Make the member that equals the text *code*."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.severities = tuple(_LETTERS[letter] for letter in severities.split())
        member.meaning = meaning
        member.remedy = remedy
        return member

    # fmt: off
    # VMs
    VM_TEMPLATE = "vm-template", "E", "it is a template", "convert it to a VM"
    VM_NO_HOST = "vm-no-host", "E", "no host runs or holds it", "look at it in vCenter: it may be inaccessible"
    VM_ORPHANED = ("vm-orphaned", "E", "vCenter lists it, and its host no longer has it",
        "register its .vmx on a host, or remove it from the inventory")
    VM_INACCESSIBLE = ("vm-inaccessible", "E", "its host cannot read its files, or they are not valid",
        "bring its datastore back, or register the VM again")
    VM_DISCONNECTED = ("vm-disconnected", "E", "vCenter has no connection to the host that has it",
        "bring the host back, or choose other VMs")
    VM_QUESTION = ("vm-question", "E", "it waits for an answer, and no move of it would end", "answer it in vCenter")
    VM_RELOCATE_DISABLED = ("vm-relocate-disabled", "E", "something, a backup mostly, has disabled moves of it",
        "let the backup end; if it ended long ago, have its product release the VM")
    VM_SUSPENDED = "vm-suspended", "E", "it is suspended", "power it on or off"
    VM_GONE = ("vm-gone", "W", "a VM of a run that is resumed or brought back is no longer at the source",
        "look for it at the target")
    REVERSE_MODE = ("reverse-mode", "I",
        "the way back goes in a mode without relays: there is none at the site that sends then",
        "configure `[relay.target]` for proxy mode")
    VM_POWERED_OFF = ("vm-powered-off", "W",
        "its disks go by NFC (TCP 902), which neither streams nor a relay speed up",
        "power it on to move it over vMotion")
    VM_SNAPSHOTS = ("vm-snapshots", "W", "all but its topmost disks go by NFC (TCP 902), past streams and relay",
        "delete the snapshots before the move")
    VM_DELTA_DISKS = ("vm-delta-disks", "W",
        "a disk is a chain that no snapshot needs: all but its topmost file go by NFC (TCP 902)",
        "consolidate its disks before the move")
    VM_LINKED_CLONE = ("vm-linked-clone", "W",
        "a disk is a linked clone: its whole chain is copied, by NFC (TCP 902), and it becomes a full copy",
        "nothing, if the space at the target is meant for that")
    VM_CONSOLIDATION = ("vm-consolidation", "W", "vCenter says that its disks need consolidation",
        "consolidate its disks before the move")
    VM_VCLS = ("vm-vcls", "E", "it is a vCLS VM: vCenter makes one where it is needed", "leave it out")
    VM_VCENTER = ("vm-vcenter", "E", "one of the two vCenters runs in it", "leave it where it is")
    VM_RELAY_HOST = ("vm-relay-host", "E", "a relay host of the configuration runs in it", "leave it where it is")
    VM_MANAGED = ("vm-managed", "E", "an extension of vCenter manages it (`config.managedBy`)",
        "move it by means of that product, or remove its registration first")
    VM_DEPENDS_REFUSED = ("vm-depends-refused", "E",
        "it depends on a VM that is refused; said with `--skip-refused`, which leaves both out",
        "mend the other VM, or take the dependency away")
    VM_LEFT_OUT = ("vm-left-out", "I", "an expression or a pattern matches VMs that are no load to move: left out",
        "nothing; `lrvmotion vms` lists them")
    VM_FAULT_TOLERANCE = "vm-fault-tolerance", "E", "fault tolerance is on", "turn it off"
    VM_TOOLS_INSTALLER = "vm-tools-installer", "E", "the VMware Tools installer is mounted", "unmount it in the VM"
    VM_ISO = ("vm-iso", "E W", "an ISO image is connected, which the target's hosts do not see; a warning with --eject",
        "--eject disconnects it before the move")
    VM_CDROM = ("vm-cdrom", "E W", "a CD drive of a host or a client is connected; a warning with --eject",
        "--eject disconnects it before the move")
    VM_FLOPPY = ("vm-floppy", "E W", "a floppy drive is connected; a warning with --eject",
        "--eject disconnects it before the move")
    VM_USB = "vm-usb", "E", "a USB device is connected", "remove it from the VM"
    VM_SERIAL_NETWORK = ("vm-serial-network", "E",
        "a serial port to the network is connected without a concentrator (vSPC): its connection would not follow",
        "disconnect it, or connect it through a virtual serial port concentrator")
    VM_SERIAL = ("vm-serial", "E", "a serial port of the host is connected",
        "disconnect it, or connect it to the network")
    VM_PARALLEL = "vm-parallel", "E", "a parallel port of the host is connected", "disconnect it"
    VM_PASSTHROUGH = ("vm-passthrough", "E W", "a PCI device of the host is passed through; an error while the VM runs",
        "power the VM off and remove the device")
    VM_SRIOV = ("vm-sriov", "E W", "it has an SR-IOV network card; an error while the VM runs",
        "power the VM off and remove the card")
    VM_VGPU = ("vm-vgpu", "W", "it has a virtual GPU, and moves only to a host with the same GPU and driver",
        "set `vgpu.hotmigrate.enabled` in both vCenters, or power it off")
    VM_SHARED_BUS = ("vm-shared-bus", "E", "its SCSI bus is shared with other VMs",
        "take the cluster's shared disks off it")
    VM_RDM = ("vm-rdm", "E", "a disk is a raw device mapping: the LUN does not move",
        "turn it into a virtual disk, or move the LUN's data by other means")
    VM_MULTI_WRITER = "vm-multi-writer", "E", "a disk may be written by several VMs at once", "set its sharing to none"
    VM_FIRST_CLASS_DISK = ("vm-first-class-disk", "E W",
        "a disk is a Kubernetes volume, mostly: a move breaks it; a warning with `limits.first_class_disks`",
        "move the volume by means of Kubernetes; `limits.first_class_disks = true` moves the VM all the same")
    VM_DISK_MODE = ("vm-disk-mode", "E", "a disk is nonpersistent: what was written since power-on would be lost",
        "set it to persistent")
    VM_DISK_INDEPENDENT = ("vm-disk-independent", "W",
        "a disk is independent: snapshots leave it out, before and after the move",
        "nothing, if that is wanted; else set it to persistent")
    VM_DISK_COUNT = ("vm-disk-count", "E", "it has more disks than the target host moves with a running VM",
        "power it off")
    VM_SWITCH_KIND = ("vm-switch-kind", "E",
        "a card is on a distributed switch and would go to a standard one, which vCenter refuses",
        "map its network to a distributed port group of the target")
    VM_SWITCH_VERSION = ("vm-switch-version", "W",
        "a card goes to a distributed switch of another version, which vCenter refuses by default (`relocate-refused`)",
        "upgrade the older of the two switches")
    VM_EVC = ("vm-evc", "E", "it needs CPU features that the target host, or its cluster's EVC mode, does not have",
        "choose another host, power the VM off, or raise the target cluster's EVC mode")
    VM_EVC_UNKNOWN = ("vm-evc-unknown", "W",
        "an EVC mode is not known to lrvmotion, or the host tells none: not compared",
        "rely on vCenter's own check (`relocate-refused`), which compares the CPU features")
    VM_HARDWARE = ("vm-hardware", "E", "the target host does not run its virtual hardware version",
        "choose a newer host: the version cannot be lowered")
    VM_HARDWARE_UNREAD = ("vm-hardware-unread", "W",
        "which virtual hardware versions the target host runs could not be read",
        "compare the versions yourself")
    VM_KEY_PROVIDER = ("vm-key-provider", "E",
        "it is encrypted or has a virtual TPM, and the target has not its key provider: it would fail near the end",
        "add the same key provider, of the same name, to the target vCenter")
    VM_KEY_UNREAD = ("vm-key-unread", "W",
        "it is encrypted or has a virtual TPM, and the target's key providers could not be read",
        "verify that the target vCenter has its key provider")
    VM_ENCRYPTED_VMOTION = ("vm-encrypted-vmotion", "E W",
        "it requires encrypted vMotion; an error where the target host has none, else it costs the hosts CPU",
        "choose another host, or set the VM's encrypted vMotion to opportunistic")
    VM_NAME_CLASH = ("vm-name-clash", "E", "the target folder has a VM or folder of this name",
        "rename one of the two, or map to another folder")
    VM_INSTANCE_UUID = ("vm-instance-uuid", "E",
        "a VM of the target has the same instance UUID: one is a copy of the other",
        "find out which of the two is wanted")
    VM_BIOS_UUID = ("vm-bios-uuid", "W", "a VM of the target has the same BIOS UUID: one is a copy of the other",
        "find out which of the two is wanted")
    VM_MAC = "vm-mac", "W", "a VM of the target has the same MAC address", "give one of them another MAC address"
    VM_MAC_UNREAD = ("vm-mac-unread", "W", "the MAC addresses of the target's VMs could not be read: not compared",
        "compare them yourself where addresses were set by hand")
    VM_CLASH_UNREAD = ("vm-clash-unread", "W",
        "names, UUIDs and MACs of the target's VMs could not be read: not compared",
        "verify that the target has no VM of this name")
    VM_VAPP = ("vm-vapp", "W",
        "it is in a vApp, which does not follow it, nor does its place in the order in which the vApp's VMs start",
        "make the vApp again at the target after the move, or rely on `depends_on` for the move alone")
    VM_RULES = ("vm-rules", "W", "DRS rules that name it do not follow it",
        "make the rules again at the target after the move")
    VM_OVERRIDES = ("vm-overrides", "W", "its own DRS and HA settings in the cluster do not follow it",
        "set them again at the target after the move")
    VM_PERMISSIONS = ("vm-permissions", "W",
        "permissions set on it do not follow by themselves: `migrate` sets them where the target has the role",
        "create the role at the target first")
    VM_ATTRIBUTES = ("vm-attributes", "W",
        "its custom attributes do not follow by themselves: `migrate` sets those that the target has",
        "create the attributes at the target first")
    RULES_NOT_READ = ("rules-not-read", "W",
        "DRS rules and settings of single VMs could not be read, and none of them follows",
        "look at the source cluster's rules yourself")
    TAGS_NOT_READ = ("tags-not-read", "I",
        "a plan does not read tags and storage policies: `migrate` carries them over by name",
        "create those that the target lacks first; lrvmotion does not create them")
    RELOCATE_REFUSED = ("relocate-refused", "E",
        "vCenter's `CheckRelocate_Task` would refuse this move; its own words follow",
        "do what the hint says: it depends on the fault")
    RELOCATE_WARNING = ("relocate-warning", "W",
        "vCenter's `CheckRelocate_Task` warns of this move; its own words follow",
        "read the warning: the move goes on")
    RELOCATE_WAY = ("relocate-way", "E",
        "the source vCenter cannot log in at the target's: login, certificate, or no way there",
        "correct `[target]`, or let TCP 443 through from the source vCenter to the target's")
    RELOCATE_NOT_MEASURED = ("relocate-not-measured", "W",
        "`CheckRelocate_Task` is missing, not allowed, or did not end: only lrvmotion's own checks were made",
        "look at the reason in the summary: a move may still be refused when it starts")
    # After the move
    VM_POWER = "vm-power", "E", "the VM is not in the power state that it was in", "look at the VM's events there"
    VM_CONNECTION = "vm-connection", "E", "the VM is not connected at the target", "look at the VM and its host there"
    VM_OTHER_HOST = ("vm-other-host", "W", "the VM is on another host than planned; DRS may have moved it on",
        "see whether DRS or somebody moved it on")
    VM_OTHER_DATASTORE = ("vm-other-datastore", "E", "a disk of the VM is not on the planned datastore",
        "look where its files are")
    VM_OTHER_NETWORK = ("vm-other-network", "E", "a network card of the VM is not on the planned network",
        "connect it to that network")
    VM_NIC_GONE = "vm-nic-gone", "E", "a network card of the VM is not there any more", "look at the VM's events there"
    VM_OTHER_MAC = ("vm-other-mac", "E", "a network card of the VM has another MAC address than before",
        "set the old one by hand if the guest or a licence depends on it")
    VM_NIC_DISCONNECTED = ("vm-nic-disconnected", "E",
        "a network card that was connected is not any more, or no longer is when the VM is powered on",
        "connect it in vCenter; look at the port group's free ports and its security policy")
    VM_TOOLS = ("vm-tools", "W",
        "VMware Tools ran before the move, and they or the guest's address are not back in time",
        "look at the guest's console and network; `limits.guest_wait_s` is how long they may take")
    VM_AT_SOURCE = ("vm-at-source", "E", "the task succeeded, and the VM is still at the source",
        "look at the task's events there")
    VM_AT_BOTH = ("vm-at-both", "E", "the task succeeded, and both vCenters have the VM",
        "look which of the two runs before you power on or remove either")
    VM_AT_NEITHER = ("vm-at-neither", "E", "the task succeeded, and neither vCenter finds the VM by its instance UUID",
        "look for it by name at the target: its instance UUID may have changed there")
    VM_HALF_MADE = ("vm-half-made", "W",
        "its move failed, and the target folder has a VM of its name since: what the failed move left, most likely",
        "look at it, and remove it there if it has no data; lrvmotion removes no VM")
    # Places at the target
    DATASTORE_MISSING = ("datastore-missing", "E", "the target has no datastore of the wanted name",
        "map it in `[mappings.datastores]`; near misses are named")
    NETWORK_MISSING = ("network-missing", "E", "the target has no network of the wanted name",
        "map it in `[mappings.networks]`; near misses are named")
    FOLDER_MISSING = ("folder-missing", "E", "the target has no VM folder of the wanted path",
        "map it in `[mappings.folders]`; near misses are named")
    POOL_MISSING = ("pool-missing", "E", "the target host's cluster has no resource pool of the wanted path",
        "map it in `[mappings.pools]`, or give the account the right to see it")
    HOST_MISSING = ("host-missing", "E", "no target host can take the VM; the summary says why for each",
        "add hosts to `target.hosts`, or map the VM to another datastore or network")
    HOST_REPLACED = ("host-replaced", "W",
        "on the way back: the VM's former host is gone or cannot take it, and another host of its cluster does",
        "bring the former host back first, if it must be that one")
    PLACE_AMBIGUOUS = ("place-ambiguous", "E",
        "the wanted name means several networks, datastores, VM folders or resource pools of the target host",
        "name one of those that the summary lists, as it is written there")
    PLACE_DATACENTERS = ("place-datacenters", "W",
        "the names of the VM's places mean some in several datacenters of the target, and nobody chose one",
        "name the hosts in `target.hosts`, or the folder with its datacenter (`DC2:Prod`)")
    NIC_WITHOUT_NETWORK = ("nic-without-network", "E",
        "a network card is on a network that the source no longer has or does not show, or on none",
        "connect it in vSphere, or name its target network in the CSV column `networks`")
    NETWORK_SWITCH_UNREAD = ("network-switch-unread", "W",
        "the account may not read a distributed switch: no VM can go to a port group of it",
        "give the account the role Read-only on the distributed switch")
    DATASTORE_SPACE = ("datastore-space", "E",
        "the VMs of the plan, with their swap files (memory less its reservation), do not fit on the datastore",
        "map some of them to another datastore")
    DATASTORE_INACCESSIBLE = ("datastore-inaccessible", "E",
        "the target datastore is not accessible, or is in maintenance mode",
        "map it to another datastore")
    POOL_TOO_SMALL = ("pool-too-small", "E",
        "the address pool has too few free addresses for the vmknics that the mode needs",
        "extend `vmotion.addresses` of the site or of the host")
    ADDRESS_IN_USE = ("address-in-use", "E", "an address of the pool answers a ping: something else has it",
        "take it out of the site's `vmotion.addresses`")
    # Hosts
    HOST_NOT_CONNECTED = ("host-not-connected", "E", "vCenter has no connection to the host",
        "bring it back, or choose other VMs")
    HOST_MAINTENANCE = "host-maintenance", "E", "the host is in maintenance mode", "take it out of maintenance mode"
    HOST_NO_VMOTION = ("host-no-vmotion", "E",
        "the host has no vmknic that carries vMotion over IPv4: none at all, only IPv6, or no DHCP lease",
        "enable the vMotion service on a vmkernel adapter of it, or give that one an IPv4 address")
    VMKNIC_DHCP = ("vmknic-dhcp", "W",
        "the address of a vMotion vmknic is given by DHCP; settings, relays and the journal name it by this address",
        "give it a fixed address, or reserve the one that it has at the DHCP server")
    GATEWAY_DHCP = ("gateway-dhcp", "E",
        '`steer = "gateway"`, and a vMotion vmknic of the host has its address by DHCP',
        'use `steer = "route"`, or give it a fixed address')
    HOST_LOCKED = ("host-locked", "E",
        "another operator's run has settings on it, a port group or a route that this journal has not (exit status 5)",
        "run `lrvmotion restore-defaults` where that run was started")
    HOST_CONGESTION = ("host-congestion", "W",
        "the vMotion stack uses a congestion control that lrvmotion does not know",
        "compare the forecast with the first move: it is made for newreno and cubic")
    SETTING_THEIRS = ("setting-theirs", "E W",
        "somebody else changed a setting since a run set it: it stays; an error where it is the way to the relay",
        "`restore-defaults` leaves it, too (exit status 7); `--force` overwrites it")
    HOST_REBOOT = ("host-reboot", "W", "a setting takes effect only after a reboot of the host",
        "reboot the host once its VMs have left it, or run with `--reboot-hosts`")
    REBOOT_ORDER = ("reboot-order", "W",
        "`--reboot-hosts` reboots this host: its place in the order, and what becomes of its VMs",
        "leave out `--reboot-hosts` where that is not wanted")
    REBOOT_VMS = ("reboot-vms", "E", "VMs run on a host to be rebooted that DRS would not move away",
        "set DRS to fully automated until the run ends, move the VMs away, or leave out `--reboot-hosts`")
    REBOOT_LAST = ("reboot-last", "E", "no other host of the cluster is connected and out of maintenance mode",
        "bring another host back, or leave out `--reboot-hosts`")
    OPTION_MISSING = ("option-missing", "W",
        "this ESXi build lacks an advanced option that the mode sets: it is left out",
        "update ESXi for the full rate")
    OPTION_BOUNDS = ("option-bounds", "W",
        "this ESXi build does not take the wanted value of an option: the nearest is set",
        "set a value within the bounds in `[settings]`, or update ESXi")
    VMKNIC_SHARED = ("vmknic-shared", "W",
        "a vMotion vmknic also carries another service: its gateway is never changed",
        "give vMotion a vmknic of its own")
    VMKNIC_PORT_GROUP = ("vmknic-port-group", "E",
        "the host's vMotion vmknics are on an opaque network, or on a port group that the account may not see",
        "use `--mode proxy`, which adds none, or give the host one on a port group that the account sees")
    VMKNIC_SUBNET = ("vmknic-subnet", "E",
        "native mode would add vmknics to a subnet in which the host's management, storage or another service is",
        "give vMotion a subnet of its own, or use `--mode proxy`")
    VMKNIC_STACKS = ("vmknic-stacks", "W",
        "the host has vMotion vmknics on two TCP/IP stacks: those of the default stack are off",
        "keep all vMotion vmknics of a host on one stack")
    SAME_SUBNET = ("same-subnet", "E W",
        "source and target vmknics share a subnet: no relay fits between; a warning where native mode is left",
        "use `--mode native`, or route the vMotion networks")
    GATEWAY_SHARED = ("gateway-shared", "E",
        '`steer = "gateway"`, and a vMotion vmknic of the host carries other services, too',
        'use `steer = "route"`')
    # vCenters
    VCENTER_SAME = "vcenter-same", "E", "source and target are one vCenter", "name two vCenters in the configuration"
    VCENTER_SIGHT = ("vcenter-sight", "E W",
        "a vCenter does not reach the other's TCP 443; an error from the source, which logs in there",
        "let TCP 443 through between the vCenters")
    VCENTER_SIGHT_UNKNOWN = ("vcenter-sight-unknown", "I", "whether a vCenter reaches the other one was not measured",
        "test TCP 443 from vCenter to vCenter yourself")
    CLOCK_SKEW = ("clock-skew", "E W",
        "the vCenters' clocks differ; an error over 600 s: the one then refuses login tokens of the other",
        "give both the same NTP servers")
    CLOCK_HERE = ("clock-here", "W", "a vCenter's clock differs from this machine's, and times of both are compared",
        "give this machine and the vCenter the same NTP servers")
    PRIVILEGE_MISSING = ("privilege-missing", "E",
        "the account lacks privileges; the summary names them and the subject where",
        "add them to the account's role there")
    PRIVILEGE_UNKNOWN = ("privilege-unknown", "W", "the account's privileges could not be asked for",
        "compare its role yourself")
    LICENCE_EDITION = ("licence-edition", "W", "the licence is not Enterprise Plus or a suite that includes it",
        "assign Enterprise Plus on both sides: cross-vCenter vMotion needs it")
    LICENCE_UNREADABLE = ("licence-unreadable", "I", "the licence could not be read",
        "look at the hosts' licences yourself")
    CLUSTER_DRS = ("cluster-drs", "W",
        "DRS is fully automated: its own vMotions use what a run sets on the hosts, and delay it",
        "set it to partially automated while VMs are moved")
    # The path
    PATH_UNREACHABLE = ("path-unreachable", "E", "no ping between two vMotion vmknics is answered",
        "look at the vMotion vmknics' addresses, VLANs and routes on both sides")
    PATH_RTT = ("path-rtt", "E", "the RTT is above `limits.rtt_ms`",
        "raise `limits.rtt_ms`; vMotion is supported up to 150 ms")
    PATH_LOSS = ("path-loss", "E",
        "the loss of idle pings is above `limits.loss`, even at the lower end of its 95 % interval",
        "have the circuit repaired: idle loss this high is not a busy circuit's; `limits.loss` sets the limit")
    PATH_MTU = ("path-mtu", "E W", "the path's MTU is below 1500; an error where full frames are just dropped",
        "raise the MTU along the path to 1500, or let ICMP 'fragmentation needed' through")
    PATH_JUMBO = ("path-jumbo", "E W",
        "the vmknics' MTU is 9000 and the path's is not; an error where jumbo frames are just dropped",
        "raise the path's MTU to 9000, or lower the vmknics'")
    PATH_JUMBO_UNUSED = ("path-jumbo-unused", "I", "the path carries jumbo frames, and the vmknics' MTU is smaller",
        "set vmknics and switches to MTU 9000: each stream is several times as fast where loss limits it")
    MTU_MISMATCH = ("mtu-mismatch", "W", "the vmknics of the two sites have different MTUs",
        "give both the same MTU, and the switches too")
    PATH_NOT_MEASURED = ("path-not-measured", "W",
        "RTT, loss or MTU could not be measured; without a proof `migrate` refuses to go on",
        "look at the reason in the summary; `--unproven` moves all the same")
    PATH_IDLE_ONLY = ("path-idle-only", "I",
        "loss was measured on an idle circuit, which underestimates what a busy one loses",
        "`lrvmotion check --load` measures it under load")
    PATH_ASTRAY = ("path-astray", "W",
        "a host still sends through a relay that is left out: its path is not measured before that is changed",
        "nothing: the run leads the host through its new relay")
    LOAD_LIMITER = ("load-limiter", "I", "what limits the circuit under load, in a sentence",
        "nothing: `plan` makes its forecast of it")
    LOAD_POLICER = ("load-policer", "W", "a policer holds each stream at one rate",
        "use more streams: native mode, or `settings.proxy_stream_helpers`")
    LOAD_QUEUE = ("load-queue", "W", "under load the RTT more than doubles: the bottleneck's queue is deep",
        "`relay.circuit_rate` or `relay.limit` keeps the queue short")
    LOAD_NOT_MEASURED = ("load-not-measured", "W", "a run of the load probe was not made, and why",
        "repeat `lrvmotion check --load` once the reason is gone")
    NOT_MEASURED = ("not-measured", "W", "something that `check` looks at could not be measured, and why",
        "repeat `lrvmotion check` once the reason is gone")
    # Maintenance windows
    WINDOW_CLOSED = ("window-closed", "I", "no `[[window]]` is open: the summary says when the first VM starts",
        "nothing: `migrate` waits for the window")
    WINDOW_TOO_SHORT = ("window-too-short", "W", "a VM would take longer than the longest window, and is held",
        "a longer window, a faster mode, or a faster circuit")
    # Relay hosts
    NO_RELAY = "no-relay", "E", "proxy mode without a relay host", "add `[[relay.source]]`, or use `--mode native`"
    RELAY_AWAY = ("relay-away", "E", "the relay host does not answer, or refuses the login",
        "look at host, port, user, key and host key in the configuration")
    RELAY_SHELL = ("relay-shell", "E",
        "the relay host answers, and runs no commands as root: the account's login shell, or sudo",
        "`usermod -s /bin/sh USER`, or the sudoers line that is shown")
    RELAY_LOCKED = ("relay-locked", "E", "another operator's run has the relay host (exit status 5)",
        "run `lrvmotion restore-defaults` where that run was started; use another relay host until then")
    RELAY_PYTHON = ("relay-python", "E",
        "the relay host has no Python 3.9 or newer, or not all of its standard library",
        "install python3 there (Debian: python3, not python3-minimal)")
    RELAY_SPLICE = ("relay-splice", "E", "the relay host's Python cannot call splice(2)",
        "install its ctypes, or Python 3.10")
    RELAY_FIREWALL = ("relay-firewall", "E", "the relay host has neither nft nor iptables, or its kernel refuses them",
        "install nftables there; a container needs CAP_NET_ADMIN")
    RELAY_ADDRESS = ("relay-address", "E", "the configured `address` is not an address of the relay host",
        "correct `address` in `[[relay.source]]` or `[relay.target]`")
    RELAY_PORT = "relay-port", "E", "something else listens on the relay's TCP port", "set another `listen_port`"
    RELAY_CONNTRACK_ZONE = ("relay-conntrack-zone", "E",
        "a rule (`ct zone set`, `-j CT --zone`) hides from the relay where vMotion's connections are addressed to",
        "exempt TCP 8000 to the targets from that rule, or take another relay host")
    RELAY_READ_ONLY = ("relay-read-only", "E",
        "where the relay's files go cannot be written; folder and mount are named",
        "the command that is shown")
    RELAY_FULL = ("relay-full", "E", "where the relay's files go is full; folder and mount are named",
        "make room on that mount")
    RELAY_NOEXEC = ("relay-noexec", "E", "no program may run where the relay's go; folder and mount are named",
        "the command that is shown")
    RELAY_INPUT = ("relay-input", "E I",
        "its packet filter drops connections to the relay's port; information where `open_firewall` opens it",
        "the command that is shown, or `open_firewall = true`")
    RELAY_OUTPUT = ("relay-output", "E I",
        "its packet filter drops the relay's own connections; information where `open_firewall` opens it",
        "the command that is shown, or `open_firewall = true`")
    RELAY_FORWARD = ("relay-forward", "E W I",
        "its packet filter drops what it forwards; a warning if only of a dead relay; information where it is opened",
        "the command that is shown, or `open_firewall = true`")
    RELAY_FILTER_UNKNOWN = ("relay-filter-unknown", "W",
        "whether its packet filter lets vMotion through could not be tried, and why",
        "look at its rules yourself")
    RELAY_BBR = ("relay-bbr", "W",
        "its kernel has no BBR: the relay uses cubic, which loss slows to a few Mbit/s a stream",
        "`modprobe tcp_bbr`, or a newer kernel")
    RELAY_SYSTEMD = ("relay-systemd", "W",
        "it has no systemd: the relay does not come back after a reboot of the relay host",
        "use a relay host with systemd where that matters")
    RELAY_SYSCTL = ("relay-sysctl", "W", "kernel settings that a relay wants cannot be written there",
        "use a virtual machine or a privileged container")
    RELAY_MEMORY = ("relay-memory", "W",
        "it has little free memory: a stalled stream may hold 16 MiB, on a far relay 128 MiB",
        "give it more memory")
    RELAY_ARP = ("relay-arp", "E", "a vMotion vmknic beside the relay host gives no ARP answer",
        "put the relay host into the VLAN of these vmknics: a relay is their gateway")
    RELAY_ARP_OTHER = ("relay-arp-other", "E", "a vmknic's address answers with another MAC than the vmknic's",
        "find out who else has the address, or answers for it (proxy ARP)")
    RELAY_TARGET = ("relay-target", "E", "the relay host does not reach TCP 8000 of a target vmknic",
        "let TCP 8000 through from the relay host, and enable the vMotion service there")
    RELAY_CORES = "relay-cores", "W", "it has one CPU core for relay and kernel", "give it two or more"
    RELAY_MTU = ("relay-mtu", "W",
        "its interface has a smaller MTU than the vmknics beside it: what it only forwards may be lost",
        "give the interface the vmknics' MTU")
    RELAY_GOVERNOR = ("relay-governor", "I", "its CPU governor keeps the clock low between packets",
        "nothing where it can be set: a run sets it to performance and restores it")
    RELAY_LINK = ("relay-link", "I", "its interface is slower than 10 Gbit/s, and carries everything twice",
        "a faster interface")
    RELAY_NOT_MEASURED = ("relay-not-measured", "W",
        "neighbours and targets could not be tried from the relay host, and why",
        "repeat `lrvmotion check` once the reason is gone")
    RELAY_SUBNET = ("relay-subnet", "E", "the relay is not in the subnet of the host's vMotion vmknics",
        "configure the relay host's address on the vMotion LAN")
    RELAY_LEFT_OUT = ("relay-left-out", "W",
        "one of several relay hosts cannot be used: its hosts go through the others",
        "repair it before the next run")
    FAR_SILENT = ("far-silent", "E", "a near relay host has no way to the far relay's port",
        "let that TCP port through from the near to the far relay host")
    FAR_SOURCE = ("far-source", "E",
        "a near relay host would reach the far relay from another address than its configured one",
        "give it a route to the far relay through the vMotion LAN")
    FAR_FAMILY = "far-family", "E", "near and far relay have addresses of two families", "use IPv4 or IPv6 for both"
    FAR_SUBNET = ("far-subnet", "E", "the far relay's address is on the vMotion LAN of the source",
        "set `relay.target.address` to its address on the target hosts' vMotion LAN")
    FAR_OFF_LAN = ("far-off-lan", "W", "the far relay is in no target host's vMotion subnet: the last leg is routed",
        "set `relay.target.address` to its address on the target hosts' vMotion LAN")
    # fmt: on

    def error(self, subject: str, summary: str, hint: str | None = None) -> Finding:
        """Return the finding as an error: nothing is moved."""
        return self.found(Severity.ERROR, subject, summary, hint)

    def warning(self, subject: str, summary: str, hint: str | None = None) -> Finding:
        """Return the finding as a warning: it is shown, and the move goes on."""
        return self.found(Severity.WARNING, subject, summary, hint)

    def info(self, subject: str, summary: str, hint: str | None = None) -> Finding:
        """Return the finding as information."""
        return self.found(Severity.INFO, subject, summary, hint)

    def found(self, severity: Severity, subject: str, summary: str, hint: str | None = None) -> Finding:
        """Return the finding of *severity*: *summary* is one sentence about *subject* ("source/esx-a1")."""
        return Finding(severity=severity, code=self, subject=subject, summary=summary, hint=hint)


SECTIONS: dict[Code, str] = {  # the title of each part of the catalogue, by its first code
    Code.VM_TEMPLATE: "VMs",
    Code.VM_POWER: "After the move",
    Code.DATASTORE_MISSING: "Places at the target",
    Code.HOST_NOT_CONNECTED: "Hosts",
    Code.VCENTER_SAME: "vCenters",
    Code.PATH_UNREACHABLE: "The path",
    Code.WINDOW_CLOSED: "Maintenance windows",
    Code.NO_RELAY: "Relay hosts",
}
LOCKED = frozenset({Code.HOST_LOCKED, Code.RELAY_LOCKED})  # another operator's: exit status 5
