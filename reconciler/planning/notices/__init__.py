"""What people are told, and when: transitions of a target, missed windows, and the message itself."""
