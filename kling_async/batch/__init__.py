"""
Many tasks and their journal.
"""

from kling_async.batch.batch import Added, Batch, Keyed
from kling_async.batch.records import Summary

__all__ = ["Added", "Batch", "Keyed", "Summary"]
