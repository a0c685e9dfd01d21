#!/usr/bin/env bash
# When clocks go forward or back, backoff's `max_time` is wrong by an hour.
#
# Version: backoff 2.2.1, on Linux.
#
# `max_time=60` promises to try again for a minute. backoff measures it by local wall-clock time without a zone. So a
# call that is being retried when summer time begins has "used" an hour at once and is given up; one that is being
# retried when summer time ends gets an hour more. Only the zone's rule is needed for this: nobody sets a clock here.
#
# One would guess that a limit in seconds is measured by a clock that counts seconds, such as `time.monotonic`.
#
# The script takes a zone whose clocks change three seconds after the start: TZ may hold such a rule. It needs 15 s.
#
# Seen output:
#
#     max_time=60, clocks go forward: given up after 3 s
#     max_time=5, clocks go back: still trying after 10 s, elapsed -3590 s by its own count
#
# Ends with another code than 0 where backoff behaves otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "backoff==2.2.1"
"$folder/venv/bin/python" - <<'PY'
import os
import time

import backoff


def let_clocks_change(direction):
    """
    Set a zone, winter as UTC and summer an hour ahead, that changes in three seconds.
    """
    change = time.gmtime(time.time() + 3)
    today, other_day = change.tm_yday - 1, (change.tm_yday + 100) % 365
    hour = change.tm_hour + (direction == "back")  # the rule gives the hour by the time that ends
    now, other = f"{today}/{hour}:{change.tm_min}:{change.tm_sec}", f"{other_day}/0"
    start, end = (now, other) if direction == "forward" else (other, now)
    os.environ["TZ"] = f"WINTER0SUMMER-1,{start},{end}"
    time.tzset()


def try_for(max_time, at_most):
    counted = []
    start = time.monotonic()

    @backoff.on_exception(
        backoff.constant,
        ConnectionError,
        max_time=max_time,
        interval=0.5,
        jitter=None,
        on_backoff=lambda details: counted.append(details["elapsed"]),
    )
    def call():
        if time.monotonic() - start < at_most:
            raise ConnectionError
        return True

    try:
        is_still_trying = call()
    except ConnectionError:
        is_still_trying = False
    return is_still_trying, time.monotonic() - start, counted[-1]


let_clocks_change("forward")
is_trying, seconds, _ = try_for(60, at_most=70)
assert not is_trying and seconds < 40, seconds
print(f"max_time=60, clocks go forward: given up after {seconds:.0f} s")

let_clocks_change("back")
is_trying, seconds, counted = try_for(5, at_most=10)
assert is_trying and counted < -3000, (is_trying, counted)
print(f"max_time=5, clocks go back: still trying after {seconds:.0f} s, elapsed {counted:.0f} s by its own count")
PY
