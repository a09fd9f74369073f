"""The pictures of a card that no decision has drawn: evaluation bars and the lineage.

What a picture shows and its words are plain data; only the ``draw_…`` modules and their layouts
need matplotlib.
"""
