"""
Decides whether a download is too slow, from its bytes and from the seconds spent waiting for them.
"""

import attrs

from kling_async.policy.policies import DownloadPolicy

__all__ = ["Progress"]


@attrs.define
class Progress:
    """
    How many bytes of one download have come, and how many seconds were spent waiting for them. Time in which the reader
    was busy with something else does not count.

    Args:
        size: Bytes in all, as they were announced; 0 where that is not known.
        window: Seconds over which the least rate is measured.
    """

    _policy: DownloadPolicy
    _size: int
    window: float
    came: int = attrs.field(default=0, init=False)
    waited: float = attrs.field(default=0.0, init=False)
    _came_before: int = attrs.field(default=0, init=False)  # this window began
    _waited_before: float = attrs.field(default=0.0, init=False)

    def add(self, came: int, waited: float) -> None:
        """
        Count *came* bytes that took *waited* seconds of waiting.
        """
        self.came += came
        self.waited += waited

    def complaint(self) -> str | None:
        """
        Return why this download is too slow, None where it is not.
        """
        policy = self._policy
        seconds, came = self.waited - self._waited_before, self.came - self._came_before
        if seconds >= self.window:
            if came < policy.least_rate * seconds:
                return f"it was too slow: {came} bytes in {seconds:.0f} s"
            self._waited_before, self._came_before = self.waited, self.came
        if self.waited > policy.grace + max(self.came, self._size) / policy.mean_rate:
            return f"it was too slow: {self.came} bytes in {self.waited:.0f} s"
        return None
