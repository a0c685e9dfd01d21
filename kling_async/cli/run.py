"""
`kling-async run KIND field=value...`: a request of any endpoint. Each kind is a command, whose help lists its fields.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from kling_async.cli.command_runner import run
from kling_async.cli.exit_codes import EXIT_CODES, ExitCode
from kling_async.cli.first_guesses import GuessingCommand, GuessingGroup
from kling_async.cli.option_groups import with_option_groups
from kling_async.cli.options import AsJson, Name, out_option, require_pillow, timeout_option
from kling_async.cli.request_checks import in_words
from kling_async.cli.request_runner import run_requests
from kling_async.cli.service_options import EmulatedServiceOptions
from kling_async.cli.spending import SpendingOptions
from kling_async.cli.terminal import print_error
from kling_async.media.naming import DEFAULT_NAME
from kling_async.wire.endpoints.base import Endpoint, TaskRequest
from kling_async.wire.endpoints.registry import endpoints
from kling_async.wire.request_fields import field_names, make_request
from kling_async.wire.suggestions import unknown_field_rule

__all__ = ["run_app"]

EXAMPLES: Final = """\
Examples:
  kling-async run text-to-video prompt="a paper boat" duration=10 mode=pro
  kling-async run omni-image prompt="both" image_list=cat.png image_list=hat.png
  kling-async run omni-image --help
"""

run_app = typer.Typer(
    cls=GuessingGroup,
    name="run",
    add_completion=False,
    help="Run a request of any kind, with field=value arguments.",
    epilog=f"{EXAMPLES}\n{EXIT_CODES}",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _command_of(endpoint: Endpoint[Any]) -> Callable[..., None]:
    @with_option_groups
    def command(
        *,
        fields: Annotated[list[str] | None, typer.Argument(metavar="FIELD=VALUE", help="See the fields above.")] = None,
        out: Annotated[Any, out_option("results/")] = Path("results"),
        name: Name = DEFAULT_NAME,
        as_json: AsJson = False,
        spending: SpendingOptions,
        service: EmulatedServiceOptions,
        timeout: Annotated[float, timeout_option(int(endpoint.timeout))] = endpoint.timeout,
    ) -> None:
        request = _request_of(endpoint, fields or [])
        if service.is_emulated:
            require_pillow()
        run(
            run_requests(
                [request], service, spending, out, name=name, timeout=timeout, as_json=as_json, has_options=False
            )
        )

    return command


def _request_of(endpoint: Endpoint[Any], words: Sequence[str]) -> TaskRequest:
    given = _fields_of(endpoint, words)
    request, broken = make_request(endpoint, given, Path(), is_text=True)
    if broken:
        lines = (f"  {in_words(rule, rule.field)}" for rule in broken)
        print_error("Nothing was sent, because of broken rules:", *lines)
        raise typer.Exit(ExitCode.USAGE)
    return request


def _fields_of(endpoint: Endpoint[Any], words: Sequence[str]) -> Mapping[str, Any]:
    # A field that is given several times is a list.
    names = field_names(endpoint)
    given: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in names:
            example = f"{name if name in names else names[0]}={'...' if name in names else word}"
            fields = f"the fields of {endpoint.name} are {', '.join(names)}"
            what = f"{word!r} is not field=value, such as {example!r}; {fields}"
            if equals:
                what = f"{name!r} {unknown_field_rule(endpoint.name, name, names)}"
            raise typer.BadParameter(what, param_hint="FIELD=VALUE")
        if name in given:
            earlier = given[name]
            given[name] = [*(earlier if isinstance(earlier, list) else [earlier]), value]
        else:
            given[name] = value
    return given


def _summary_of(endpoint: Endpoint[Any]) -> str:
    sentence, _, _ = _help_of(endpoint).partition(".")
    return f"{sentence}."


def _help_of(endpoint: Endpoint[Any]) -> str:
    # The attributes of its class, which say what each field takes.
    text = inspect.cleandoc(endpoint.request_class.__doc__ or "")
    summary, _, attributes = text.partition("Attributes:\n")
    first = summary.partition(" Nothing is checked here")[0].partition("\n\n")[0].replace("\n", " ")
    fields = re.sub(r"\n {5,}", " ", attributes)  # a text of several lines
    fields = "\n".join(line.strip() for line in fields.splitlines() if line.strip())
    return f"{first}\n\n\b\nFields:\n{fields}" if fields else first


for each in endpoints():
    run_app.command(
        each.name, cls=GuessingCommand, help=_help_of(each), short_help=_summary_of(each), epilog=EXIT_CODES
    )(_command_of(each))
