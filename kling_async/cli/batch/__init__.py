"""
`kling-async batch`: an input, a journal, a folder of files.
"""

from kling_async.cli.batch.command import EXAMPLES, batch

__all__ = ["EXAMPLES", "batch"]
