"""
`kling-async callback-test`: does a receiver of callbacks hear what is sent to its address?
"""

import json
import os
import sys
import time
import uuid
from typing import Annotated, Any, Final
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import attrs
import typer

from kling_async.cli.exit_codes import ExitCode
from kling_async.cli.options import AsJson, parse_seconds
from kling_async.cli.screen import write_line
from kling_async.cli.task_runner import run
from kling_async.wire.codec import write_task
from kling_async.wire.json_text import dumps
from kling_async.wire.redaction import hide_query, one_line
from kling_async.wire.tasks import TaskSnapshot, TaskStatus
from kling_async.wire.webhooks import check_secret, sign

__all__ = ["CallbackTestResult", "callback_test", "hide_token", "judge"]

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
    url: Annotated[str, typer.Argument(metavar="URL", help="An address that the receiver has made.")],
    secret: Annotated[
        str | None, typer.Option(metavar="SECRET", help="Signs it; else KLING_CALLBACK_SECRET, else unsigned.")
    ] = None,
    as_json: AsJson = False,
    timeout: Annotated[
        float, typer.Option(metavar="S", parser=parse_seconds, help="Seconds to wait for an answer.")
    ] = 10.0,
) -> None:
    """
    Post a sample callback to URL, and say what came back.

    It reports a task "callback-test" as submitted, which changes nothing. An address is a secret: its end is not shown.
    """
    if not _is_absolute(url):
        raise typer.BadParameter("it must be an absolute http(s) URL", param_hint="URL")
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
    What came back, in words; `advice` says what to do about it, and `status` is None where nobody answered.
    """

    code: ExitCode
    fact: str
    advice: str = ""
    status: int | None = None


async def _test(url: str, secret: str | None, timeout: float, *, as_json: bool) -> ExitCode:
    how = "unsigned" if secret is None else "signed"
    if not as_json:
        write_line(sys.stdout, one_line(f"POST {hide_token(url)} ({how})"))
    verdict = await _post(url, secret, timeout)
    if as_json:
        write_line(sys.stdout, json.dumps(verdict_facts(verdict, url, is_signed=secret is not None)))
        return verdict.code
    for line in filter(None, (verdict.fact, verdict.advice)):
        write_line(sys.stdout if verdict.code is ExitCode.WELL else sys.stderr, one_line(line))
    return verdict.code


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
            verdict = judge(answer.status, is_signed=secret is not None, location=location, has_page=has_page)
            return attrs.evolve(verdict, status=answer.status)
    except (aiohttp.ClientError, OSError, ValueError) as error:  # OSError: also a timeout; ValueError: an odd host
        return _judge_silence(error, timeout)


def verdict_facts(verdict: CallbackTestResult, url: str, *, is_signed: bool) -> dict[str, Any]:
    """
    Return what came back as programs read it.
    """
    return {
        "url": hide_token(url),
        "is_signed": is_signed,
        "is_accepted": verdict.code is ExitCode.WELL,
        "http_status": verdict.status,
        "message": verdict.fact,
        "advice": verdict.advice or None,
    }


def judge(status: int, *, is_signed: bool, location: str = "", has_page: bool = False) -> CallbackTestResult:
    """
    Put a HTTP status into words.

    Args:
        location: Where a redirect leads.
        has_page: Whether the answer has a body; those of a `CallbackReceiver` have none.
    """
    match status:
        case 404 if has_page:
            return CallbackTestResult(
                ExitCode.USAGE,
                "404: a web server is there, but no receiver at this path.",
                "Compare the path with the receiver's public_url, and with what stands in front of it.",
            )
        case 404:
            return CallbackTestResult(
                ExitCode.USAGE,
                "404: a good receiver is there, but this address has a token that it did not make.",
                'For one that it made, let its own program print receiver.address_of("test"); '
                "with a token_key of its own the receiver knows it in later runs too.",
            )
        case 401 if is_signed and not has_page:
            return CallbackTestResult(
                ExitCode.KEY,
                "401: the address is good, the signature is wrong.",
                "Check that the secret is the receiver's, and that both clocks are right (to 5 minutes).",
            )
        case 401 | 403:
            return CallbackTestResult(
                ExitCode.KEY,
                f"{status}: refused. The service has neither a login nor cookies, only a signature.",
                "Give --secret if the receiver asks for a signature; else let its path through without a login.",
            )
        case 405:
            return CallbackTestResult(ExitCode.USAGE, "405: no POST is taken here.", "Check the path.")
    if 200 <= status < 300:
        advice = "" if is_signed else "It was unsigned: give --secret to test the signature too."
        return CallbackTestResult(ExitCode.WELL, f"{status}: accepted.", advice)
    if 300 <= status < 400:
        return CallbackTestResult(
            ExitCode.USAGE,
            f"{status}: a redirect to {hide_token(location) or 'nowhere'}; callbacks do not follow it.",
            "Make the address that it leads to the receiver's public_url.",
        )
    if status >= 500:
        return CallbackTestResult(
            ExitCode.SERVICE,
            f"{status}: the receiver, or what stands in front of it, fails.",
            "Is the receiver running? Its log tells more.",
        )
    return CallbackTestResult(
        ExitCode.SERVICE,
        f"{status}: what is there does not take the sample for a callback.",
        "Is it a receiver of Kling's callbacks?",
    )


def _judge_silence(error: Exception, timeout: float) -> CallbackTestResult:
    # Exceptions are put into our own words: theirs can hold the whole address.
    match error:
        case TimeoutError():
            fact = f"No answer within {timeout:g} s."
            advice = "A firewall may swallow what is sent, or the receiver is stuck."
        case aiohttp.ClientConnectorDNSError() | ValueError():
            fact, advice = "The host's name is not known.", "Check the address."
        case aiohttp.ClientSSLError() | aiohttp.ClientConnectorCertificateError():
            fact = "No secure connection: the certificate is not trusted, or https is not spoken there."
            advice = "The service would not come through either: check the certificate, its chain and the port."
        case aiohttp.ClientConnectorError():
            reason = os.strerror(error.os_error.errno) if error.os_error.errno else "not reachable"
            fact = f"No connection: {reason}."
            advice = "Is the receiver running, and is its port open from here?"
        case _:
            fact = "The connection was made, but there came no answer in HTTP."
            advice = "Check the port, and http or https."
    return CallbackTestResult(ExitCode.SERVICE, fact, advice)


def hide_token(url: str) -> str:
    """
    Return *url* without what may be a secret in it: its user and query, and all but the beginning of its last segment.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return "…"
    head, slash, last = parts.path.rpartition("/")
    shown = last[: min(4, len(last) // 2)] + "…" if last else ""
    return hide_query(urlunsplit(parts._replace(path=head + slash + shown)))


def _is_absolute(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:
        return False
