"""
Decides whether a download is too slow, from its bytes and from the seconds spent waiting for them.
"""

import attrs

from kling_async.policy.policies import DownloadPolicy

__all__ = ["TransferRate"]


@attrs.define(eq=False, repr=False)
class TransferRate:
    """
    Bytes of one download that arrived, and seconds spent waiting for them. Time in which the reader was busy with
    something else does not count.

    Args:
        size: Total number of bytes, as announced; 0 if unknown.
        window: Seconds over which the minimum rate is measured.
    """

    _policy: DownloadPolicy
    _size: int
    window: float
    received: int = attrs.field(default=0, init=False)
    waited: float = attrs.field(default=0.0, init=False)
    _received_before: int = attrs.field(default=0, init=False)  # when this window began
    _waited_before: float = attrs.field(default=0.0, init=False)

    def add(self, received: int, waited: float) -> None:
        """
        Count *received* bytes that took *waited* seconds of waiting.
        """
        self.received += received
        self.waited += waited

    def problem(self) -> str | None:
        """
        Return why this download is too slow, None if it is not.
        """
        policy = self._policy
        seconds, received = self.waited - self._waited_before, self.received - self._received_before
        if seconds >= self.window:
            if received < policy.least_rate * seconds:
                return f"it was too slow: {received} bytes in {seconds:.0f} s"
            self._waited_before, self._received_before = self.waited, self.received
        if self.waited > policy.grace + max(self.received, self._size) / policy.mean_rate:
            return f"it was too slow: {self.received} bytes in {self.waited:.0f} s"
        return None
