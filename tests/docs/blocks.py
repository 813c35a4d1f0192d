"""Blocks of code in the documents, and the commands of a shell's blocks."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from tests.conftest import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "benchmarks" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_ASSIGNMENT = re.compile(r"[A-Z][A-Z0-9_]*=.*", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Block:
    """Block of code: its document, the line it begins on, its language and text."""

    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


@dataclass(frozen=True, kw_only=True)
class Command:
    """Command of a shell: variables set before it, the program without its folder, and the arguments."""

    variables: dict[str, str]
    program: str
    arguments: list[str]


def blocks() -> list[Block]:
    """Every fenced block of the documents."""
    found = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for match in _FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            name = str(path.relative_to(ROOT))
            found.append(Block(document=name, line=line, language=match[1], text=match[2]))
    return found


def commands(block: Block) -> list[Command]:
    """Commands of a shell's block, in order; of a `console` block those after `$ `. A loop is one command, `for`."""
    text = block.text.replace("\\\n", " ")
    lines = text.splitlines()
    if block.language == "console":
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    found = []
    for line in lines:
        words = shlex.split(line, comments=True)
        while words:
            end = words.index("&&") if "&&" in words and words[0] != "for" else len(words)
            found.append(_command(words[:end]))
            words = words[end + 1 :]
    return found


def _command(words: list[str]) -> Command:
    variables = {}
    while words and _ASSIGNMENT.fullmatch(words[0]):
        name, _, value = words.pop(0).partition("=")
        variables[name] = value
    program, *arguments = words
    return Command(variables=variables, program=program.rpartition("/")[2], arguments=arguments)
