"""
Polling: which tasks to ask the service for, when, and in which way.
"""
