"""
Files that go out with a request or come back as a result: reading, downloading, naming, storing.
"""
