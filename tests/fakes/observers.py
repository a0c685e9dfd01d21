"""
Observers of submits that write down what they are notified of.
"""

from kling_async.client.delivery import SubmitObserver


class Steps(SubmitObserver):
    """
    Writes down when a submit is announced and withdrawn.
    """

    def __init__(self) -> None:
        self.taken: list[str] = []

    async def sending(self, submit_key: str | None) -> None:
        self.taken.append("sending")

    def withdrawn(self) -> None:
        self.taken.append("withdrawn")
