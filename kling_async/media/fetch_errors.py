"""
Why a file was not fetched or not saved. Internal to downloads and executors: programs get `DownloadFailed` and
`StorageFull`.
"""

__all__ = ["DiskFull", "FetchError", "FetchRefused", "LinkExpired", "TransferBroken"]


class FetchError(Exception):
    """
    A file was not fetched or not saved; the text says why and shows no query.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)


class TransferBroken(FetchError):
    """
    The transfer broke: starting again may help, after `pause` seconds at the earliest.
    """

    def __init__(self, why: str, pause: float = 0.0) -> None:
        super().__init__(why)
        self.pause = pause


class LinkExpired(FetchError):
    """
    The URL is no longer valid: a fresh one may be.
    """


class FetchRefused(FetchError):
    """
    Trying again would not change the result.
    """


class DiskFull(FetchRefused):
    """
    There is no space left on the disk or in the storage.
    """
