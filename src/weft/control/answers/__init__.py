"""What control says of the records when it is asked: conflicts, explanations, reports."""
