"""
Decides whether a download is too slow, from its bytes and from the seconds spent waiting for them.
"""

import attrs

__all__ = ["DownloadPolicy", "Progress"]

KIB = 1024


@attrs.frozen(kw_only=True)
class DownloadPolicy:
    """
    How slow a download may be.

    A picture has a few MiB. The defaults allow for slow lines: a mobile line of 64 kbit/s carries 8 KiB/s, and one of
    256 kbit/s that eight downloads share still carries 4 KiB/s for each. A server that sends a byte now and then would
    otherwise occupy a place for days.

    Attributes:
        least_rate: Bytes per second in each `window`. A download that falls below is given up.
        window: Seconds over which that is measured: long enough for a handover between two cells, or for a server that
            fetches the picture from elsewhere first. A longer `HttpOptions.read_timeout` lengthens it.
        mean_rate: Bytes per second from the beginning on, once `grace` is over: with it, the time for all of a picture
            grows with its size.
        grace: Seconds that each picture may take besides.
    """

    least_rate: float = 1.0 * KIB
    window: float = 30.0
    mean_rate: float = 4.0 * KIB
    grace: float = 60.0


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
