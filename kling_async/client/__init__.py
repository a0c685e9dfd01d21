"""
One task: the client, its handles, and everything between a request and its result.
"""
