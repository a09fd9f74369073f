"""The tied decoder, which PyTorch's own files hold twice and safetensors once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mbrelease.checkpoints.source import HashStream, StoredTensor, stream_sha256
from mbrelease.errors import CheckFailed

DECODER = "decoder.weight"
EMBEDDINGS = "model.embeddings.tok_embeddings.weight"


def drop_tied(
    tensors: Mapping[str, StoredTensor], tied: bool, place: Path
) -> dict[str, StoredTensor]:
    """``tensors`` without the decoder's weight, if the config ties it to the embeddings.

    Nothing is read where both are the same bytes of the file; else their bytes are compared.

    Args:
        tensors: by the names that transformers gives them.
        tied: ``tie_word_embeddings`` of the config.
        place: the checkpoint, for messages.

    Raises:
        CheckFailed: the config ties them and they differ: one would be lost on loading.
        UserError: they cannot be read.
    """
    if not tied or DECODER not in tensors or EMBEDDINGS not in tensors:
        return dict(tensors)
    if not _equal(tensors[DECODER], tensors[EMBEDDINGS]):
        raise CheckFailed(
            f"{place}: {DECODER} differs from {EMBEDDINGS}, though the config ties them",
            mend='write "tie_word_embeddings": false if it was trained untied',
        )
    return {name: tensor for name, tensor in tensors.items() if name != DECODER}


def _equal(decoder: StoredTensor, embeddings: StoredTensor) -> bool:
    if (decoder.dtype, decoder.shape) != (embeddings.dtype, embeddings.shape):
        return False
    if decoder.segments == embeddings.segments:
        return True
    return _sha256(DECODER, decoder) == _sha256(EMBEDDINGS, embeddings)


def _sha256(name: str, tensor: StoredTensor) -> str:
    files = tuple(sorted({segment.path for segment in tensor.segments}))
    stream = HashStream(name=name, head=b"", tensors=(name,), files=files, kind=f"tensor-{name}")
    return stream_sha256(stream, {name: tensor})
