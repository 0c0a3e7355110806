"""XML read into a bounded tree by the standard library's expat, for input that nobody vouches for.

Refused: document types, so that no entity can be declared and nothing external be fetched; too many
octets, elements, levels; too long values. Names are local and folded (`tns:session_ID` is
`sessionid`), since recording clients differ in namespaces, prefixes (declared or not), case and
separators. Comments and processing instructions are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from onrecord.sip.errors import SipError

MAX_DOCUMENT = 256 * 1024
MAX_DEPTH = 16
MAX_ELEMENTS = 2_000
MAX_VALUE = 8_192


class MetadataError(SipError):
    """Metadata that cannot be used: keep the media, put the metadata aside (RFC 7866 §9.2).

    The status is None on purpose: broken metadata is no ground to refuse a recording session.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail, status=None)


@dataclass(slots=True)
class Element:
    """An element: `name` is folded, `tag` as it was written; filled while parsing, then read."""

    name: str
    tag: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element] = field(default_factory=list)
    text: str = ""

    def all(self, name: str) -> Iterator[Element]:
        """Every child of this folded name, in order."""
        return (child for child in self.children if child.name == name)

    def value(self, *names: str) -> str:
        """The text of the first child that has one of these names and is not empty."""
        return next((c.text for c in self.children if c.name in names and c.text), "")

    def attribute(self, *names: str) -> str:
        """The first of these attributes that is there and not empty."""
        return next((text for name in names if (text := self.attributes.get(name, ""))), "")

    def descendants(self) -> Iterator[Element]:
        """Every element below this one, in document order."""
        for child in self.children:
            yield child
            yield from child.descendants()


def parse(octets: bytes) -> Element:
    """Return the root element; raise `MetadataError` and nothing else, for any octets."""
    if len(octets) > MAX_DOCUMENT:
        raise MetadataError("too_large", f"metadata may have {MAX_DOCUMENT} octets")
    builder = _Builder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = builder.refuse_doctype
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.characters
    try:
        parser.Parse(octets.lstrip(b"\r\n\t "), True)
    except (expat.ExpatError, LookupError, ValueError):  # the latter two: an encoding nobody knows
        raise MetadataError("not_well_formed", "the metadata is not well-formed XML") from None
    return builder.root.children[0]


class _Builder:
    """Expat's handlers; whatever they raise ends the parsing at that place."""

    def __init__(self) -> None:
        self.root = Element("")
        self._path = [self.root]
        self._texts: list[list[str]] = [[]]
        self._elements = 0

    def refuse_doctype(self, *_: object) -> None:
        raise MetadataError("doctype", "metadata must not declare a document type")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if self._elements > MAX_ELEMENTS or len(self._path) > MAX_DEPTH:
            raise MetadataError("too_complex", "the metadata has too many elements or levels")
        element = Element(_folded(tag), tag)
        for name, value in attributes.items():
            if not name.startswith("xmlns"):
                element.attributes.setdefault(_folded(name), _bounded(value))
        self._path[-1].children.append(element)
        self._path.append(element)
        self._texts.append([])

    def end(self, _: str) -> None:
        self._path.pop().text = _bounded("".join(self._texts.pop()))

    def characters(self, text: str) -> None:
        self._texts[-1].append(text)


def _folded(name: str) -> str:
    return name.rpartition(":")[2].lower().replace("-", "").replace("_", "")


def _bounded(value: str) -> str:
    value = value.strip()
    if len(value) > MAX_VALUE:
        raise MetadataError("value_too_long", f"a value may have {MAX_VALUE} characters")
    return value
