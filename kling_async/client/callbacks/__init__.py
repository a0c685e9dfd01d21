"""
Callbacks: receiving them, checking them, and routing them to tasks.
"""
