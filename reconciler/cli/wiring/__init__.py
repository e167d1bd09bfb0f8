"""Which parts a host is made of, and the quiet tick, which needs none of them."""
