"""How wide text is, without a font at hand.

The widths are those of DejaVu Sans, which is wider than what most pages use; so a text that fits
here fits there.
"""

from __future__ import annotations

import unicodedata

# Thousandths of the size of the letters, from the space to the tilde.
_PLAIN = (
    "318 401 460 838 636 950 780 275 390 390 500 838 318 361 318 337 636 636 636 636 636 636 636"
    " 636 636 636 337 337 838 838 838 531 1000 684 686 698 770 632 575 775 752 295 295 656 557 863"
    " 748 787 603 787 695 635 611 732 684 989 685 611 685 390 337 390 838 500 500 613 635 550 635"
    " 615 352 635 634 278 278 579 278 974 634 612 635 635 411 521 392 634 592 818 592 592 525 636"
    " 337 636 838"
)
_BOLD = (
    "348 456 521 838 696 1002 872 306 457 457 523 838 380 415 380 365 696 696 696 696 696 696 696"
    " 696 696 696 400 400 838 838 838 580 1000 774 762 734 830 683 683 821 837 372 372 775 637 995"
    " 837 850 733 850 770 720 682 812 774 1103 771 724 725 457 365 457 838 500 500 675 716 593 716"
    " 678 435 716 712 343 343 665 343 1042 712 687 716 716 493 595 478 712 652 924 645 652 582 712"
    " 365 712 838"
)
_WIDTHS = {
    bold: {chr(32 + i): int(width) / 1000 for i, width in enumerate(table.split())}
    for bold, table in ((False, _PLAIN), (True, _BOLD))
}
_UNKNOWN, _WIDE = 0.85, 1.05


def text_width(words: str, size: float, *, bold: bool = False) -> float:
    """Pixels that ``words`` take at most, in letters of ``size`` pixels."""
    known = _WIDTHS[bold]
    return size * sum(known.get(letter) or _other(letter) for letter in words)


def _other(letter: str) -> float:
    if unicodedata.combining(letter):
        return 0.0
    return _WIDE if unicodedata.east_asian_width(letter) in "WF" else _UNKNOWN


def shortened(words: str, width: float, size: float, *, bold: bool = False) -> str:
    """``words``, or their beginning and end around ``…`` where they are wider than ``width``."""
    if text_width(words, size, bold=bold) <= width:
        return words
    low, high = 1, len(words) - 1
    while low < high:
        kept = (low + high + 1) // 2
        if text_width(_cut(words, kept), size, bold=bold) <= width:
            low = kept
        else:
            high = kept - 1
    return _cut(words, low)


def _cut(words: str, kept: int) -> str:
    return f"{words[: (kept + 1) // 2]}…{words[len(words) - kept // 2 :]}"
