"""Speed and quality, measured: `python -m benchmarks NAME`.

A table for people, one line of JSON last.
"""
