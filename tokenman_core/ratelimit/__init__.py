"""Rate limits: how many calls and tokens in a time, and how many calls at once, for whom."""
