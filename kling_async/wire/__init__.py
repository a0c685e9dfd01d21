"""
The protocol as values: no waiting, no sockets, no files, no clock.
"""
