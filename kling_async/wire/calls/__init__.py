"""
Calls that create no task: the service answers at once.
"""
