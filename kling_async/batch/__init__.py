"""
Many tasks and their journal.
"""
