"""Finding personal data and secrets in a text: a gate that most text never passes, and checks on what trips it."""
