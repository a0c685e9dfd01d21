"""
Answers to options and commands that do not exist: those that were probably meant. What they need is loaded only then.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Final

import typer.core

from kling_async.cli.conversions import convert_lazily

__all__ = ["GuessingCommand", "GuessingGroup"]

_COMMANDS: Final = {
    "generate": ("image", "images", "picture", "img", "create", "make", "draw", "imagine", "text2image", "txt2img"),
    "video": ("videos", "movie", "film", "animate", "text2video", "image2video", "txt2vid", "img2vid"),
    "batch": ("bulk", "many", "csv"),
    "save": ("download", "fetch"),
    "status": ("get", "show", "info", "query", "poll", "check"),
    "tasks": ("list", "ls", "history", "jobs"),
    "account": ("balance", "usage", "quota", "credits", "costs"),
    "doctor": ("login", "auth", "config", "configure", "setup", "ping"),
    "emulator": ("serve", "server", "mock", "simulate"),
    "image-generation": ("text-to-image", "text2image", "txt2img", "image", "images", "generate"),  # a kind of run
}
"""
Words that other programs have for the same commands.
"""

_OPTIONS: Final = {
    "out": ("output", "output_dir", "outdir", "folder", "dir", "directory", "save_to", "dest", "destination"),
}
"""
Words that other programs have for the same options, besides those for fields of a request.
"""

_PROMPT: Final = "the prompt is an argument, without the name of an option"
_KEY: Final = "the key is read from KLING_API_KEY: other users of this machine can see options"
_KEYS: Final = "the keys are read from KLING_ACCESS_KEY and KLING_SECRET_KEY: other users can see options"
_ANSWERS: Final = {
    "prompt": _PROMPT,
    "text": _PROMPT,
    "key": _KEY,
    "api_key": _KEY,
    "token": _KEY,
    "access_key": _KEYS,
    "secret_key": _KEYS,
}
"""
What to do in place of options that are often expected.
"""


class GuessingCommand(typer.core.TyperCommand):
    """
    Names the options that were probably meant by one that does not exist.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        """
        Return the parameters, as the help shows them and as their values are converted.
        """
        return _prepared(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """
        Read the arguments of the command.
        """
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if hasattr(error, "possibilities"):  # typer has no public name for its class
                self._explain(error)
            raise

    def _explain(self, error: Any) -> None:
        name = error.option_name.lstrip("-").replace("-", "_")
        if name in _ANSWERS:
            error.message, error.possibilities = f"{error.message}; {_ANSWERS[name]}.", ()
            return
        options = [option for each in self.params if not getattr(each, "hidden", False) for option in each.opts]
        known = {option.lstrip("-").replace("-", "_"): option for option in options if option.startswith("--")}
        meant = _synonyms(name, _OPTIONS, known) or _nearest(name, known)
        error.possibilities = [known[each] for each in meant] or error.possibilities


class GuessingGroup(typer.core.TyperGroup):
    """
    Names the commands that were probably meant by one that does not exist.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        """
        Return the options, as the help shows them and as their values are converted.
        """
        return _prepared(super().get_params(ctx))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """
        Return the name of the command that *args* begin with, the command, and the other arguments.
        """
        word = args[0]
        if word == "help":
            ctx.fail(f"No such command 'help'. Did you mean {ctx.command_path} --help?")
        if word not in self.commands and not word.startswith("-") and (meant := self._meant(word)):
            ctx.fail(f"No such command {word!r}. Did you mean {meant}?")
        return super().resolve_command(ctx, args)

    def _meant(self, word: str) -> str:
        if " " in word.strip() and "generate" in self.commands:  # a prompt
            return f"kling-async generate {word!r}"
        return " or ".join(map(repr, _synonyms(word, _COMMANDS, self.commands) or _nearest(word, self.commands)))


def _prepared(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        convert_lazily(parameter)
        # A flag takes no value, but typer writes "<bool>" where the value of other options is described.
        if getattr(parameter, "is_flag", False) and parameter.metavar is None:
            parameter.metavar = ""
    return parameters


def _synonyms(word: str, table: Mapping[str, Sequence[str]], known: Container[str]) -> list[str]:
    return [name for name, words in table.items() if word.lower() in words and name in known]


def _nearest(name: str, known: Iterable[str]) -> tuple[str, ...]:
    from kling_async.wire.suggestions import nearest_names  # noqa: PLC0415

    return nearest_names(name, tuple(known))
