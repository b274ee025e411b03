"""The grammar of CEL: a text becomes a tree of nodes (github.com/google/cel-spec, doc/langdef.md)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, NoReturn

__all__ = [
    "Call",
    "CompileError",
    "Field",
    "Index",
    "ListOf",
    "Literal",
    "MapOf",
    "Message",
    "MessageField",
    "Name",
    "Node",
    "located",
    "parse",
]


class CompileError(Exception):
    """An expression that cannot be evaluated, with the place in the text."""


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression.

    Attributes:
        at: its place in the text, from 0.
    """

    at: int


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A value."""

    value: Any


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A variable, or a type."""

    name: str


@dataclass(frozen=True, slots=True)
class Field(Node):
    """A field of a value; `optional` is written with a question mark."""

    of: Node
    name: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Index(Node):
    """An item of a list, or the value at a key of a map."""

    of: Node
    key: Node
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A function or an operator; `of` is the receiver of a method."""

    name: str
    arguments: tuple[Node, ...]
    of: Node | None = None


@dataclass(frozen=True, slots=True)
class ListOf(Node):
    """A list."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class MapOf(Node):
    """A map."""

    entries: tuple[tuple[Node, Node], ...]


class MessageField(NamedTuple):
    """A field of a message.

    Attributes:
        at: the place of its colon in the text, from 0.
        name: its name.
        value: its value.
        optional: whether the value is one that may be missing.
    """

    at: int
    name: str
    value: Node
    optional: bool


@dataclass(frozen=True, slots=True)
class Message(Node):
    """A value of a named type, as `Object.spec{replicas: 1}`."""

    type: str
    fields: tuple[MessageField, ...]


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


_TOKENS: Final = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*)
  | (?P<float>\d+\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.\d+(?:[eE][-+]?\d+)?)
  | (?P<int>0x[0-9a-fA-F]+|\d+)(?P<unsigned>[uU])?
  | (?P<text>(?P<prefix>[rRbB]{0,2})(?P<quote>\"\"\"|'''|\"|')(?P<content>(?:\\.|(?!(?P=quote)).)*)(?P=quote))
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<sign>\.\?|\[\?|&&|\|\||[=!<>]=|[-+*/%!<>?:.,()\[\]{}])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPES: Final = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    **{sign: sign for sign in "\\?\"'`"},
}
_ESCAPE: Final = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2}|.)", re.DOTALL)
_WORDS: Final[dict[str, Any]] = {"true": True, "false": False, "null": None}
_LEVELS: Final = (
    ("||",),
    ("&&",),
    ("==", "!=", "<", "<=", ">", ">=", "in"),
    ("+", "-"),
    ("*", "/", "%"),
)
"""The operators with two sides, the weakest first."""


def parse(text: str) -> Node:
    """Return the tree of an expression.

    Raises:
        CompileError: it is no expression.
    """
    parser = _Parser(text)
    node = parser.expression()
    parser.end()
    return node


_WIDE_DOT: Final = "\uff0e"
_WIDE_MARK: Final = "\uff3e"
"""The signs below a letter of several bytes."""


def located(text: str, at: int, why: str) -> str:
    """Return a fault with its place in the text, as cel-go shows it."""
    if not text:
        return f"ERROR: <input>:1:0: {why}"
    before = text[:at]
    line, column = before.count("\n") + 1, at - (before.rfind("\n") + 1)
    lines = text.split("\n")
    shown = lines[line - 1].replace("\t", " ")
    dots = "".join("." if sign.isascii() else _WIDE_DOT for sign in shown[:column])
    mark = "^" if shown[column : column + 1].isascii() else _WIDE_MARK
    return f"ERROR: <input>:{line}:{column + 1}: {why}\n | {shown}\n | {dots}{mark}"


def _unescaped(content: str, prefix: str) -> str:
    if "r" in prefix.lower():
        return content

    def one(match: re.Match[str]) -> str:
        code = match[1]
        if code in _ESCAPES:
            return _ESCAPES[code]
        if code[0] in "xuU":
            return chr(int(code[1:], 16))
        return chr(int(code, 8)) if code.isdigit() else match[0]

    return _ESCAPE.sub(one, content)


def _dotted(node: Node) -> str:
    """The name that a node is, as `Object.spec`; "" if it is none."""
    match node:
        case Name(name=name):
            return name
        case Field(of=of, name=name, optional=False):
            before = _dotted(of)
            return f"{before}.{name}" if before else ""
    return ""


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[_Token] = []
        self._values: dict[int, Any] = {}
        self._next = 0
        self._read()

    def _read(self) -> None:
        at = 0
        while at < len(self._text):
            match = _TOKENS.match(self._text, at)
            if match is None:
                self._fail(at, f"Syntax error: token recognition error at: '{self._text[at]}'")
            kind = str(match.lastgroup)
            if match["unsigned"]:
                self._fail(at, "unsigned integers are not evaluated here")
            if match["float"]:
                kind, self._values[at] = "literal", float(match["float"])
            elif match["int"]:
                kind, self._values[at] = "literal", int(match["int"], 0 if "x" in match["int"] else 10)
            elif match["text"]:
                value: Any = _unescaped(match["content"], match["prefix"])
                kind = "literal"
                self._values[at] = value.encode() if "b" in match["prefix"].lower() else value
            elif match["name"] in _WORDS:
                kind, self._values[at] = "literal", _WORDS[match["name"]]
            if not match["space"]:
                self._tokens.append(_Token(kind, match[0], at))
            at = match.end()

    def _fail(self, at: int, why: str) -> NoReturn:
        raise CompileError(located(self._text, at, why))

    def _peek(self) -> _Token:
        if self._next < len(self._tokens):
            return self._tokens[self._next]
        return _Token("end", "<EOF>", len(self._text))

    def _take(self) -> _Token:
        token = self._peek()
        self._next += 1
        return token

    def _accept(self, *texts: str) -> _Token | None:
        token = self._peek()
        if token.kind != "literal" and token.text in texts:
            return self._take()
        return None

    def _expect(self, text: str) -> None:
        if self._accept(text) is None:
            token = self._peek()
            self._fail(token.at, f"Syntax error: mismatched input '{token.text}' expecting '{text}'")

    def end(self) -> None:
        """Expect the end of the text."""
        token = self._peek()
        if token.kind != "end":
            self._fail(token.at, f"Syntax error: mismatched input '{token.text}' expecting <EOF>")

    def expression(self) -> Node:
        """Read an expression: a condition with two outcomes, or anything stronger."""
        condition = self._binary(0)
        token = self._accept("?")
        if token is None:
            return condition
        yes = self._binary(0)
        self._expect(":")
        return Call(token.at, "?:", (condition, yes, self.expression()))

    def _binary(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while (token := self._accept(*_LEVELS[level])) is not None:
            left = Call(token.at, token.text, (left, self._binary(level + 1)))
        return left

    def _unary(self) -> Node:
        token = self._accept("!", "-")
        if token is None:
            return self._member()
        operand = self._unary()
        if token.text == "-" and isinstance(operand, Literal) and type(operand.value) in {int, float}:
            return Literal(token.at, -operand.value)
        return Call(token.at, f"{token.text}_", (operand,))

    def _member(self) -> Node:
        node = self._primary()
        while (token := self._accept(".", ".?", "[", "[?", *self._braces(node))) is not None:
            if token.text == "{":
                node = Message(token.at, _dotted(node), self._message_fields())
                continue
            if token.text in {"[", "[?"}:
                key = self.expression()
                self._expect("]")
                node = Index(token.at, node, key, token.text == "[?")
                continue
            name = self._take()
            if name.kind != "name":
                self._fail(name.at, f"Syntax error: no viable alternative at input '.{name.text}'")
            if (bracket := self._accept("(")) is not None:
                node = Call(bracket.at, name.text, self._items(")"), node)
            else:
                node = Field(token.at, node, name.text, token.text == ".?")
        return node

    @staticmethod
    def _braces(node: Node) -> tuple[str, ...]:
        """The sign that makes a message of a type: it stands only after a name."""
        return ("{",) if _dotted(node) else ()

    def _message_fields(self) -> tuple[MessageField, ...]:
        fields: list[MessageField] = []
        while self._accept("}") is None:
            optional = self._accept("?") is not None
            name = self._take()
            if name.kind != "name":
                expected = "{'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}"
                self._fail(name.at, f"Syntax error: mismatched input '{name.text}' expecting {expected}")
            colon = self._peek().at
            self._expect(":")
            fields.append(MessageField(colon, name.text, self.expression(), optional))
            if self._accept(",") is None:
                self._expect("}")
                break
        return tuple(fields)

    def _items(self, end: str) -> tuple[Node, ...]:
        items: list[Node] = []
        while self._accept(end) is None:
            items.append(self.expression())
            if self._accept(",") is None:
                self._expect(end)
                break
        return tuple(items)

    def _primary(self) -> Node:
        token = self._take()
        if token.kind == "literal":
            return Literal(token.at, self._values[token.at])
        if token.kind == "name":
            if (bracket := self._accept("(")) is not None:
                return Call(bracket.at, token.text, self._items(")"))
            return Name(token.at, token.text)
        if token.text == "(":
            node = self.expression()
            self._expect(")")
            return node
        if token.text == "[":
            return ListOf(token.at, self._items("]"))
        if token.text == "{":
            return self._map(token.at)
        expected = (
            "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, "
        )
        return self._fail(token.at, f"Syntax error: mismatched input '{token.text}' expecting {expected}IDENTIFIER}}")

    def _map(self, at: int) -> MapOf:
        entries: list[tuple[Node, Node]] = []
        while self._accept("}") is None:
            key = self.expression()
            self._expect(":")
            entries.append((key, self.expression()))
            if self._accept(",") is None:
                self._expect("}")
                break
        return MapOf(at, tuple(entries))
