"""
What an emulated service remembers.
"""

import json
from decimal import Decimal
from typing import Any

from kling_async.emulator import CreatedTask, Ledger

TASK: dict[str, Any] = {
    "task_id": "t1",
    "endpoint": "image-generation",
    "external_task_id": None,
    "prompt": "a cat",
    "n": 2,
    "model_name": "kling-v1",
    "created_at": 1.0,
    "units": Decimal(2),
    "create_number": 1,
}


def test_ledger_tells_all_as_json() -> None:
    """
    Every count of the ledger stands on its page.
    """
    ledger = Ledger(tasks=[CreatedTask(**TASK)], units_billed=2)
    ledger.arrivals.update(create=2, query=3, list=4, tasks=5, download=6)
    ledger.answers["create", 429] += 1
    ledger.refusals[1303] += 1
    ledger.callbacks["succeed"] += 1
    ledger.callback_answers[0] += 1
    ledger.note_peak("kling-v1", 2)
    ledger.note_peak("kling-v1", 1)
    page = json.loads(json.dumps(ledger.as_json()))

    assert "a cat" == page["tasks"][0]["prompt"]
    assert (2, 3, 9, 6) == (page["creates_received"], page["reads"], page["list_reads"], page["downloads"])
    assert {"create 429": 1} == page["answers"]
    assert {"1303": 1} == page["refusals"]
    assert ({"succeed": 1}, {"0": 1}) == (page["callbacks"], page["callback_answers"])
    assert {"kling-v1": 2} == page["peak_slots"]
    assert (2, 2) == (page["files_ordered"], page["units_billed"])
