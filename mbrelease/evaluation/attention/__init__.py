"""Attention over packed tokens, one implementation a file.

transformers passes every argument of the model that it does not know on to the attention
function, so the model is called with ``packing=Packing(…)`` and that is how the functions know
where one text ends and the next begins. For a name that is registered without a mask function
transformers builds no mask at all (``masking_utils``: "custom attention without equivalent mask
creation"), in 5.1 as in 5.23.
"""

from __future__ import annotations

from mbrelease.evaluation.attention.banded import banded_attention
from mbrelease.evaluation.attention.flash_attn_2 import flash_attn_2_attention
from mbrelease.evaluation.attention.varlen import varlen_attention

# Names without "flash" or "sdpa", from which transformers draws conclusions of its own.
PACKED = {
    "sdpa": ("mbrelease_banded", banded_attention),
    "fa2-varlen": ("mbrelease_varlen", varlen_attention),
    "flash_attention_2": ("mbrelease_fa2", flash_attn_2_attention),
}
"""By the name people give: the name in transformers, and the function."""


def implementation_name(attn: str) -> str:
    """What transformers calls ``attn``; ours are registered on the way."""
    if attn not in PACKED:
        return attn
    import transformers

    name, function = PACKED[attn]
    transformers.AttentionInterface.register(name, function)
    return name
