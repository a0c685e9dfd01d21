"""
Calls that create no task, and the objects of a client that make them.
"""
