"""What a target says of itself: the report, its schema and reader, its summary in words, and its pages."""
