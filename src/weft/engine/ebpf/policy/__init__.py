"""Rules as programs read them: atoms x spans (see `bpf/lib/judge.h`).

What a rule says is a stretch of a line on which every kind of packet is a point. For each subject,
direction and atom (a peer) there is one line, a `Profile`, cut into spans, each with the best rule
of each tier. Symbols (`atoms`, `clauses`) have numbers of this host's own (`numbering`,
`identities`); all that a subject's rules say is an edition (`editions`, `regions`); and programs
are told by `generations` when something else is so.
"""
