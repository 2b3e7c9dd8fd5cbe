"""Intervals, tests, agreement and rankings, in plain Python: quick enough beside a live screen.

Nothing in here imports numpy. What needs it, a Bradley-Terry fit, runs in a process of its own
(`ranking`). Functions raise ValueError for arguments that make no sense, and return None where
the data hold nothing to estimate.
"""
