"""What single programs need so that their calls to models pass here: a table, and how it is applied."""
