"""
The service's endpoints: one file each.
"""
