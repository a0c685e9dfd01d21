"""
`kling-async doctor`: does this computer reach an account's service, and does that take the key?
"""

from kling_async.cli.doctor.command import EXAMPLES, doctor

__all__ = ["EXAMPLES", "doctor"]
