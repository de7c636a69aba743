"""`weft bench`: what Weft costs, measured beside what it is compared with.

Figures from a small machine lie easily, so: all variants run interleaved, round after round;
medians of the rounds are reported with the smallest and the largest; streams name their congestion
control and run at one MSS; round trips run with both ends on one CPU (which shows the path) and
free (which shows what a user sees); CPU time is the whole machine's, less what it spends idle.
"""
