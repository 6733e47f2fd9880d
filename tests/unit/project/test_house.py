"""The house keeps its bars: what has a type of its own is not built or parsed as text anywhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from lrvmotion.model.setting import SETTING_KINDS

SOURCE = Path(__file__).parents[3] / "src" / "lrvmotion"
BEGINNINGS = ("source/", "target/", "relay/", *(f"{kind}/" for kind in SETTING_KINDS))
OWNERS = {"site", "role", "connection", "door"}  # what stands before the slash of a host's id
PARSERS = {"startswith", "removeprefix", "partition", "rpartition", "split", "rsplit"}
SLASHES = {  # what is taken apart at its slashes and is no id
    "config/proposal.py": "the paths of folders and networks",
    "checks/hosts.py": "a route as an inventory has it",
    "relay/box.py": "a path in /sys",
    "relay/facts.py": "a path in /proc",
    "relay/install.py": "a path in /run",
    "relay/packet_filter/opening.py": "the name of a firewall rule",
    "report/anonymous_estate.py": "a route as an inventory has it, and the paths of folders",
    "vsphere/host/routes.py": "the name of a route",
    "vsphere/inventory/surroundings.py": "the path of a folder",
    "vsphere/inventory/vm_storage.py": "the path of a file on a datastore",
    "workflows/support_archive.py": "a name that may be a path",
}


def sources() -> Iterator[tuple[str, ast.AST]]:
    """Yield the nodes of every module but the lab's and the model's, each with the module's path."""
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if not name.startswith(("lab/", "model/")):
            yield from ((name, node) for node in ast.walk(ast.parse(path.read_text())))


def texts(node: ast.AST) -> list[str]:
    """Return the constant strings that *node* is or lists."""
    nodes = node.elts if isinstance(node, ast.Tuple | ast.Set | ast.List) else [node]
    return [one.value for one in nodes if isinstance(one, ast.Constant) and isinstance(one.value, str)]


def begins_an_id(node: ast.AST) -> bool:
    return any(text.startswith(BEGINNINGS) for text in texts(node))


def builds_an_id(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        return begins_an_id(node.left)
    if not isinstance(node, ast.JoinedStr) or len(node.values) < 2:
        return False
    first, second = node.values[:2]
    if not isinstance(first, ast.FormattedValue):
        return begins_an_id(first)
    owner = first.value
    word = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
    return word in OWNERS and any(text.startswith("/") for text in texts(second))


def parses_an_id(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare) and any(isinstance(one, ast.In | ast.NotIn) for one in node.ops):
        return begins_an_id(node.left)
    is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in PARSERS
    return is_call and any(begins_an_id(argument) for argument in node.args)


def cuts_at_a_slash(node: ast.AST) -> bool:
    is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in PARSERS
    cuts = is_call and node.func.attr not in {"startswith", "removeprefix"}
    return cuts and any("/" in texts(argument) for argument in node.args)


@pytest.mark.parametrize("bar", [builds_an_id, parses_an_id])
def test_ids_are_built_and_parsed_in_the_model_only(bar):
    """TargetId, ConnectionId and SettingKey are made by their constructors, and asked for their parts."""
    assert [f"{name}:{node.lineno}" for name, node in sources() if bar(node)] == []


def test_no_id_is_cut_at_a_slash():
    """A port group, a file and a host that was added under a strange name have slashes of their own."""
    assert sorted({name for name, node in sources() if cuts_at_a_slash(node)} - SLASHES.keys()) == []


@pytest.mark.parametrize(
    ("text", "bar"),
    [
        ('f"relay/{name}"', builds_an_id),
        ('f"{session.site}/{name}"', builds_an_id),
        ('f"option/{key}: {now}"', builds_an_id),
        ('"file/" + path', builds_an_id),
        ('target.startswith(("source/", "target/"))', parses_an_id),
        ('"relay/" in door', parses_an_id),
        ('key.removeprefix("option/")', parses_an_id),
        ('name.partition("/")[2]', cuts_at_a_slash),
    ],
)
def test_the_bars_see_what_they_are_for(text, bar):
    """A bar that nothing can touch holds nothing."""
    assert any(bar(node) for node in ast.walk(ast.parse(text)))


MOST_FILES = 16  # of a package: a file is found by its name among so many
BY_API_OBJECT = {"lab/vcenter"}  # a file an object of the API, under its name


def test_no_package_outgrows_what_one_reads_at_a_glance():
    """One that does is split downwards."""
    counts = {
        folder.relative_to(SOURCE).as_posix(): len([path for path in folder.glob("*.py") if path.stem != "__init__"])
        for folder in [SOURCE, *(path for path in SOURCE.rglob("*") if path.is_dir())]
    }
    assert {name: count for name, count in counts.items() if count > MOST_FILES}.keys() == BY_API_OBJECT
    assert counts["."] <= 8
