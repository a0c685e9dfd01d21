"""
What users set: how patiently to retry, how often to poll, how many slots to use, how to connect.
"""
