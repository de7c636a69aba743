"""Objects as files describe them: made so, shown, and given back. What nouns there are, and which
fields they have, is in `api.resources` alone."""
