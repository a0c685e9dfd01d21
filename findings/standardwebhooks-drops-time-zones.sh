#!/usr/bin/env bash
# standardwebhooks 1.1.0 signs another moment than the one that it is given when this has a zone other than UTC.
#
# `Webhook.sign` takes the time as a `datetime`. It does not convert it to UTC but puts UTC in the place of its zone:
# half past six in Shanghai is signed as half past six in UTC. The receiver, who is sent the right number of seconds in
# the header, refuses the message. A time without a zone is taken for UTC as well, where Python takes it for local
# time.
#
# One would guess that three `datetime`s that are equal (`==`) give one signature.
#
# What follows: give `sign` times in UTC only. Tests on a machine whose zone is UTC do not show it.
#
# Seen output:
#
#     UTC: verified
#     the same moment in Shanghai: No matching signature found
#     the same moment in Halifax: No matching signature found
#
# Ends with another code than 0 where standardwebhooks behaves otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "standardwebhooks==1.1.0" "tzdata==2026.6"
"$folder/venv/bin/python" - <<'PY'
import base64
import datetime
import zoneinfo

import standardwebhooks

webhook = standardwebhooks.Webhook(base64.b64encode(b"an example of a secret").decode())
moment = datetime.datetime.now(datetime.UTC)


def outcome(time):
    assert time == moment
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(time.timestamp())),
        "webhook-signature": webhook.sign("msg_1", time, "{}"),
    }
    try:
        webhook.verify("{}", headers)
    except standardwebhooks.WebhookVerificationError as error:
        return str(error)
    return "verified"


seen = [outcome(moment.astimezone(zoneinfo.ZoneInfo(zone))) for zone in ("UTC", "Asia/Shanghai", "America/Halifax")]
print("UTC:", seen[0])
print("the same moment in Shanghai:", seen[1])
print("the same moment in Halifax:", seen[2])
assert seen == ["verified", "No matching signature found", "No matching signature found"]
PY
