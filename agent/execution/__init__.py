"""One program in, one `Execution` out: how a run is started, confined, limited, graded and read.

It does not know ideas, models or verdicts.
"""
