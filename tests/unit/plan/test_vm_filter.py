"""--select says which VMs by what they are; a mistake is named with its place."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrvmotion.errors import UsageError
from lrvmotion.plan import vm_filter
from lrvmotion.plan.vm_filter import Traits

WEB = Traits(
    name="web-1", cluster="A", host="esx-a1", folder="Prod/Web", datastores=("ds1", "ds2"), networks=("VM Network",),
    tags=(("Environment", "Production"), ("Team", "a/b")), attributes={"Owner": "smith", "Cost centre": "42"},
    size_bytes=600 << 30, memory_bytes=32 << 30,
)  # fmt: skip
OFF = Traits(name="old", cluster="B", host="esx-a2", folder="Templates/x", power="poweredOff", memory_bytes=1 << 30)


@pytest.mark.parametrize(
    ("text", "web", "off"),
    [
        ("name=web-*", True, False),
        ("name=WEB-*", False, False),
        ("name!=web-*", False, True),
        ("name=web-[12]", True, False),
        ("name=web-?", True, False),
        ("cluster=A and power=on", True, False),
        ("cluster=A or power=off", True, True),
        ("not folder=Templates/*", True, False),
        ("not not folder=Templates/*", False, True),
        ("folder=Prod*", True, False),
        ("datastore=ds2", True, False),
        ("datastore!=ds2", False, True),
        ("datastore=ds1 and datastore=ds2", True, False),
        ('network="VM Network"', True, False),
        ("network='VM *'", True, False),
        ("name=x or name=old and power=off", False, True),
        ("(name=web-1 or name=old) and power=off", False, True),
        ("NAME=web-1 AND NOT Power=OFF", True, False),
        ("name = web-1", True, False),
        ("name=web-1and", False, False),
        ("name='and'", False, False),
        ("size>500G", True, False),
        ("size>=600g and size<=600GiB", True, False),
        ("size<600G", False, False),
        ("size<0.6T", True, False),
        ("memory < 64G", True, True),
        ("not memory>32768M", True, True),
        ("name!='a<b' and size > 1K", True, False),
        ("tag=Production", True, False),
        ("tag=Environment/Production", True, False),
        ("tag=Environment/*", True, False),
        ("tag=Team/Production", False, False),
        ("tag=production", False, False),
        ("tag!=Production", False, True),
        ("not tag=*", False, True),
        ("tag=a/b and tag='Team/a/b'", True, False),
        ("attribute.Owner=sm*", True, False),
        ("Attribute.Owner=smith", True, False),
        ("attribute.owner=smith", False, False),
        ('attribute."Cost centre"=42', True, False),
        ("attribute.'Cost centre'!=42", False, True),
        ("attribute.Owner=*", True, False),
        ('attribute.Owner=""', False, True),
        ("host=esx-a1 and not (cluster=B or power=suspended)", True, False),
    ],
)
def test_an_expression_holds_of_what_it_says(text, web, off):
    """Patterns are case-sensitive, words of the grammar and fields are not; and binds tighter than or."""
    test = vm_filter.parse(text)
    assert (test(WEB), test(OFF)) == (web, off)


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("", "a field is expected here, at its end", "fields are: name"),
        ("nam=x", "there is no field 'nam', at character 1", "did you mean name?"),
        ("size=5G", "<, <=, >, >= is expected here, at character 5 ('=')", "for example: size>=500G"),
        ("size>5", "a size is expected here, at character 6 ('5')", "a number with K, M, G or T"),
        ("size>", "a size is expected here, at its end", "a number with K, M, G or T"),
        ("size>-5G", "a size is expected here, at character 6 ('-5G')", "a number"),
        ("size>" + "9" * 400 + "G", "a size is expected here", "a number"),
        ("size>\u0665G", "a size is expected here", "a number"),
        ("name>5G", "= or != is expected here, at character 5 ('>')", "for example"),
        ("name=a<b", "and, or, or the end is expected here, at character 7 ('<')", "for example"),
        ("tags=x", "there is no field 'tags', at character 1", "did you mean tag?"),
        ("attribute=x", "there is no field 'attribute'", "for example: attribute.Owner=smith"),
        ("attribute.=x", "the name of a custom attribute is expected here, at character 11 ('=')", 'attribute."Cost'),
        ('attribute.""=x', "the name of a custom attribute is expected here", 'attribute."Cost centre"=42'),
        ("attribute.Owner", "= or != is expected here, at its end", "for example"),
        ("attribute.Owner=", "attribute.Owner is compared with nothing", "quotes"),
        ("name", "= or != is expected here, at its end", "for example"),
        ("name=", "name is compared with nothing, at its end", "quotes"),
        ("name=a name=b", "and, or, or the end is expected here, at character 8", "for example"),
        ("name=VM Network", "and, or, or the end is expected here, at character 9 ('Network')", "for example"),
        ("(name=a", "a closing parenthesis is missing, at its end", "for example"),
        ("name=a)", "and, or, or the end is expected here, at character 7", "for example"),
        ("power=up", "there is no power state 'up', at character 7", "there are: on, off, suspended"),
        ("name=a and", "a field is expected here, at its end", "fields are"),
        ("and name=a", "a field is expected here, at character 1 ('and')", "fields are"),
        ("name='a", "this quotation mark has no second one, at character 6", "for example"),
        ("name!a", "'!' means nothing here, at character 5", "for example"),
        ("not " * 60 + "name=a", "nested more than 50 deep", "for example"),
        ("(" * 5000 + "name=a", "nested more than 50 deep", "for example"),
    ],
    ids=range(29),
)
def test_a_mistake_is_named_with_its_place(text, said, hint):
    """The first one, counted from 1, and what would be right."""
    with pytest.raises(UsageError) as caught:
        vm_filter.parse(text)
    assert said in caught.value.message
    assert hint in caught.value.hint


names = st.text("ab-1. '", min_size=1, max_size=6)


@settings(max_examples=150, deadline=None)
@given(st.recursive(
    st.tuples(st.sampled_from(["name", "host", "cluster"]), names),
    lambda inner: st.tuples(st.just("not"), inner) | st.tuples(st.sampled_from(["and", "or"]), inner, inner),
    max_leaves=8,
), names)  # fmt: skip
def test_an_expression_means_what_its_parts_mean(tree, name):
    """Written out with parentheses, it is the tree that it was made from."""
    vm = Traits(name=name, host=name[::-1], cluster="a")

    def text(node) -> str:
        match node:
            case ("not", inner):
                return f"not ({text(inner)})"
            case (word, left, right):
                return f"({text(left)}) {word} ({text(right)})"
            case (field, value):
                return f'{field}="{value}"'

    def holds(node) -> bool:
        match node:
            case ("not", inner):
                return not holds(inner)
            case ("and", left, right):
                return holds(left) and holds(right)
            case ("or", left, right):
                return holds(left) or holds(right)
            case (field, value):
                return getattr(vm, field) == value

    assert vm_filter.parse(text(tree))(vm) == holds(tree)


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("name=!()'\" andort*[]x\\"), max_size=30))
def test_whatever_is_typed_is_an_expression_or_a_sentence(text):
    """Never a traceback."""
    try:
        assert vm_filter.parse(text)(WEB) in {True, False}
    except UsageError as error:
        assert error.message.startswith("--select: ")


def test_what_an_expression_compares_of_tags_and_attributes_is_known():
    """Nothing else of them is read."""
    found = vm_filter.parse('tag=a and (tag!=b/* or attribute.X=1 and not attribute."y z"=2) or tag=a')
    assert (found.tags, found.attributes) == (("a", "b/*"), ("X", "y z"))
    assert (found.sizes, vm_filter.parse("not memory<1G").sizes) == (False, True)
    plain = vm_filter.parse("name=tag or folder='attribute.X'")
    assert (plain.tags, plain.attributes) == ((), ())
