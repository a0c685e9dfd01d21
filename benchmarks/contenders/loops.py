"""
What a polling loop sends, with every library.
"""

from typing import Any, Final

PATH: Final = "/v1/images/generations"
HEADERS: Final = {"Authorization": "Bearer sk-x"}
BODY: Final[dict[str, Any]] = {"prompt": "a lighthouse", "n": 1, "model_name": "kling-v3", "external_task_id": "x" * 36}
INTERVAL: Final = 1.0
"""
Seconds between polls.
"""


def has_ended(answer: Any) -> bool:
    return answer["data"]["task_status"] in ("succeed", "failed")
