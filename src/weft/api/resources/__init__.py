"""What can be made, listed, inspected, changed and removed: a file a noun, which says once all that
the API, the command line, completion and `weft apply` make of it."""
