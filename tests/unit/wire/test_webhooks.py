"""
What a callback says and who sent it.
"""

import base64
import hmac
import json
import string
from typing import Any, Final

import pytest
from hypothesis import given, strategies as st

from kling_async.wire.json_text import loads
from kling_async.wire.tasks import Image, TaskStatus
from kling_async.wire.webhooks import Signature, check_secret, make_token, read_callback, read_token, sign, verify

KEY: Final = b"k" * 32
SUBMIT_KEY: Final = "0f8fad5bd9cb469fa16570867728950e"

# The vendor's own test vector.
SECRET: Final = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
MESSAGE_ID: Final = "9876543210"
AT: Final = 1781080794
BODY: Final = (
    b'{"id":"1234567890","status":"succeeded","message":"","create_time":1781080778802,"update_time":1781080794151}'
)
SIGNATURE: Final = "v1,UsKlJP00XoQyOn410NM9xv34sP+Gl0jnOO9Lcpr7NJ4="
HEADERS: Final = {
    "webhook-id": MESSAGE_ID,
    "webhook-timestamp": str(AT),
    "webhook-signature": SIGNATURE,
}

OTHER_SECRET: Final = "whsec_" + base64.b64encode(b"another secret of 24 byt").decode()

TASK: Final = {
    "task_id": "t-1",
    "task_status": "succeed",
    "task_status_msg": "",
    "created_at": 1722769557708,
    "updated_at": 1722769558800,
    "task_info": {"external_task_id": "mine"},
    "task_result": {"images": [{"index": 0, "url": "https://example.org/0.png"}]},
}

submit_keys = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=64)
names = st.sampled_from([*TASK, "id", "status", "object", "data", "message", "error", "outputs", "billing", "url"])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@given(submit_keys, st.binary(min_size=16))
def test_token_is_read_back(submit_key: str, key: bytes) -> None:
    """
    A token gives back the key that it was made for, and needs no escaping in a path.
    """
    token = make_token(key, submit_key)

    assert submit_key == read_token(key, token)
    assert set(token) <= set(string.ascii_letters + string.digits + "-_.")
    assert len(token) <= 108


@given(st.text() | submit_keys.map(lambda key: f"{key}.{'A' * 43}"))
def test_invented_token_is_nobody_s(token: str) -> None:
    """
    No text is a token but what was made with the key.
    """
    assert read_token(KEY, token) is None


@given(submit_keys, st.data())
def test_changed_token_is_nobody_s(submit_key: str, data: st.DataObject) -> None:
    """
    A token with one bit flipped is as good as none, also in the last character, of which Base64 leaves bits unused.
    """
    token = bytearray(make_token(KEY, submit_key).encode())
    place = data.draw(st.integers(0, len(token) - 1) | st.just(len(token) - 1))
    token[place] ^= 1 << data.draw(st.integers(0, 7))

    assert read_token(KEY, token.decode("latin-1")) is None


@given(submit_keys, st.data())
def test_cut_or_longer_token_is_nobody_s(submit_key: str, data: st.DataObject) -> None:
    """
    A part of a token, or a token with anything before or behind it, is none.
    """
    token = make_token(KEY, submit_key)
    more = data.draw(st.text(min_size=1))

    assert read_token(KEY, token[: data.draw(st.integers(0, len(token) - 1))]) is None
    assert read_token(KEY, token[data.draw(st.integers(1, len(token))) :]) is None
    assert read_token(KEY, token + more) is None
    assert read_token(KEY, more + token) is None


@given(submit_keys, st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_token_of_another_key_is_nobody_s(submit_key: str, key: bytes, other: bytes) -> None:
    """
    A receiver reads its own tokens alone.
    """
    assert (submit_key if key == other else None) == read_token(other, make_token(key, submit_key))


@given(submit_keys, submit_keys)
def test_mark_of_another_submit_is_no_use(submit_key: str, other: str) -> None:
    """
    A mark cannot be moved to another submit's key.
    """
    mark = make_token(KEY, submit_key).rpartition(".")[2]

    assert (other if other == submit_key else None) == read_token(KEY, f"{other}.{mark}")


def test_absurdly_long_token_is_nobody_s() -> None:
    """
    A token of a megabyte is refused before anything is computed of it.
    """
    assert read_token(KEY, "a" * 2**20) is None
    assert read_token(KEY, make_token(KEY, SUBMIT_KEY) * 1000) is None


@pytest.mark.parametrize("submit_key", ["", "a/b", "a.b", "é", "a" * 65, "a\n"])
def test_key_of_a_submit_fits_a_path(submit_key: str) -> None:
    """
    What would need escaping, or is absurd, is refused when the token is made.
    """
    with pytest.raises(ValueError, match="64 letters"):
        make_token(KEY, submit_key)


def test_bare_task_is_read() -> None:
    """
    The vendor's callback for pictures is the bare task.
    """
    seen = read_callback(json.dumps(TASK).encode())

    assert ("t-1", TaskStatus.SUCCEEDED) == (seen.task_id, seen.task_status)
    assert (Image(0, "https://example.org/0.png"),) == seen.task_result.images
    assert "mine" == seen.task_info.external_task_id
    assert seen.request_id is None
    assert TASK == seen.raw


@pytest.mark.parametrize(
    "envelope",
    [
        {"code": 0, "message": "SUCCEED", "request_id": "r-1", "data": TASK},
        {"code": 1301, "message": "refused", "request_id": "r-1", "data": TASK},
        {"request_id": "r-1", "data": [TASK]},
        {"request_id": "r-1", "data": json.dumps(TASK)},
        {"request_id": "r-1", "data": {"request_id": "r-2", "data": TASK}},
        [{"request_id": "r-1", "data": TASK}],
    ],
)
def test_enveloped_task_is_read(envelope: object) -> None:
    """
    A task in an envelope is the same task, whatever the envelope says beside it.
    """
    seen = read_callback(json.dumps(envelope).encode())

    assert read_callback(json.dumps(TASK).encode()).task_result == seen.task_result
    assert ("t-1", "r-1") == (seen.task_id, seen.request_id)


@pytest.mark.parametrize(
    "body", [b'{"task_id": "t-1", "n": [1.50, 123456789012345678901]}', b'\xef\xbb\xbf{"id":"t","status":"\xff"}']
)
def test_raw_form_of_a_bare_task_is_what_was_received(body: bytes) -> None:
    """
    With all of its fields, also where a byte cannot be read.
    """
    assert loads(body) == read_callback(body).raw


def test_new_standard_is_read() -> None:
    """
    The vendor's new standard has other words for the same.
    """
    body = {
        "id": "t-2",
        "status": "succeeded",
        "message": "",
        "create_time": 1781080778802,
        "external_id": "mine",
        "outputs": [{"type": "image", "url": "https://example.org/0.png"}],
    }
    seen = read_callback(json.dumps(body).encode())

    assert ("t-2", TaskStatus.SUCCEEDED, "succeeded") == (seen.task_id, seen.task_status, seen.status_word)
    assert (Image(0, "https://example.org/0.png"),) == seen.task_result.images
    assert "mine" == seen.task_info.external_task_id


def test_test_callback_of_the_console_is_read() -> None:
    """
    The vendor's console sends a submitted task without outputs.
    """
    seen = read_callback(b'{"id":"1","status":"submitted","message":"","outputs":[]}')

    assert TaskStatus.SUBMITTED is seen.task_status


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b'{"task_id": "t-1"',
        b"null",
        b"[]",
        b"{}",
        b'{"task_id": ""}',
        b'{"id": "1"}',
        b'{"data": null}',
        b'{"data": {"data": {"data": {"task_id": "t-1"}}}}',
        b'[{"task_id": "t-1"}, {"task_id": "t-2"}]',
        b"[" * 100_000,
        b'{"task_id": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_task_is_refused(body: bytes) -> None:
    """
    Anything without a task in it is a ValueError.
    """
    with pytest.raises(ValueError):
        read_callback(body)


@given(st.binary() | anything.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_a_task_or_refused(body: bytes) -> None:
    """
    No body whatever ends in another exception.
    """
    try:
        seen = read_callback(body)
    except ValueError:
        return
    assert seen.task_id


@given(st.dictionaries(names, anything, max_size=4))
def test_odd_fields_cost_no_task(fields: dict[str, Any]) -> None:
    """
    Whatever the other fields hold, a body with an id is a task.
    """
    seen = read_callback(json.dumps({**fields, "task_id": "t-1"}).encode())

    assert "t-1" == seen.task_id


def test_vendor_s_vector_is_signed() -> None:
    """
    The signature of the vendor's own example is good, and ours for it is the same.
    """
    assert Signature.SIGNED is verify([SECRET], HEADERS, BODY, AT)
    assert HEADERS == sign(SECRET, MESSAGE_ID, AT + 0.9, BODY)


@pytest.mark.parametrize("secret", [SECRET, SECRET.removeprefix("whsec_"), SECRET.rstrip("="), f" {SECRET}\n"])
def test_secret_may_be_written_in_several_ways(secret: str) -> None:
    """
    The prefix, the padding and white space around it make no difference.
    """
    assert Signature.SIGNED is verify([secret], HEADERS, BODY, AT)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!!!", "whsec_AAAAA", "dGVz dA==", "dGVz-_A=", "A="])
def test_misspelt_secret_is_refused(secret: str) -> None:
    """
    What is not Base64 is refused in words that do not repeat it, rather than refusing every callback.
    """
    with pytest.raises(ValueError, match="is Base64"):
        check_secret(secret)


def test_any_secret_of_several_will_do() -> None:
    """
    During a rotation the receiver may know the old secret and the new.
    """
    assert Signature.SIGNED is verify([OTHER_SECRET, SECRET], HEADERS, BODY, AT)
    assert Signature.WRONG is verify([OTHER_SECRET], HEADERS, BODY, AT)


@pytest.mark.parametrize("pattern", ["{other} {ours}", "{ours} {other}", "v1a,x  {ours} v2,y", "junk {ours}"])
def test_any_signature_of_several_will_do(pattern: str) -> None:
    """
    During a rotation the vendor signs with both; versions that are unknown are passed over.
    """
    other = sign(OTHER_SECRET, MESSAGE_ID, AT, BODY)["webhook-signature"]
    headers = {**HEADERS, "webhook-signature": pattern.format(ours=SIGNATURE, other=other)}

    assert Signature.SIGNED is verify([SECRET], headers, BODY, AT)


@pytest.mark.parametrize(
    ("now", "signature"),
    [
        (AT, Signature.SIGNED),
        (AT + 300, Signature.SIGNED),
        (AT - 300, Signature.SIGNED),
        (AT + 300.001, Signature.WRONG),
        (AT - 300.001, Signature.WRONG),
        (0.0, Signature.WRONG),
        (float("nan"), Signature.WRONG),
    ],
)
def test_time_of_a_signature(now: float, signature: Signature) -> None:
    """
    A signature is good for 300 s either way, and no longer.
    """
    assert signature is verify([SECRET], HEADERS, BODY, now)


@pytest.mark.parametrize(
    "timestamp",
    [f"+{AT}", f"0{AT}", f"{AT}.0", f"{AT}.9", "1.781080794e9", f"{AT}000", "soon", "-1", "٣", "nan", "9" * 400],
)
def test_time_is_signed_as_it_is_written(timestamp: str) -> None:
    """
    Another spelling of the time that was signed, and what is no time at all, is wrong.
    """
    assert Signature.WRONG is verify([SECRET], {**HEADERS, "webhook-timestamp": timestamp}, BODY, AT)


@pytest.mark.parametrize("missing", [{name} for name in HEADERS] + [set(HEADERS) - {name} for name in HEADERS])
def test_partial_signature_is_wrong(missing: set[str]) -> None:
    """
    One or two of the three headers are a signature that was tampered with, not none; empty ones do not count.
    """
    assert Signature.WRONG is verify([SECRET], {k: v for k, v in HEADERS.items() if k not in missing}, BODY, AT)
    assert Signature.WRONG is verify([SECRET], {**HEADERS, **dict.fromkeys(missing, "")}, BODY, AT)
    assert Signature.WRONG is verify([SECRET], sign(SECRET, "", AT, BODY), BODY, AT)


@pytest.mark.parametrize("headers", [{}, {"content-type": "application/json"}, dict.fromkeys(HEADERS, "")])
def test_no_signature_is_unsigned(headers: dict[str, str]) -> None:
    """
    Without the headers nothing is proved and nothing is wrong.
    """
    assert Signature.UNSIGNED is verify([SECRET], headers, BODY, AT)


@pytest.mark.parametrize("signature", [SIGNATURE, "v1,wrong"])
def test_without_a_secret_all_is_unsigned(signature: str) -> None:
    """
    Without a secret no signature can be judged.
    """
    assert Signature.UNSIGNED is verify([], {**HEADERS, "webhook-signature": signature}, BODY, AT)


def test_case_of_header_names_does_not_matter() -> None:
    """
    A header is known by its name in any case.
    """
    assert Signature.SIGNED is verify([SECRET], {name.title(): value for name, value in HEADERS.items()}, BODY, AT)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook-id", "9876543211"),
        ("webhook-id", "é"),
        ("webhook-id", "\udce9"),
        ("webhook-timestamp", str(AT + 1)),
        ("webhook-signature", SIGNATURE.removeprefix("v1,")),
        ("webhook-signature", SIGNATURE.replace("v1", "v2")),
        ("webhook-signature", SIGNATURE[:-1]),
        ("webhook-signature", "v1,"),
        ("webhook-signature", "é \udce9"),
    ],
)
def test_changed_header_is_wrong(name: str, value: str) -> None:
    """
    Whatever is signed cannot be changed.
    """
    assert Signature.WRONG is verify([SECRET], {**HEADERS, name: value}, BODY, AT)


@pytest.mark.parametrize("body", [BODY + b" ", BODY.replace(b'"', b"'"), b"", b"\xff" + BODY])
def test_changed_body_is_wrong(body: bytes) -> None:
    """
    The body is judged byte by byte: also what means the same is another body.
    """
    assert Signature.WRONG is verify([SECRET], HEADERS, body, AT)


@given(st.text(st.characters(codec="utf-8")), st.floats(1, 99_999_999_998), st.text(string.ascii_letters, min_size=1))
def test_what_is_signed_is_verified(text: str, at: float, message_id: str) -> None:
    """
    A signature of ours is good for its body at its time, with a byte order mark as without.
    """
    headers = sign(OTHER_SECRET, message_id, at, text.encode())

    assert Signature.SIGNED is verify([SECRET, OTHER_SECRET], headers, text.encode(), at)
    assert Signature.WRONG is verify([SECRET], headers, text.encode(), at)


def test_what_is_not_utf_8_cannot_be_signed() -> None:
    """
    The scheme signs text.
    """
    with pytest.raises(ValueError):
        sign(SECRET, MESSAGE_ID, AT, b"\xff")


@given(st.binary(max_size=60))
def test_signature_of_any_bytes_is_verified_as_they_are(body: bytes) -> None:
    """
    The scheme signs the bytes that were sent, whatever they mean.
    """
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signed = f"{MESSAGE_ID}.{AT}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    headers = {**HEADERS, "webhook-signature": f"v1,{signature}"}

    assert Signature.SIGNED is verify([SECRET], headers, body, AT)
    assert Signature.WRONG is verify([SECRET], headers, body + b" ", AT)
