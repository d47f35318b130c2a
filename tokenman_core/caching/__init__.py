"""Answers that are given again: never to another question, never to somebody else, never in clear on disk."""
