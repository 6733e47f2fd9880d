"""The expression of --select: which VMs, by name, place, datastore, network, power, size, tag and custom attribute.

    expression = term, { "or", term } ;
    term       = factor, { "and", factor } ;
    factor     = "not", factor | "(", expression, ")" | field, ( "=" | "!=" ), value
               | ( "size" | "memory" ), ( "<" | "<=" | ">" | ">=" ), value ;   (* 500G, 1.5T *)
    field      = word | "attribute.", quoted ;         (* "attribute." and a name is a field, too *)
    value      = word | quoted ;                       (* glob: * any characters, ? one, [abc] one of them *)

A word is anything without spaces, parentheses, =, <, > and quotation marks. `and` binds tighter than `or`.
"""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from lrvmotion.errors import UsageError
from lrvmotion.model.inventory import did_you_mean

FIELDS = ("name", "cluster", "host", "folder", "datastore", "network", "power", "tag", "size", "memory")
_SIZES = {"size": "size_bytes", "memory": "memory_bytes"}  # fields that are numbers
_ORDER: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_SIZE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)([KMGT])(?:i?B)?", re.IGNORECASE)
ATTRIBUTE = "attribute."  # before the name of a custom attribute
_ATTRIBUTES = 'for example: attribute.Owner=smith, or attribute."Cost centre"=42'
_SHOWN = (*FIELDS, f"{ATTRIBUTE}NAME")
POWER = {"on": "poweredOn", "off": "poweredOff", "suspended": "suspended"}
_WORDS = frozenset({"and", "or", "not"})
_TOKEN = re.compile(
    r"""\s*(?:(?P<mark>[!<>]=|[=<>()])|"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<word>[^\s()=!<>"']+))"""
)
_DEEPEST = 50  # parentheses and nots; Python's own stack must never be the limit
_GRAMMAR = "for example: name=web-* and cluster=A and not (folder=Templates/* or power=off)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What an expression is evaluated on; *datastores* and *networks* are all that the VM uses.

    *tags* are (category, name) and *attributes* values by name: of those alone that the expression compares.
    *size_bytes* is what the VM has in use of its datastores; sizes are None where they are not told.
    """

    name: str
    cluster: str = ""
    host: str = ""
    folder: str = ""
    datacenter: str = ""
    datastores: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    power: str = "poweredOn"
    template: bool = False
    managed_by: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict, hash=False)
    size_bytes: int | None = None
    memory_bytes: int | None = None

    @property
    def path(self) -> str:
        """Folder and name, "Prod/Web/web1"."""
        return f"{self.folder}/{self.name}" if self.folder else self.name


Test = Callable[[Traits], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A *test* of VMs, with the patterns of *tags* and the names of *attributes* that it compares.

    *sizes*: it compares the VMs' sizes.
    """

    test: Test
    tags: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    sizes: bool = False

    def __call__(self, vm: Traits) -> bool:
        """Whether it holds of *vm*."""
        return self.test(vm)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # "mark", "word", "quoted", "end"
    text: str
    at: int  # position, from 1

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text.lower() in words


def parse(text: str) -> Filter:
    """Return the filter that the expression *text* stands for; UsageError with the position of the first mistake."""
    parser = _Parser(text)
    test = parser.either(0)
    if parser.next.kind != "end":
        parser.fail("and, or, or the end is expected here")
    tags, attributes = (tuple(dict.fromkeys(names)) for names in (parser.tags, parser.attributes))
    return Filter(test=test, tags=tags, attributes=attributes, sizes=parser.sizes)


def fits_tag(pattern: str) -> Callable[[str, str], bool]:
    """Return whether *pattern* fits a tag of this category and name: the name, or category/name."""
    fits = re.compile(fnmatch.translate(pattern)).match
    return lambda category, name: fits(name) is not None or fits(f"{category}/{name}") is not None


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = self._tokens()
        self.index = 0
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.sizes = False

    @property
    def next(self) -> _Token:
        return self.tokens[self.index]

    def take(self) -> _Token:
        self.index += 1
        return self.tokens[self.index - 1]

    def either(self, depth: int) -> Test:
        tests = [self.both(depth)]
        while self.next.is_word("or"):
            self.take()
            tests.append(self.both(depth))
        return tests[0] if len(tests) == 1 else lambda vm: any(test(vm) for test in tests)

    def both(self, depth: int) -> Test:
        tests = [self.factor(depth)]
        while self.next.is_word("and"):
            self.take()
            tests.append(self.factor(depth))
        return tests[0] if len(tests) == 1 else lambda vm: all(test(vm) for test in tests)

    def factor(self, depth: int) -> Test:
        if depth > _DEEPEST:
            self.fail(f"it is nested more than {_DEEPEST} deep")
        if self.next.is_word("not"):
            self.take()
            inner = self.factor(depth + 1)
            return lambda vm: not inner(vm)
        if (self.next.kind, self.next.text) == ("mark", "("):
            self.take()
            inner = self.either(depth + 1)
            if (self.next.kind, self.next.text) != ("mark", ")"):
                self.fail("a closing parenthesis is missing")
            self.take()
            return inner
        return self.comparison()

    def comparison(self) -> Test:
        compared = self.next.text.lower()
        if self.next.kind != "word" or compared in _WORDS:
            self.fail("a field is expected here", hint=f"fields are: {', '.join(_SHOWN)}")
        if compared.startswith(ATTRIBUTE):
            compared = self.attribute()
        elif compared not in FIELDS:
            hint = _ATTRIBUTES if compared.startswith("attr") else did_you_mean(compared, FIELDS)
            self.fail(f"there is no field {self.next.text!r}", hint=hint)
        else:
            self.take()
        if compared in _SIZES:
            return self.size(compared)
        if (self.next.kind, self.next.text) not in {("mark", "="), ("mark", "!=")}:
            self.fail("= or != is expected here")
        same = self.take().text == "="
        if self.next.kind not in {"word", "quoted"}:
            self.fail(f"{compared} is compared with nothing", hint='put a value with spaces in "quotes"')
        if compared == "power" and self.next.text.lower() not in POWER:
            self.fail(f"there is no power state {self.next.text!r}", hint=f"there are: {', '.join(POWER)}")
        pattern = self.take().text
        if compared == "tag":
            self.tags.append(pattern)
        test = _matches(compared, pattern)
        return test if same else lambda vm: not test(vm)

    def size(self, compared: str) -> Test:
        """Take how a size is compared, and with what."""
        if self.next.kind != "mark" or self.next.text not in _ORDER:
            self.fail(f"{', '.join(_ORDER)} is expected here", hint=f"for example: {compared}>=500G")
        fits = _ORDER[self.take().text]
        found = _SIZE.fullmatch(self.next.text) if self.next.kind in {"word", "quoted"} else None
        if found is None:
            self.fail("a size is expected here", hint="a number with K, M, G or T: 500G, 1.5T (1 G is 1024 M)")
        self.take()
        limit = float(found[1]) * 1024 ** ("KMGT".index(found[2].upper()) + 1)
        self.sizes = True
        own = _SIZES[compared]
        return lambda vm: (size := getattr(vm, own)) is not None and fits(size, limit)

    def attribute(self) -> str:
        """Take the field of a custom attribute, whose name may stand in quotes."""
        name = self.next.text[len(ATTRIBUTE) :]
        if not name:
            self.take()
            if self.next.kind != "quoted" or not self.next.text:
                what = "the name of a custom attribute is expected here"
                self.fail(what, hint=_ATTRIBUTES)
            name = self.next.text
        self.take()
        self.attributes.append(name)
        return ATTRIBUTE + name

    def fail(self, what: str, *, hint: str | None = None) -> NoReturn:
        token = self.next
        where = "at its end" if token.kind == "end" else f"at character {token.at} ({token.text!r})"
        message = f"--select: {what}, {where}"
        raise UsageError(message, hint=hint or _GRAMMAR)

    def _tokens(self) -> list[_Token]:
        tokens: list[_Token] = []
        at = 0
        text = self.text.rstrip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None or found.lastgroup is None:
                at += len(text[at:]) - len(text[at:].lstrip())
                quote = text[at] in "\"'"
                what = "this quotation mark has no second one" if quote else f"{text[at]!r} means nothing here"
                message = f"--select: {what}, at character {at + 1}"
                raise UsageError(message, hint=_GRAMMAR)
            kind = "quoted" if found.lastgroup in {"double", "single"} else found.lastgroup
            tokens.append(_Token(kind, found[found.lastgroup], found.start(found.lastgroup) + 1))
            at = found.end()
        return [*tokens, _Token("end", "", len(text) + 1)]


def _matches(compared: str, pattern: str) -> Test:
    """Return whether the field *compared* matches *pattern*; of several datastores, networks or tags one is enough.

    A custom attribute that is not set matches "" alone.
    """
    if compared == "power":
        wanted = POWER[pattern.lower()]
        return lambda vm: vm.power == wanted
    if compared == "tag":
        fits_one = fits_tag(pattern)
        return lambda vm: any(fits_one(category, name) for category, name in vm.tags)
    fits = re.compile(fnmatch.translate(pattern)).match
    if compared.startswith(ATTRIBUTE):
        name = compared[len(ATTRIBUTE) :]
        return lambda vm: fits(value) is not None if (value := vm.attributes.get(name)) else not pattern
    if compared in {"datastore", "network"}:
        several = f"{compared}s"
        return lambda vm: any(fits(own) is not None for own in getattr(vm, several))
    return lambda vm: fits(getattr(vm, compared)) is not None
