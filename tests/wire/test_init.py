"""lrvmotion init against a lab: a file that plan takes, or no file at all."""

from __future__ import annotations

import json
import os
import pty
import shlex
import signal
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lrvmotion.vsphere.certificate import fetch_certificate
from wire.no_net_lab import PASSWORDS, address, no_net_lab

USERNAME = "administrator@vsphere.local"


@pytest.fixture(scope="module")
def lab():
    with no_net_lab() as up:
        yield up


@pytest.fixture
def there(lab):
    """The options that say where both vCenters are."""
    words = []
    for site in ("source", "target"):
        host, port = address(lab.directory, site)
        words += [f"--{site}-vcenter", host, f"--{site}-port", str(port), f"--{site}-username", USERNAME]
    return words


@pytest.fixture
def pins(lab):
    """The options that say what both vCenters must show."""
    found = {site: fetch_certificate(*address(lab.directory, site)) for site in ("source", "target")}
    return [word for site, one in found.items() for word in (f"--{site}-sha256", one.sha256)]


def run(folder, *words: str, passwords=PASSWORDS, env=None, **more) -> subprocess.CompletedProcess:
    environment = {**os.environ, "LRVMOTION_STATE_DIR": str(folder / "state"), **(env or {})}
    environment |= dict(zip(("LRVMOTION_SOURCE_PASSWORD", "LRVMOTION_TARGET_PASSWORD"), passwords, strict=True))
    return subprocess.run(
        [sys.executable, "-m", "lrvmotion", *words],
        **{"stdin": subprocess.DEVNULL, **more}, capture_output=True, text=True, cwd=folder, env=environment,
        timeout=120, check=False,
    )  # fmt: skip


def refused(done: subprocess.CompletedProcess, folder, status: int, *texts: str) -> str:
    """Assert a clean refusal that leaves the folder empty."""
    assert done.returncode == status, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    for text in (*texts, "hint:"):
        assert text in done.stderr, done.stderr
    assert list(folder.iterdir()) == []
    return done.stderr


def test_what_init_writes_is_what_plan_takes(lab, there, pins, tmp_path):
    """The owner's file, without a secret; and nothing was written at any vCenter."""
    writes = {site: lab.control(site, "calls")["writes"] for site in ("source", "target")}
    done = run(tmp_path, "init", *there, *pins)
    assert done.returncode == 0, done.stderr
    file = tmp_path / "lrvmotion.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text()
    assert not any(password in text + done.stdout + done.stderr for password in PASSWORDS)
    assert fetch_certificate(*address(lab.directory, "source")).sha1 in text
    written = tomllib.loads(text)
    assert written["source"]["hosts"] == ["esx-a1", "esx-a2", "esx-a3", "esx-a4"]
    assert written["mappings"]["networks"] == {name: name for name in ("VM Network", "dv-VM Network")}
    planned = run(tmp_path, "plan", "--mode", "stock", "vm1", "vm2", "--output", "json")
    assert planned.returncode == 0, planned.stderr
    assert [move["vm"] for move in json.loads(planned.stdout)["migrations"]] == ["vm1", "vm2"]
    assert {site: lab.control(site, "calls")["writes"] for site in writes} == writes


def test_programs_get_a_document(there, pins, tmp_path):
    """Where the file is, the fingerprints, what was mapped and what was not."""
    done = run(tmp_path, "init", *there, *pins, "--output", "json", "--file", "other.toml")
    made = json.loads(done.stdout.splitlines()[-1])
    assert made["file"] == str(tmp_path / "other.toml")
    assert made["source"]["sha256"] in pins
    assert made["source"]["addresses_needed"] == [{"subnet": "10.88.0.0/24", "count": 16}]
    assert set(made["mappings"]["networks"]["mapped"]) == {"VM Network", "dv-VM Network"}
    assert made["mappings"]["networks"]["unmatched"] == {}
    assert made["relay_hosts"] == []


def test_off_a_terminal_nothing_is_trusted_unseen(there, pins, tmp_path):
    """Exit 4; the error shows both fingerprints of both certificates, its hint is what accepts them."""
    text = refused(run(tmp_path, "init", *there), tmp_path, 4, "SHA-256", "SHA-1", *pins)
    hint = text.partition("then add:\n")[2].replace("\\\n", "").split()
    assert run(tmp_path, "init", *there, *hint).returncode == 0


def test_another_certificate_than_expected_is_refused(there, pins, tmp_path):
    """Exit 4, and nobody is logged in."""
    words = [*there, *pins[:3], "ab" * 32]
    refused(run(tmp_path, "init", *words), tmp_path, 4, "certificate of target vCenter", "not what was expected")


def test_a_fingerprint_that_is_none_is_a_mistake(there, tmp_path):
    """Exit 2, before anybody is spoken to."""
    refused(run(tmp_path, "init", *there, "--source-sha256", "abc"), tmp_path, 2, "source.sha256", "64 hexadecimal")


def test_what_is_missing_is_named_at_once(tmp_path):
    """Exit 2 off a terminal."""
    done = run(tmp_path, "init", "--source-vcenter", "vcsa", "--far-host", "box")
    refused(done, tmp_path, 2, "--source-username", "--target-vcenter", "--target-username", "--relay-host")


def test_a_wrong_password_leaves_no_file(there, pins, tmp_path):
    """Exit 4."""
    done = run(tmp_path, "init", *there, *pins, passwords=("canary-77", PASSWORDS[1]))
    assert "canary-77" not in refused(done, tmp_path, 4, "refused the login")


def test_a_vcenter_that_does_not_answer_is_unreachable(there, pins, tmp_path):
    """Exit 5."""
    words = [*there, *pins, "--target-port", "1"]
    refused(run(tmp_path, "init", *words), tmp_path, 5, "does not answer")


def test_a_file_that_is_there_stays(there, pins, tmp_path):
    """Exit 2, unless --force."""
    file = tmp_path / "mine.toml"
    file.write_text("mine")
    words = ["init", *there, *pins, "--file", "mine.toml"]
    done = run(tmp_path, *words)
    assert (done.returncode, file.read_text()) == (2, "mine")
    assert "--force" in done.stderr
    assert run(tmp_path, *words, "--force").returncode == 0
    assert file.read_text() != "mine"


def typed(folder, *words: str, answers: list[str]) -> subprocess.CompletedProcess:
    """Run with *answers* typed at a terminal."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, "".join(f"{answer}\n" for answer in answers).encode())
        return run(folder, *words, stdin=theirs)
    finally:
        os.close(ours)
        os.close(theirs)


def test_on_a_terminal_it_asks_for_what_it_needs(lab, tmp_path):
    """Names, users, the relay host, and once for each certificate after showing it."""
    hosts = {site: address(lab.directory, site) for site in ("source", "target")}
    ports = [word for site, (_, port) in hosts.items() for word in (f"--{site}-port", str(port))]
    answers = [f"https://{hosts['source'][0]}/ui/", "", hosts["target"][0], "", "", "y", "y"]
    done = typed(tmp_path, "init", *ports, answers=answers)
    assert done.returncode == 0, done.stderr
    for site, at in hosts.items():
        assert done.stderr.count(f"certificate of {site} vCenter {at[0]}:{at[1]}:") == 1
        assert fetch_certificate(*at).sha1 in done.stderr
    assert tomllib.loads((tmp_path / "lrvmotion.toml").read_text())["target"]["username"] == USERNAME


def test_an_address_at_which_nobody_answers_is_asked_for_again(lab, tmp_path):
    """The error and its hint are shown, and no other answer is lost."""
    hosts = {site: ":".join(map(str, address(lab.directory, site))) for site in ("source", "target")}
    wrong = ["no such host", "127.0.0.1:1", "a/b"]
    answers = [*wrong, f"https://{hosts['source']}/ui/", "", hosts["target"], "", "127.0.0.1:1", "", "y", "y"]
    done = typed(tmp_path, "init", answers=answers)
    assert done.returncode == 0, done.stderr
    assert "'no such host' is not a host's name" in done.stderr
    assert "vCenter 127.0.0.1:1 does not answer" in done.stderr
    assert done.stderr.count("The source vCenter") == 1 + len(wrong)
    assert "to run it again" not in done.stderr
    written = tomllib.loads((tmp_path / "lrvmotion.toml").read_text())
    assert f"{written['source']['vcenter']}:{written['source']['port']}" == hosts["source"]


def test_answers_are_repeated_as_a_command_where_init_fails(lab, tmp_path):
    """It goes on where the person was; no secret is in it."""
    hosts = {site: ":".join(map(str, address(lab.directory, site))) for site in ("source", "target")}
    answers = [hosts["source"], "", hosts["target"], "o'brien@vsphere.local", "", "y", "y"]
    done = typed(tmp_path, "init", answers=answers)
    assert done.returncode == 4, done.stderr
    command = next(line for line in done.stderr.splitlines() if line.startswith("  lrvmotion init "))
    assert not any(password in command for password in PASSWORDS)
    words = shlex.split(command)[1:]
    assert words[words.index("--target-username") + 1] == "o'brien@vsphere.local"
    words[words.index("--target-username") + 1] = USERNAME
    again = typed(tmp_path, *words, answers=["y", "y"])
    assert again.returncode == 0, again.stderr


def test_what_is_not_accepted_is_not_trusted(there, tmp_path):
    """Exit 4; Enter alone is a no."""
    refused(typed(tmp_path, "init", *there, answers=["", "y", ""]), tmp_path, 4, "was not accepted")


def test_an_end_of_the_answers_writes_nothing(there, tmp_path):
    """Exit 130, as Ctrl-C."""
    refused(typed(tmp_path, "init", *there, answers=["", "y", "\x04"]), tmp_path, 130, "interrupted")


def test_ctrl_c_writes_nothing(there, pins, tmp_path):
    """Exit 130, here while a password is asked for."""
    ours, theirs = pty.openpty()
    words = ["env", "--default-signal=INT"]  # tests that a shell runs in the background inherit that it is ignored
    words += [sys.executable, "-m", "lrvmotion", "init", *there, *pins, "--relay-host", ""]
    with subprocess.Popen(
        words, cwd=tmp_path, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as child:
        try:
            said = b""
            while b"Password of" not in said:
                said += os.read(child.stderr.fileno(), 4096) or pytest.fail(said.decode())
            child.send_signal(signal.SIGINT)
            _, rest = child.communicate(timeout=30)
        finally:
            child.kill()
            os.close(ours)
            os.close(theirs)
    assert (child.returncode, b"interrupted" in rest) == (130, True), (said, rest)
    assert list(tmp_path.iterdir()) == []


def test_the_system_s_keyring_holds_the_passwords(lab, there, pins, tmp_path):
    """Service lrvmotion, entry USER@HOST:PORT where the port is not the usual one; for plan as for init."""
    kept = tmp_path / "kept.json"
    entries = {}
    for site, password in zip(("source", "target"), PASSWORDS, strict=True):
        host, port = address(lab.directory, site)
        entries[f"lrvmotion {USERNAME}@{host}:{port}"] = password
    kept.write_text(json.dumps(entries))
    env = {
        "PYTHON_KEYRING_BACKEND": "kept_keyring.Kept", "PYTHONPATH": str(Path(__file__).parent),
        "LRVMOTION_TEST_KEYRING": str(kept),
    }  # fmt: skip
    done = run(tmp_path, "init", *there, *pins, passwords=("", ""), env=env)
    assert done.returncode == 0, done.stderr
    assert run(tmp_path, "plan", "--mode", "stock", "vm1", passwords=("", ""), env=env).returncode == 0
    kept.write_text("{}")
    (tmp_path / "lrvmotion.toml").unlink()
    done = run(tmp_path, "init", *there, *pins, passwords=("", ""), env=env)
    assert (done.returncode, "keyring set lrvmotion" in done.stderr) == (4, True)
