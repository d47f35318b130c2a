"""Labelled texts that judge the detectors: made from published formats by code of their own, never tuned on. See README.md."""
