"""
Polling: which tasks to query, when, and by which requests.
"""
