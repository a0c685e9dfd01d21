"""
`kling-async doctor`: check the key, the address, the connection and the service.
"""

from kling_async.cli.doctor.command import EXAMPLES, doctor

__all__ = ["EXAMPLES", "doctor"]
