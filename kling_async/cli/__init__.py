"""
The command line: `kling-async`, or `python -m kling_async`. It needs the extra "cli".
"""
