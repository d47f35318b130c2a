"""Personal data, one module a kind: the gate says which of them a text needs, each looks at small windows only.

Importing this package loads no detector: `everything.Personal` does, in a worker.
"""
