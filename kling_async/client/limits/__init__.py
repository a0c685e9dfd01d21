"""
Limits the number of tasks that run at a time.
"""
