"""
Polling: which tasks to query, when, and with which requests.
"""
