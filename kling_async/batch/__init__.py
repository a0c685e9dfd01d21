"""
Many tasks and their journal.
"""

from kling_async.batch.batch import Added, Batch
from kling_async.batch.inputs import Keyed
from kling_async.batch.records import Summary

__all__ = ["Added", "Batch", "Keyed", "Summary"]
