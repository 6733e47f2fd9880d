"""Problems with a vCenter: privileges, licence, clock, the way to the other one, DRS."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lrvmotion.checks.catalogue import Code
from lrvmotion.findings import Finding, Severity
from lrvmotion.model.inventory import Network, SiteName
from lrvmotion.model.target_id import site_object
from lrvmotion.model.vcenter import Clock, Drs, Lacking, Licence, Sight

# vCenter Single Sign-On takes a token from a clock that is up to ten minutes off (its "clock tolerance", 600,000 ms by
# default); with NTP a clock is within a second, so that five seconds are a broken NTP, and nothing that fails yet.
SSO_TOLERANCE_S = 600.0
CLOCK_S = 5.0
_SHOWN = 3  # names in a sentence
# Cross-vCenter vMotion is a part of Enterprise Plus (VMware docs 6.0-8.0) and of the suites that include it.
_ENOUGH = ("enterprise plus", "enterpriseplus", "foundation", "cloud suite", "evaluation", "vcf", "vvf")


def clocks(source: Clock, target: Clock) -> Iterator[Finding]:
    """Both vCenters must agree on the time, for a token of one is looked at by the other (KB 2106952)."""
    apart = source.ahead_s - target.ahead_s
    least = abs(apart) - source.within_s - target.within_s
    if least > CLOCK_S:
        which = "source" if apart > 0 else "target"
        summary = f"the vCenters' clocks differ by {abs(apart):.0f} s; {which} is ahead"
        severity = Severity.ERROR if least > SSO_TOLERANCE_S else Severity.WARNING
        hint = "give both the same NTP servers: a token of one must be valid at the other"
        yield Code.CLOCK_SKEW.found(severity, "vcenters", summary, hint)
    for site, clock in (("source", source), ("target", target)):
        if abs(clock.ahead_s) - clock.within_s > CLOCK_S:
            word = "ahead of" if clock.ahead_s > 0 else "behind"
            summary = f"its clock is {abs(clock.ahead_s):.0f} s {word} this machine's"
            hint = "times in the journal and of reboots are compared: give this machine and the vCenter the same NTP"
            yield Code.CLOCK_HERE.warning(site, summary, hint)


def privileges(site: str, username: str, lacking: Iterable[Lacking] | None, reason: str = "") -> Iterator[Finding]:
    """Name each privilege that is missing, and where; *lacking* None: they could not be asked for."""
    if lacking is None:
        summary = f"privileges not measured: {reason}"
        yield Code.PRIVILEGE_UNKNOWN.warning(site, summary)
        return
    for item in lacking:
        noun = "privilege" if len(item.privileges) == 1 else "privileges"
        summary = f"{username} lacks the {noun} {', '.join(item.privileges)}"
        hint = "add what is missing to the account's role there"
        yield Code.PRIVILEGE_MISSING.error(item.subject, summary, hint)


def licences(site: str, found: Sequence[Licence] | None, reason: str = "") -> Iterator[Finding]:
    """Cross-vCenter vMotion needs Enterprise Plus on both sides; *found* None: they may not be read."""
    if found is None:
        summary = f"licence not readable: {reason}"
        hint = "cross-vCenter vMotion needs Enterprise Plus on both sides: look at the hosts' licences yourself"
        yield Code.LICENCE_UNREADABLE.info(site, summary, hint)
        return
    for item in found:
        words = f"{item.name} {item.edition}".lower()
        if not any(word in words for word in _ENOUGH):
            summary = f"its licence is {item.name or item.edition}"
            hint = "cross-vCenter vMotion needs Enterprise Plus on both sides"
            yield Code.LICENCE_EDITION.warning(item.subject, summary, hint)


def sight(site: SiteName, seen: Sight) -> Iterator[Finding]:
    """The source vCenter logs in at the target's 443 for every move; the other way is only told."""
    other = "target" if site == "source" else "source"
    if seen.seen is None:
        summary = f"not tested: {site} vCenter to {other} vCenter, port 443 ({seen.detail})"
        yield Code.VCENTER_SIGHT_UNKNOWN.info(site, summary, seen.hint)
    elif not seen.seen:
        severity = Severity.ERROR if site == "source" else Severity.WARNING
        summary = f"it cannot work with the {other} vCenter: {seen.detail}"
        yield Code.VCENTER_SIGHT.found(severity, site, summary, seen.hint)


def switches(site: SiteName, networks: Iterable[Network]) -> Iterator[Finding]:
    """No VM goes to a port group of a distributed switch that the account may not read."""
    unread = sorted(one.name for one in networks if one.kind == "distributed" and one.switch_uuid is None)
    if unread:
        names = ", ".join(unread[:_SHOWN]) + (f" and {len(unread) - _SHOWN} more" if len(unread) > _SHOWN else "")
        summary = f"the account may not read the distributed switch of {names}"
        hint = "give the account the role Read-only on the distributed switch"
        yield Code.NETWORK_SWITCH_UNREAD.warning(site, summary, hint)


def drs(site: SiteName, clusters: Iterable[Drs]) -> Iterator[Finding]:
    """Fully automated DRS moves VMs over the vmknics, gateways and routes that a run sets (vsphere.md 2.6)."""
    for cluster in clusters:
        if cluster.enabled and cluster.level == "fullyAutomated":
            summary = "DRS is fully automated: its own vMotions also use what a run sets on the hosts, and delay it"
            hint = "set it to partially automated while VMs are moved"
            yield Code.CLUSTER_DRS.warning(site_object(site, cluster.cluster), summary, hint)


def same_vcenter(source_uuid: str, target_uuid: str) -> Iterator[Finding]:
    """One vCenter cannot be both sides."""
    if source_uuid == target_uuid:
        summary = f"source and target are one vCenter (instance UUID {source_uuid})"
        yield Code.VCENTER_SAME.error("vcenters", summary, "name two vCenters in the configuration")


def not_measured(subject: str, what: str, reason: str) -> Finding:
    """What *subject* does not tell, and the *reason*."""
    return Code.NOT_MEASURED.warning(subject, f"{what} not measured: {reason}")
