"""Text as a hostile package, machine or commit could choose it."""

from hypothesis import strategies as st

_SPECIAL = "<>|`*_[]()!#@&~$\\{}+-=.:/ 1aw\n\t\r\x00\x1b\x7f\u202e\u2066\u200b\ufeff\u0085\u2028é漢\ud800"

HOSTILE_TEXT = st.text(st.sampled_from(_SPECIAL) | st.characters(), max_size=60)
"""Markdown's and HTML's own characters, controls, bidirectional overrides, lone surrogates, and the rest."""
