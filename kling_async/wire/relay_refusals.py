"""
Recognizes creates that a relay itself refused before it sent anything to the vendor, so that no task was created.

Relays answer many of these with a 5xx, which by itself does not show whether a task was created. Only the relay that
received our request counts. The same words quoted from another relay prove nothing: that relay may have sent the
request to several upstreams, and one of them may have created the task.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import attrs

from kling_async.errors import ContentRefused, InvalidRequest, KlingError, NotAllowed

__all__ = ["RELAY_REFUSALS", "RelayRefusal", "refusal_of"]


@attrs.frozen(kw_only=True)
class RelayRefusal:
    """
    One way in which a relay refuses a create by itself.

    Attributes:
        relay: The software.
        statuses: The HTTP statuses of such an answer.
        code: Its code, in the answer or in its `error`; empty if it sends none, so that `words` decide.
        words: How its message begins, if the code is not enough.
        kind: The error to raise.
        source: Repository, file and function that answer so, and why nothing can have been sent before.
    """

    relay: str
    statuses: frozenset[int]
    code: str
    kind: type[KlingError]
    source: str
    words: re.Pattern[str] | None = None

    def fits(self, status: int, code: str, message: str) -> bool:
        """
        Return whether an answer is this refusal.
        """
        is_said = self.words is None or self.words.match(message) is not None
        return status in self.statuses and code == self.code and is_said


RELAY_REFUSALS: Final = (
    RelayRefusal(
        relay="new-api",
        statuses=frozenset({404, 503}),
        code="model_not_found",
        kind=NotAllowed,
        source="QuantumNous/new-api middleware/distributor.go, Distribute: no channel offers the model to this key's "
        "group; it runs before the handler that sends anything. 503 today, 404 by pull request 6310.",
    ),
    RelayRefusal(
        relay="one-api, and new-api before it had codes",
        statuses=frozenset({503}),
        code="",
        words=re.compile(r"(?:当前)?分组 \S+ 下(?:对于)?模型 \S* ?无可用渠道|No available channels? for model "),
        kind=NotAllowed,
        source="songquanpeng/one-api middleware/distributor.go, Distribute: as above. When a retry finds no channel, "
        "controller/relay.go answers with the error of the attempt before, never with these words.",
    ),
    RelayRefusal(
        relay="one-hub",
        statuses=frozenset({404, 503}),
        code="provider_not_found",
        kind=NotAllowed,
        source="MartialBE/one-hub relay/task/kling/submit.go, SetProvider: no channel for the model, asked for before "
        "Relay. relay/task/main.go also asks between two attempts, but KlingTask.ShouldRetry is never true. 404 comes "
        "from relay/common.go, GetProvider, where the key may not use the model.",
    ),
    RelayRefusal(
        relay="one-hub, its OpenAI paths",
        statuses=frozenset({503}),
        code="one_hub_error",
        kind=NotAllowed,
        source="MartialBE/one-hub relay/main.go, Relay: setProvider failed before the first attempt. Where it fails "
        "between two attempts, the error of the attempt before is answered.",
    ),
    RelayRefusal(
        relay="new-api",
        statuses=frozenset({400, 500}),
        code="sensitive_words_detected",
        kind=ContentRefused,
        source="QuantumNous/new-api controller/relay.go, Relay: its own list of words, checked before it sends.",
    ),
    RelayRefusal(
        relay="new-api",
        statuses=frozenset({400, 500}),
        code="model_price_error",
        kind=NotAllowed,
        source="QuantumNous/new-api controller/relay.go, Relay, and relay/relay_task.go, RelayTaskSubmit: the operator "
        "has set no price for the model. Checked before an attempt, and the same for each.",
    ),
    RelayRefusal(
        relay="new-api",
        statuses=frozenset({500}),
        code="count_token_failed",
        kind=InvalidRequest,
        source="QuantumNous/new-api controller/relay.go, Relay: the request was measured, before the first attempt.",
    ),
    RelayRefusal(
        relay="new-api",
        statuses=frozenset({500}),
        code="gen_relay_info_failed",
        kind=InvalidRequest,
        source="QuantumNous/new-api controller/relay.go, Relay: the request could not be read, before it sends.",
    ),
)
"""
A further relay is a further row; read its source first. Left out, because an earlier attempt may have reached the
vendor: new-api's `get_channel_failed` (controller/relay.go, RelayTask: asked for between two attempts),
`channel:no_available_key` (the same) and `prompt_blocked` (the upstream's answer), and one-hub's `channel_error`.
"""

_REQUEST_ID: Final = "(request id:"
"""
Each relay of this family adds this to the message. If it is there twice, the relay quotes another one.
"""

_PASSED_ON: Final = "system_error"
"""
The type that one-hub gives to an error of another relay that it passes on (relay/common.go, FilterOpenAIErr); it also
removes the other relay's request id.
"""


def refusal_of(status: int, payload: Mapping[str, Any]) -> RelayRefusal | None:
    """
    Return the row that an answer to a create matches; None if it may have been sent to the vendor.
    """
    error = payload.get("error")
    source = error if isinstance(error, Mapping) else payload
    code, message = source.get("code") or "", source.get("message") or ""
    if not isinstance(code, str) or not isinstance(message, str):
        return None
    if message.count(_REQUEST_ID) > 1 or source.get("type") == _PASSED_ON:
        return None
    return next((refusal for refusal in RELAY_REFUSALS if refusal.fits(status, code, message)), None)
