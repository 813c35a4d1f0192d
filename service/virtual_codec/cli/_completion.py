"""`vcodec completion`: script for the completion of the command line in a shell."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from virtual_codec.cli._image_codec import OpenCodec
from virtual_codec.cli._verb import Misuse, Verb

SHELLS: Final = ("bash", "zsh", "fish")
_EPILOG: Final = """\
Write the script to the folder in which the shell looks for it, and again after each update:

  vcodec completion bash > ~/.local/share/bash-completion/completions/vcodec
  vcodec completion zsh > ~/.zfunc/_vcodec             with `fpath+=~/.zfunc` before `compinit` in ~/.zshrc
  vcodec completion fish > ~/.config/fish/completions/vcodec.fish"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="shell of the script")


def _run(arguments: argparse.Namespace, _open_codec: OpenCodec) -> int:
    try:
        import shtab
    except ImportError as error:
        raise Misuse("completion needs shtab; run `pip install 'virtual-codec[completion]'`") from error
    from virtual_codec.cli import make_parser

    parser = make_parser()
    _complete_files(parser, shtab.FILE)
    print(shtab.complete(parser, arguments.shell))
    return 0


def _complete_files(parser: argparse.ArgumentParser, files: object) -> None:
    """Mark operands, and options whose value is a path, for the completion of file names."""
    for action in parser._actions:  # argparse has no public list of actions
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                _complete_files(verb, files)
        elif action.choices is None and (
            not action.option_strings or action.type is Path or action.dest == "output"  # --output is parsed as text
        ):
            action.complete = files  # type: ignore[attr-defined]  # the attribute that shtab reads


VERB: Final = Verb(
    summary="print a completion script for bash, zsh or fish",
    epilog=lambda: _EPILOG,
    add_arguments=_add_arguments,
    run=_run,
)
