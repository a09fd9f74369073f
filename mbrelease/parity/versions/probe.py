"""Say what the transformers of this very interpreter makes of a folder.

It is run by file name in another environment, so it imports nothing of mbrelease and keeps to
what transformers 4.48 to 5.x have in common: ``python -I probe.py question.json``. The question
is a JSON object:

- ``folder``, ``model_class``: what to load, in float32 on the CPU with eager attention
- ``texts``: to tokenize, ``{mask}`` standing for the mask token; ``max_length``: where to cut them
- ``ids``: token ids for the model, a list of lists; if empty, those of the first ``computed`` texts
- ``max_values``: how many numbers of the output may be kept
- ``answer``, ``output``: the files to write

The answer has ``transformers`` and ``torch`` (versions) and ``tokenizer``, ``model`` (objects), or
for each of them ``{"error": …}``; or only ``unusable``, where transformers cannot be imported.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

TOKENS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
AT_ONCE = 2
"""Texts in a batch, so that the shorter is padded and little memory is used."""


def main(path: str) -> None:
    """Answer the question in the file ``path``."""
    question = json.loads(Path(path).read_text(encoding="utf-8"))
    sys.addaudithook(_refuse_network)
    Path(question["answer"]).write_text(json.dumps(_answer(question)), encoding="utf-8")


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    try:
        import transformers

        transformers.AutoTokenizer  # noqa: B018 (imported when it is named)
        import torch
    except Exception as error:
        return {"unusable": _said(error)}
    transformers.utils.logging.set_verbosity(transformers.utils.logging.CRITICAL)
    tokenizer = _attempt(lambda: _tokenize(question))
    ids = question["ids"] or tokenizer.get("ids", [])[: question["computed"]]
    model = _attempt(lambda: _compute(question, ids)) if ids else {"error": "there are no tokens"}
    return {
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "tokenizer": tokenizer,
        "model": model,
    }


def _attempt(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return ask()
    except Exception as error:  # whatever stops it is the answer
        return {"error": _said(error)}


def _tokenize(question: dict[str, Any]) -> dict[str, Any]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        question["folder"], local_files_only=True, trust_remote_code=False
    )
    texts = [text.replace("{mask}", tokenizer.mask_token or "") for text in question["texts"]]
    cut = {"truncation": True, "max_length": question["max_length"]}
    ids = [tokenizer(text, **cut)["input_ids"] for text in texts]
    padded = tokenizer(texts, padding=True, **cut)
    special = {name: getattr(tokenizer, f"{name}_token") for name in TOKENS}
    return {
        "ids": ids,
        "padded": {key: padded[key] for key in sorted(padded)},
        "decoded": [tokenizer.decode(each) for each in ids],
        "plain": [tokenizer.decode(each, skip_special_tokens=True) for each in ids],
        "special": {name: token and str(token) for name, token in special.items()},
        "special ids": {name: getattr(tokenizer, f"{name}_token_id") for name in TOKENS},
        "all special ids": sorted(tokenizer.all_special_ids),
        "size": len(tokenizer),
        "longest": tokenizer.model_max_length,
    }


def _compute(question: dict[str, Any], ids: list[list[int]]) -> dict[str, Any]:
    import numpy as np
    import torch
    import transformers

    is_old = int(transformers.__version__.split(".")[0]) < 5
    model = getattr(transformers, question["model_class"]).from_pretrained(
        question["folder"],
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        attn_implementation="eager",
        **{"torch_dtype" if is_old else "dtype": torch.float32},
    )
    model.eval()
    rows = []
    with torch.inference_mode():
        for start in range(0, len(ids), AT_ONCE):
            rows += _rows(model, ids[start : start + AT_ONCE], question["max_values"], ids)
    output = torch.cat(rows).numpy()
    np.save(question["output"], output)
    return {"shape": list(output.shape), "tokens": sum(map(len, ids))}


def _rows(model: Any, batch: list[list[int]], max_values: int, ids: list[list[int]]) -> list[Any]:
    """What the model says of a padded batch: of its tokens, or one row a text; pads are left out.

    Every n-th token alone is kept where all would be more than ``max_values`` numbers.
    """
    import torch

    length = max(map(len, batch))
    pad = model.config.pad_token_id or 0
    padded = torch.tensor([each + [pad] * (length - len(each)) for each in batch])
    mask = torch.tensor([[1] * len(each) + [0] * (length - len(each)) for each in batch])
    output = model(input_ids=padded, attention_mask=mask)[0]
    if output.ndim != 3:
        return [output.float()]
    every = -(-sum(map(len, ids)) * output.shape[-1] // max_values)
    return [
        row[: len(each) : every].float().clone() for row, each in zip(output, batch, strict=True)
    ]


def _refuse_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise OSError("a question about a folder needs no network")


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


if __name__ == "__main__":
    main(sys.argv[1])
