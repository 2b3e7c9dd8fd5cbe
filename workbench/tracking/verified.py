"""What may be found of a thing that a run rests on, or has made, when it is looked at again."""

SAME, CHANGED, MISSING, UNRECORDED = "same", "changed", "missing", "not recorded"
AROUND = "around it"
"""The part of what a run doesn't rest on by its content: the machine and what is installed."""
