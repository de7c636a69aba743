"""What `weft doctor` looks at: one module a subject, each a function from `Subject` to findings."""
