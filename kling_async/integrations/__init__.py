"""
Other people's tools: Dask, OpenTelemetry, notebooks and pytest. Each module says which extra it needs.
"""
