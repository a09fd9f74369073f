"""A layered layout, from left to right: ancestors first, in columns.

The four steps are those of Sugiyama, Tagawa and Toda (1981), each in a module: columns by the
longest way from a root, stations where long lines pass through a column, rows with few crossings,
and places. No randomness: the same family gives the same picture.
"""
