//! Diagnostics as text: the line with a caret, plain or coloured.
