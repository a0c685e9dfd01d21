"""
Slots: how many tasks run at a time.
"""
