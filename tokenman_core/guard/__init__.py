"""Notices agents that go round in circles or spend too fast: by what a conversation says of its own last steps."""
