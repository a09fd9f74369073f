"""The names that trainers give to a model's weights, and those that transformers gives them.

A trainer wraps the model (torch.compile, DDP, FSDP, Composer) and files it among its own state,
each of which adds to the names. One weight tells where the model lies: the token embeddings, which
every ModernBERT has. FlexBERT, the authors' own code, says ``bert.encoder.layers`` where
transformers says ``model.layers``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from mbrelease.checkpoints.safe_pickle import printable
from mbrelease.errors import UserError

Parts = tuple[str, ...]

ANCHOR: Parts = ("embeddings", "tok_embeddings", "weight")
WRAPPERS = frozenset({"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
ENCODERS = ("model", "bert")
"""What models with a head call their encoder: in transformers, in FlexBERT."""
OPTIMIZER = "optim"
MOMENTS = frozenset({"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "step"})
IN_ENCODER = re.compile(
    r"embeddings\.tok_embeddings\.weight"
    r"|(embeddings\.norm|final_norm)\.(weight|bias)"
    r"|layers\.\d+\.(attn_norm|attn\.Wqkv|attn\.Wo|mlp_norm|mlp\.Wi|mlp\.Wo)\.(weight|bias)"
)
IN_HEAD = re.compile(r"(head\.dense|head\.norm|decoder|classifier)\.(weight|bias)")
BUFFER = re.compile(r"(.*\.)?(\w*inv_freq|position_ids)")
LISTED = 5


def huggingface_names(names: Iterable[str], place: Path) -> dict[str, str]:
    """The model's weights among ``names``: each stored name with the name in transformers.

    An encoder without a head has names without ``model.`` before them. What an optimizer keeps of
    each weight, what lies beside the model and buffers that are no weights are left out.

    Args:
        names: as they are stored, with a dot between the levels.
        place: the checkpoint, for messages.

    Raises:
        UserError: there is no ModernBERT or more than one, or the model holds what none has.
    """
    stored = {name: _unwrapped(name) for name in names}
    candidates = {name: parts for name, parts in stored.items() if not _of_optimizer(parts)}
    encoder = _encoder(candidates, place)
    root = encoder[:-1] if encoder[-1:] and encoder[-1] in ENCODERS else encoder
    found: dict[str, str] = {}
    unknown: list[str] = []
    for name, parts in candidates.items():
        known = _known(parts, encoder, root)
        if known is not None:
            found[name] = known
        elif _is_of_model(parts, root):
            unknown.append(name)
    if unknown:
        raise UserError(
            f"{place}: the model holds what no ModernBERT has: {_listed(unknown)}",
            mend="give a checkpoint of ModernBERT itself, without adapters or heads of one's own",
        )
    if not any(IN_HEAD.fullmatch(known) for known in found.values()):
        found = {name: known.removeprefix("model.") for name, known in found.items()}
    _refuse_twins(found, place)
    return found


def _unwrapped(name: str) -> Parts:
    return tuple(part for part in name.split(".") if part not in WRAPPERS)


def _of_optimizer(parts: Parts) -> bool:
    return not MOMENTS.isdisjoint(parts[-1:]) or any(part.startswith(OPTIMIZER) for part in parts)


def _encoder(candidates: dict[str, Parts], place: Path) -> Parts:
    """Where the encoder lies: what stands before the anchor."""
    anchors = {name: parts for name, parts in candidates.items() if parts[-3:] == ANCHOR}
    if len(anchors) > 1:
        raise UserError(
            f"{place} holds {len(anchors)} models: {_listed(list(anchors))}",
            mend="save the one that is wanted by itself",
        )
    if not anchors:
        what = f"but {_listed(list(candidates))}" if candidates else "and no other weight"
        raise UserError(
            f"{place} holds no ModernBERT: no name ends with {'.'.join(ANCHOR)}, {what}",
            mend="give a checkpoint of ModernBERT, with the model's own weights",
        )
    return next(iter(anchors.values()))[: -len(ANCHOR)]


def _known(parts: Parts, encoder: Parts, root: Parts) -> str | None:
    """The name in transformers, of a model with a head, if it is a weight that ModernBERT has."""
    if parts[: len(encoder)] == encoder:
        inside = ".".join(parts[len(encoder) :])
        inside = re.sub(r"^encoder\.layers\.", "layers.", inside)
        if IN_ENCODER.fullmatch(inside):
            return f"model.{inside}"
    head = ".".join(parts[len(root) :])
    return head if parts[: len(root)] == root and IN_HEAD.fullmatch(head) else None


def _is_of_model(parts: Parts, root: Parts) -> bool:
    """Whether what is not known by its name would be missed, were it left out."""
    if parts[: len(root)] != root or BUFFER.fullmatch(".".join(parts)):
        return False
    # Where the model's names begin at the top, other things may lie beside it: a step, a scaler.
    return bool(root) or parts[-1:] in (("weight",), ("bias",))


def _refuse_twins(found: dict[str, str], place: Path) -> None:
    stored: dict[str, str] = {}
    for name, known in found.items():
        if known in stored:
            raise UserError(f"{place} holds {known} twice: as {_listed([stored[known], name])}")
        stored[known] = name


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(printable(name) for name in names[:LISTED])
    return shown if len(names) <= LISTED else f"{shown} and {len(names) - LISTED} more"
