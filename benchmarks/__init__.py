"""
What things cost, measured: `python -m benchmarks --help`.
"""
