"""May it happen now: every gate, what each is asked with, and the decision that can be made again."""
