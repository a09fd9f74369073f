"""Pictures on a page of either colour scheme: the sheet, its letters and marks, and their bytes.

An SVG takes its colours from the page's scheme and has no background; the PNG beside it is for
places that take no SVG, and is opaque and light, which reads on a dark page too.
"""
