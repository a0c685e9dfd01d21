"""
`kling-async callback-test`: send a sample callback and report whether the receiver accepts it.
"""

import json
import os
import sys
import time
import uuid
from collections.abc import Mapping
from typing import Annotated, Any, Final
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import attrs
import typer

from kling_async.cli.command_runner import run
from kling_async.cli.exit_codes import ExitCode
from kling_async.cli.options import AsJson, parse_seconds
from kling_async.cli.terminal import write_line
from kling_async.policy.arguments import url_rule
from kling_async.wire.codec import write_task
from kling_async.wire.json_text import dumps
from kling_async.wire.redaction import hide_query, one_line
from kling_async.wire.tasks import TaskSnapshot, TaskStatus
from kling_async.wire.webhooks import check_secret, sign

__all__ = ["CallbackTestResult", "callback_test", "check_response", "hide_token"]

EXAMPLES: Final = """\
Examples:
  kling-async callback-test "$ADDRESS"
  KLING_CALLBACK_SECRET="$SECRET" kling-async callback-test "$ADDRESS"
  kling-async callback-test "$ADDRESS" --timeout 2 --json
"""

_SAMPLE: Final = TaskSnapshot(
    task_id="callback-test", task_status=TaskStatus.SUBMITTED, status_word=TaskStatus.SUBMITTED.value
)


def callback_test(
    *,
    url: Annotated[str, typer.Argument(metavar="URL", help="A callback URL of the receiver.")],
    secret: Annotated[
        str | None, typer.Option(metavar="SECRET", help="Signs the callback (default KLING_CALLBACK_SECRET)")
    ] = None,
    as_json: AsJson = False,
    timeout: Annotated[
        float, typer.Option(metavar="S", parser=parse_seconds, help="Seconds to wait for the response.")
    ] = 10.0,
) -> None:
    """
    Send a sample callback to URL and show the response.

    It reports a task "callback-test" as submitted, which has no effect. The end of URL is secret and not shown.
    """
    if (rule := url_rule(url)) is not None:
        raise typer.BadParameter(f"it {rule}", param_hint="URL")
    secret = secret or os.environ.get("KLING_CALLBACK_SECRET") or None
    if secret is not None:
        try:
            check_secret(secret)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--secret") from None
    run(_test(url, secret, timeout, as_json=as_json))


@attrs.frozen
class CallbackTestResult:
    """
    The result in words. `advice` says what to do about it; `status` is None without a response.
    """

    code: ExitCode
    fact: str
    advice: str = ""
    status: int | None = None


async def _test(url: str, secret: str | None, timeout: float, *, as_json: bool) -> ExitCode:
    how = "unsigned" if secret is None else "signed"
    if not as_json:
        write_line(sys.stdout, one_line(f"POST {hide_token(url)} ({how})"))
    result = await _post(url, secret, timeout)
    if as_json:
        write_line(sys.stdout, json.dumps(result_facts(result, url, is_signed=secret is not None)))
        return result.code
    for line in filter(None, (result.fact, result.advice)):
        write_line(sys.stdout if result.code is ExitCode.SUCCESS else sys.stderr, one_line(line))
    return result.code


async def _post(url: str, secret: str | None, timeout: float) -> CallbackTestResult:
    body = dumps(write_task(_SAMPLE))
    headers = {"Content-Type": "application/json; charset=utf-8"}
    if secret is not None:
        headers.update(sign(secret, f"callback-test-{uuid.uuid4()}", time.time(), body))
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(timeout)) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            location = answer.headers.get("Location", "")
            has_page = answer.headers.get("Content-Length") != "0"
            result = check_response(answer.status, is_signed=secret is not None, location=location, has_page=has_page)
            return attrs.evolve(result, status=answer.status)
    except (
        aiohttp.ClientError,
        OSError,
        ValueError,
    ) as error:  # OSError includes timeouts; ValueError: an invalid host
        return _judge_failure(error, timeout)


def result_facts(result: CallbackTestResult, url: str, *, is_signed: bool) -> dict[str, Any]:
    """
    Return the result for JSON.
    """
    return {
        "url": hide_token(url),
        "is_signed": is_signed,
        "is_accepted": result.code is ExitCode.SUCCESS,
        "http_status": result.status,
        "message": result.fact,
        "advice": result.advice or None,
    }


_REPLIES: Final[Mapping[str, tuple[ExitCode, str, str]]] = {
    "no receiver": (
        ExitCode.USAGE,
        "a web server responds, but there is no receiver at this path.",
        "Compare the path with the receiver's public_url and with the configuration of your proxy.",
    ),
    "unknown token": (
        ExitCode.USAGE,
        "a receiver responds, but it did not create the token in this URL.",
        (
            'To get a valid URL, print receiver.address_of("test") in the program that has the receiver. '
            "If the receiver has a token_key, its URLs stay valid in later runs."
        ),
    ),
    "wrong signature": (
        ExitCode.KEY,
        "the URL is valid, the signature is wrong.",
        "Check that the secret is the receiver's, and that both clocks are right (within 5 minutes).",
    ),
    "refused": (
        ExitCode.KEY,
        "refused. Callbacks of the service have no login and no cookies, only a signature.",
        "Use --secret if the receiver expects a signature; otherwise allow its path without a login.",
    ),
    "no POST": (ExitCode.USAGE, "POST is not allowed at this path.", "Check the path."),
    "server error": (
        ExitCode.SERVICE,
        "the receiver, or the proxy in front of it, fails.",
        "Check that the receiver is running, and read its log.",
    ),
    "other": (
        ExitCode.SERVICE,
        "the server does not accept the sample as a callback.",
        "Check that the URL belongs to a receiver of Kling callbacks.",
    ),
}
"""
Responses that are not accepted: exit code, fact and advice.
"""


def check_response(status: int, *, is_signed: bool, location: str = "", has_page: bool = False) -> CallbackTestResult:
    """
    Explain a response.

    Args:
        location: The target of a redirect.
        has_page: Whether the response has a body; those of a `CallbackReceiver` have none.
    """
    if 200 <= status < 300:
        advice = "" if is_signed else "It was unsigned; use --secret to test the signature too."
        return CallbackTestResult(ExitCode.SUCCESS, f"{status}: accepted.", advice)
    if 300 <= status < 400:
        return CallbackTestResult(
            ExitCode.USAGE,
            f"{status}: a redirect to {hide_token(location) or 'nowhere'}; callbacks do not follow redirects.",
            "Use the target of the redirect as the receiver's public_url.",
        )
    code, fact, advice = _REPLIES[_kind_of(status, is_signed=is_signed, has_page=has_page)]
    return CallbackTestResult(code, f"{status}: {fact}", advice)


def _kind_of(status: int, *, is_signed: bool, has_page: bool) -> str:
    match status:
        case 404:
            return "no receiver" if has_page else "unknown token"
        case 401 if is_signed and not has_page:
            return "wrong signature"
        case 401 | 403:
            return "refused"
        case 405:
            return "no POST"
    return "server error" if status >= 500 else "other"


def _judge_failure(error: Exception, timeout: float) -> CallbackTestResult:
    # The messages of exceptions are not used: they can contain the whole URL.
    match error:
        case TimeoutError():
            fact = f"No response within {timeout:g} s."
            advice = "A firewall may drop the request, or the receiver is stuck."
        case aiohttp.ClientConnectorDNSError() | ValueError():
            fact, advice = "The host cannot be resolved.", "Check the address."
        case aiohttp.ClientSSLError() | aiohttp.ClientConnectorCertificateError():
            fact = "No secure connection: the certificate is not trusted, or the port does not use TLS."
            advice = "The service could not connect either: check the certificate, its chain and the port."
        case aiohttp.ClientConnectorError():
            reason = os.strerror(error.os_error.errno) if error.os_error.errno else "unreachable"
            fact = f"No connection: {reason}."
            advice = "Check that the receiver is running and that its port is reachable from here."
        case _:
            fact = "The connection was established, but the response is not HTTP."
            advice = "Check the port, and whether it uses http or https."
    return CallbackTestResult(ExitCode.SERVICE, fact, advice)


def hide_token(url: str) -> str:
    """
    Return *url* without its secrets: the user, the query, and all but the beginning of the last path segment.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return "…"
    head, slash, last = parts.path.rpartition("/")
    shown = last[: min(4, len(last) // 2)] + "…" if last else ""
    return hide_query(urlunsplit(parts._replace(path=head + slash + shown)))
