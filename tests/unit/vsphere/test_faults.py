"""A fault is classified by its most specific class and its message keys, never by localised text."""

from __future__ import annotations

import pytest
from pyVmomi import vim, vmodl

from lrvmotion.errors import RefusedError, TrustError, UnreachableError
from lrvmotion.run.credentials import hide
from lrvmotion.vsphere import faults
from lrvmotion.vsphere.client import mapped


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        (vim.fault.Timedout(), "retry"),
        (vmodl.fault.HostNotReachable(), "retry"),
        (vim.fault.InsufficientMemoryResourcesFault(), "retry"),
        (vim.fault.DuplicateName(), "fix"),
        (vim.fault.NoDiskSpace(), "fix"),
        (vim.fault.InvalidLogin(), "never"),
        (vim.fault.SSLVerifyFault(), "never"),
        (vim.fault.NoPermission(), "never"),
        (vmodl.fault.InvalidArgument(), "never"),
        (vmodl.fault.RequestCanceled(), "cancelled"),
        (vim.fault.AlreadyExists(), "never"),
        (vim.fault.DatacenterMismatch(), "never"),
    ],
)
def test_each_class_has_one_verdict(fault, verdict):
    """The table of the reference; a class that nobody listed is never tried again."""
    assert faults.classify(fault).verdict == verdict


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        (vim.fault.NotAuthenticated(), "fix"),  # is a NoPermission
        (vim.fault.CannotAccessVmDisk(), "never"),  # is a CannotAccessVmDevice, which can be fixed
        (vim.fault.FileLocked(), "retry"),
        (vim.fault.PhysCompatRDMNotSupported(), "never"),
        (vim.fault.LicenseRestricted(), "never"),
    ],
)
def test_the_most_specific_class_wins(fault, verdict):
    """Inheritance traps of the API: a subclass may mean the opposite of its base."""
    assert faults.classify(fault).verdict == verdict


@pytest.mark.parametrize(
    ("kind", "key", "verdict"),
    [
        (vim.fault.GenericVmConfigFault, "msg.migrate.fail.dst", "retry"),
        (vim.fault.MigrationFault, "msg.vmotion.anything", "retry"),
        (vim.fault.GenericVmConfigFault, "msg.disk.noBackEnd", "never"),
        (vim.fault.MigrationDisabled, "msg.migrate.fail.dst", "never"),
    ],
)
def test_a_transient_key_counts_on_the_generic_classes_only(kind, key, verdict):
    """msg.migrate… on exactly GenericVmConfigFault or MigrationFault is worth another try."""
    fault = kind(faultMessage=[vmodl.LocalizableMessage(key=key, message="irgendwas")])
    assert faults.classify(fault).verdict == verdict


def test_a_switchover_that_took_too_long_says_what_to_do():
    """The VM dirties memory too fast: the hint is a quiet time, not just another try."""
    message = vmodl.LocalizableMessage(key="msg.checkpoint.migration.maxSwitchoverTimeExceeded", message="…")
    verdict = faults.classify(vim.fault.GenericVmConfigFault(faultMessage=[message]))
    assert (verdict.verdict, "quiet time" in (verdict.hint or "")) == ("retry", True)


def test_a_fault_is_told_by_class_and_its_own_messages_and_cause():
    """The text names each message once and the cause behind it."""
    cause = vim.fault.Timedout(msg="no answer")
    messages = [vmodl.LocalizableMessage(key="k", message="Failed.")] * 2
    fault = vim.fault.MigrationFault(msg="Failed.", faultMessage=messages, faultCause=cause)
    assert faults.text(fault) == "MigrationFault: Failed. (because of Timedout: no answer)"


def test_a_task_that_failed_without_a_fault_is_told_so():
    """TaskInfo.error is optional: "NoneType" is no word for an administrator."""
    assert faults.text(None) == "it failed without a fault"


def test_a_fault_never_shows_the_objects_it_holds():
    """A fault may carry the call's objects, a password among them: neither text nor cause prints them."""
    fault = vmodl.fault.InvalidArgument(invalidProperty="spec.service", msg="A specified parameter was not correct")
    fault.dynamicProperty = [vmodl.DynamicProperty(name="x", val="hunter2")]
    assert "hunter2" not in faults.text(fault)


@pytest.mark.parametrize(
    ("raised", "kind", "said"),
    [
        (vim.fault.InvalidLogin(msg="wrong"), TrustError, "wrong"),
        (vim.fault.NotAuthenticated(), TrustError, "session"),
        (vim.fault.NoPermission(privilegeId="Host.Config.Network"), RefusedError, "Host.Config.Network"),
        (vmodl.fault.HostNotConnected(), UnreachableError, "does not reach the host"),
        (vmodl.fault.InvalidArgument(msg="not correct: nic.mtu"), RefusedError, "nic.mtu"),
        (ConnectionResetError(104, "reset by peer"), UnreachableError, "reset by peer"),
        (TimeoutError("timed out"), UnreachableError, "nothing came for too long"),
    ],
)
def test_what_a_call_raises_becomes_one_clear_sentence(raised, kind, said):
    """Every fault and every wire error becomes one of our few errors, beginning with its subject."""
    with pytest.raises(kind, match=said) as caught, mapped("source/esx-a1"):
        raise raised
    assert caught.value.message.startswith("source/esx-a1: ")


def test_a_missing_privilege_is_named_with_its_object():
    """NoPermission says which privilege is missing on which object."""
    host = vim.HostSystem("host-12")
    entity = vim.fault.NoPermission.EntityPrivileges(entity=host, privilegeIds=["Host.Config.AdvancedConfig"])
    with pytest.raises(RefusedError, match=r"Host\.Config\.AdvancedConfig on HostSystem:host-12"), mapped("x"):
        raise vim.fault.NoPermission(missingPrivileges=[entity])


def test_a_fault_that_repeats_a_password_is_told_without_it():
    """Whatever a vCenter says of a call: as it is, as XML, as Python shows it."""
    word = "c4nary<&'7"
    hide(word)
    said = f"bad credential {word!r} in <password>c4nary&lt;&amp;&#x27;7</password>, {word}"
    fault = vmodl.RuntimeFault(msg=said, faultMessage=[vmodl.LocalizableMessage(key="k", message=said)])
    fault.faultCause = vmodl.RuntimeFault(msg=word)
    assert "c4nary" not in faults.text(fault)
    assert "bad credential" in faults.text(fault)


def test_a_network_that_cannot_be_used_says_why():
    """The hint goes by the fault's reason; without one it is the mapping."""
    fault = vim.fault.CannotUseNetwork(reason="MismatchedDvsVersionOrVendor")
    assert "upgrade the older" in faults.classify(fault).hint
    assert "[mappings.networks]" in faults.classify(vim.fault.CannotUseNetwork()).hint
