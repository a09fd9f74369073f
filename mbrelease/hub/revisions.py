"""Publish the checkpoints of a training run as branches: ``step-50000``, one commit each.

The authors of ModernBERT and Pythia do so, for those who study how a model learns. A checkpoint is
written as a release is, so that it loads everywhere. What is there already is known by its hashes,
and where its receipt is here too it is not even built, so a run that was stopped goes on, and one
that grew adds what is new.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mbrelease.averaging.convert import KEPT, convert_checkpoint
from mbrelease.averaging.write_model import model_files
from mbrelease.checkpoints.checkpoint import SHARD_INDEX, SINGLE_FILE, Checkpoint
from mbrelease.checkpoints.safetensors_header import read_header
from mbrelease.checkpoints.source import Source
from mbrelease.errors import CheckFailed, UserError
from mbrelease.file_hashes import file_sha256
from mbrelease.files import canonical_json, sha256_bytes, write_files
from mbrelease.hub.client import is_ambiguous, quiet_client, sentence, sentences, token_of
from mbrelease.hub.contents import LocalFile, read_contents
from mbrelease.hub.patience import patiently, read_patiently, waits_told_to
from mbrelease.hub.plan import Plan
from mbrelease.hub.problems import Problem, refusal
from mbrelease.hub.publish import Origin, publish
from mbrelease.hub.receipt import Receipt, read_receipt, receipt_path
from mbrelease.hub.remote import GIT_ATTRIBUTES, MAIN, RemoteFile, read_refs, read_tree
from mbrelease.hub.remote_signature import read_remote_signature
from mbrelease.hub.signed_files import SIGNATURE, parse_signature
from mbrelease.hub.signed_plan import sign_plan
from mbrelease.hub.signing import sign_file, signature_holds, signature_path
from mbrelease.hub.signing_keys import Signer, Verifier
from mbrelease.metadata.regions import generated_keys, read_page
from mbrelease.progress import SILENT, Progress
from mbrelease.secrets import find_secrets

if TYPE_CHECKING:
    from huggingface_hub import HfApi

README = "README.md"
# What of the metadata of the release holds for its checkpoints too.
METADATA_KEYS = ("license", "license_name", "license_link", "language", "library_name")
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
BARE_METADATA = "---\nlibrary_name: transformers\n---\n"

State = Literal["add", "change", "unchanged"]


@dataclass(frozen=True)
class Revision:
    """A checkpoint of the run as it is to stand on its branch."""

    step: int
    source: Source
    small: Mapping[str, bytes]
    """README, config, tokenizer, and the index of shards, by name."""
    weights: Mapping[str, str]
    """The sha256 of each file of weights, by name."""
    head: str | None = None
    """Where its branch is now; ``None`` where there is none."""
    there: Mapping[str, RemoteFile] | None = None
    """What stands on the branch."""
    sign: bool = False
    """It is to be signed."""
    is_signed: bool = False
    """What stands on the branch is signed already, for these bytes and by the same signer."""

    @property
    def branch(self) -> str:
        """Such as ``step-50000``."""
        return branch_of(self.step)

    @property
    def state(self) -> State:
        """What is to be done."""
        if self.there is None:
            return "add"
        expected = self.small.keys() | self.weights.keys()
        same = self.there.keys() - {GIT_ATTRIBUTES, SIGNATURE} == expected and all(
            _has(self.there[name], data) for name, data in self.small.items()
        )
        same = same and all(self.there[n].sha256 == sha for n, sha in self.weights.items())
        if same and (self.is_signed or not self.sign):
            return "unchanged"
        # A branch that was made and not yet committed to holds no weights of its own.
        return "change" if any(name in self.there for name in self.weights) else "add"

    @property
    def problem(self) -> Problem | None:
        """Why it is not published: others rely on what a branch of a checkpoint holds."""
        for name, sha256 in self.weights.items():
            found = self.there.get(name) if self.there else None
            if self.state == "change" and found is not None and found.sha256 != sha256:
                told = found.sha256[:12] if found.sha256 else "small"
                return Problem(
                    f"branch {self.branch} holds other weights ({told}) than {self.source.path} "
                    f"({sha256[:12]})",
                    "a published checkpoint is not replaced; delete the branch on the Hub if it is "
                    "wrong",
                )
        if not self.sign and self.there and SIGNATURE in self.there and self.state != "unchanged":
            return Problem(
                f"branch {self.branch} is signed, and its {SIGNATURE} would not hold for what is "
                "sent",
                "sign it too: --sign-key FILE",
            )
        return None

    def is_proven(self, receipts: Path, repo_id: str, endpoint: str, *, signed: bool) -> bool:
        """Whether it stands there, and its receipt is here, with its signature if ``signed``.

        A push that was killed after the commit has left none: then the branch is read back.
        """
        if self.state != "unchanged" or self.head is None:
            return False
        path = receipt_path(receipts, repo_id, self.head)
        if not path.exists() or (signed and not signature_path(path).exists()):
            return False
        receipt = read_receipt(path)
        return (receipt.endpoint, receipt.commit) == (endpoint, self.head)

    @property
    def digests(self) -> dict[str, str]:
        """The sha256 of each file, by name: what a signature covers."""
        return {**{name: sha256_bytes(data) for name, data in self.small.items()}, **self.weights}


def branch_of(step: int) -> str:
    """The branch of a step."""
    return f"step-{step}"


def plan_revisions(
    sources: Sequence[Source],
    repo_id: str,
    *,
    name: str,
    run: str,
    release: Path,
    url: str,
    sign: bool = False,
    verifier: Verifier | None = None,
    api: HfApi,
) -> list[Revision]:
    """Compare checkpoints with the branches of ``repo_id``; nothing is sent.

    Args:
        sources: the checkpoints, each with a step.
        repo_id: where they go; it need not exist yet.
        name, run: what the model and its training run are called.
        release: the folder of the release, for the metadata of its card.
        url: the page of the model.
        sign: they are to be signed.
        verifier: who believes the signer, where that is known already.
        api: any client.

    Raises:
        CheckFailed: the Hub cannot be asked, or a branch holds other weights than the checkpoint.
        UserError: a checkpoint cannot be read, or two are of one step.
    """
    found: dict[int, Revision] = {}
    with quiet_client():
        branches = _branches(api, repo_id)
        metadata = _metadata(release / README)
        for source in sources:
            if source.step is None:
                raise UserError(f"{source.path} names no step", mend="give the run's folder")
            if source.step in found:
                raise UserError(f"two checkpoints are of step {source.step}: {source.path}")
            weights = _weights(source)
            text = metadata + _body(name, run, source.step, repo_id, url, weights)
            head = branches.get(branch_of(source.step))
            revision = Revision(
                step=source.step,
                source=source,
                small={README: text.encode(), **_small(source, release)},
                weights=weights,
                head=head,
                there=read_tree(api, repo_id, head) if head is not None else None,
                sign=sign,
            )
            is_signed = sign and _is_signed(revision, repo_id, verifier, api)
            found[source.step] = replace(revision, is_signed=is_signed)
    problems = [each.problem for each in found.values() if each.problem is not None]
    if problems:
        raise refusal(problems)
    return [found[step] for step in sorted(found)]


def publish_revision(
    revision: Revision,
    main: Plan,
    *,
    work: Path,
    receipts: Path,
    variant: str | None,
    signer: Signer | None = None,
    api: HfApi,
    progress: Progress = SILENT,
) -> Receipt:
    """Bring ``revision`` to its branch, as ``publish`` does: whole or not at all, and proven.

    One that stands there is read back and loaded, unless its receipt is here.

    Args:
        revision: of ``plan_revisions``.
        main: the plan of the release, which is published already.
        work: a folder to build it in; what is in it is removed.
        receipts: the folder of receipts.
        variant: the name in the registry.
        signer: signs it, and its receipt.
        api: any client.
        progress: is told how far it is.

    Raises:
        CheckFailed: as ``publish``.
        UserError: the checkpoint cannot be read.
    """
    folder = work / revision.branch
    shutil.rmtree(folder, ignore_errors=True)
    try:
        files = _build(revision, folder, api, progress)
        with quiet_client(), waits_told_to(progress):
            head = revision.head or _make_branch(revision, main.repo_id, api)
            there = revision.there
            if there is None:
                there = read_tree(api, main.repo_id, head)
        plan = _plan(revision, main, folder, files, head, there)
        plan = replace(plan, sign=signer is not None)
        receipt = publish(
            plan,
            api=api,
            progress=progress,
            message=f"Step {revision.step}",
            receipts=receipts,
            origin=Origin(variant, step=revision.step),
            sign=partial(sign_plan, signer=signer, api=api) if signer is not None else None,
        )
        if signer is not None:
            sign_file(receipt_path(receipts, receipt.repo_id, receipt.commit), signer)
        return receipt
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _plan(
    revision: Revision,
    main: Plan,
    folder: Path,
    files: tuple[LocalFile, ...],
    head: str,
    there: Mapping[str, RemoteFile],
) -> Plan:
    """The plan of one branch: it holds this checkpoint, and nothing else."""
    here = {file.path: file for file in files}
    # Where nothing is sent, a signature that stands there holds, and whose it is is not asked.
    kept = {SIGNATURE} & there.keys() if revision.state == "unchanged" else set()
    same = {path for path, file in here.items() if _is_same(revision, file, there.get(path))}
    return replace(
        main,
        folder=folder,
        revision=revision.branch,
        create_pr=False,
        private=False,
        sign=False,
        tag=None,
        tag_commit=None,
        repo_exists=True,
        head=head,
        files=files,
        added=tuple(path for path in here if path not in there),
        changed=tuple(path for path in here if path in there and path not in same),
        unchanged=tuple(path for path in here if path in same),
        deleted=tuple(sorted(there.keys() - here.keys() - kept - {GIT_ATTRIBUTES})),
        remote_only=tuple(sorted(kept)),
        card=None,
        checks=(),
        notes=(),
        taken_over=None,
    )


def _build(
    revision: Revision, folder: Path, api: HfApi, progress: Progress
) -> tuple[LocalFile, ...]:
    """Fill ``folder``; weights that are safetensors already are linked to, and not copied."""
    folder.mkdir(parents=True)
    write_files(folder, revision.small)
    contents = read_contents(folder, token_of(api))
    problems = list(contents.problems)
    files = list(contents.files)
    for name, path in _weight_files(revision, folder, progress).items():
        metadata = canonical_json(read_header(path).metadata).encode()
        problems += [
            Problem(f"{path} (metadata) holds {kind}", "remove it, and revoke it")
            for _line, kind in find_secrets(metadata, token_of(api))
        ]
        (folder / name).symlink_to(path.resolve())
        files.append(LocalFile(name, path.stat().st_size, file_sha256(path)))
    if problems:
        raise refusal(problems)
    changed = [f.path for f in files if revision.weights.get(f.path, f.sha256) != f.sha256]
    if changed:
        raise CheckFailed(
            f"{revision.source.path} has changed since the plan; nothing was sent",
            mend="run the command again when nothing writes to it",
        )
    return tuple(sorted(files, key=lambda file: file.path))


def _weight_files(revision: Revision, folder: Path, progress: Progress) -> dict[str, Path]:
    source = revision.source
    if isinstance(source, Checkpoint):
        return {file.name: file for file in source.weight_files}
    converted, _ = convert_checkpoint(source, folder / ".converted", progress=progress)
    return {file.name: file for file in converted.weight_files}


def _weights(source: Source) -> dict[str, str]:
    if isinstance(source, Checkpoint):
        return {file.name: file_sha256(file) for file in source.weight_files}
    return {SINGLE_FILE: source.weights_sha256}


def _small(source: Source, release: Path) -> dict[str, bytes]:
    files = dict(model_files(source, KEPT))
    if "tokenizer.json" not in files:
        # A trainer may save the weights alone; the tokenizer of a run is that of its release.
        beside = [release / name for name in TOKENIZER if (release / name).is_file()]
        files |= {path.name: path.read_bytes() for path in beside}
    if isinstance(source, Checkpoint) and len(source.weight_files) > 1:
        files[SHARD_INDEX] = (source.path / SHARD_INDEX).read_bytes()
    return files


def _is_signed(revision: Revision, repo_id: str, verifier: Verifier | None, api: HfApi) -> bool:
    """Whether what stands on the branch has a signature for these bytes, by whom we believe.

    Where it is not known yet who signs, as in the plan of a job, whose it is is not asked.
    """
    if revision.there is None or revision.head is None or SIGNATURE not in revision.there:
        return False
    data = read_remote_signature(api, repo_id, revision.head)
    if data is None:
        return False
    if verifier is not None:
        return signature_holds(data, revision.digests, verifier)
    try:
        return parse_signature(data, SIGNATURE).digests == revision.digests
    except CheckFailed:
        return False


def _branches(api: HfApi, repo_id: str) -> dict[str, str]:
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return read_refs(api, repo_id)[0]
    except UserError as error:
        if isinstance(error.__cause__, RepositoryNotFoundError):
            return {}
        raise


def _make_branch(revision: Revision, repo_id: str, api: HfApi) -> str:
    """Make the branch at the first commit of the repository, which holds next to nothing."""
    with sentences(api, repo_id):
        log = read_patiently(lambda: list(api.list_repo_commits(repo_id, revision=MAIN)))
    try:
        patiently(
            lambda: api.create_branch(
                repo_id, branch=revision.branch, revision=log[-1].commit_id, exist_ok=True
            )
        )
    except Exception as error:
        if not is_ambiguous(error):
            raise sentence(error, api, repo_id) or error from error
    head = read_refs(api, repo_id)[0].get(revision.branch)
    if head is None:
        raise CheckFailed(
            f"the branch {revision.branch} of {repo_id} was not made",
            mend="run the same command again",
        )
    return head


def _has(remote: RemoteFile, data: bytes) -> bool:
    if remote.sha256 is not None:
        return remote.sha256 == sha256_bytes(data)
    head = b"blob %d\0" % len(data)
    return remote.blob_id == hashlib.sha1(head + data, usedforsecurity=False).hexdigest()


def _is_same(revision: Revision, file: LocalFile, remote: RemoteFile | None) -> bool:
    if remote is None:
        return False
    if file.path in revision.small:
        return _has(remote, revision.small[file.path])
    return remote.sha256 == file.sha256


def _metadata(readme: Path) -> str:
    """The front matter of a checkpoint's README, from that of the release."""
    try:
        page = read_page(readme.read_bytes().decode("utf-8"), str(readme))
    except (OSError, UnicodeDecodeError, UserError):
        return BARE_METADATA
    kept = generated_keys(page.front_matter, METADATA_KEYS)
    return kept if kept.strip("-\n") else BARE_METADATA


def _body(
    name: str, run: str, step: int, repo_id: str, url: str, weights: Mapping[str, str]
) -> str:
    hashes = "".join(f"- `{file}` (sha256): `{sha256}`\n" for file, sha256 in weights.items())
    return f"""
# {name}, step {step:,}

A checkpoint of the training run `{run}` after {step:,} steps, for those who study how the model
learned. It was not chosen for release. The released model and its card are on the
[main branch]({url}).

```python
from transformers import AutoModelForMaskedLM, AutoTokenizer

model = AutoModelForMaskedLM.from_pretrained("{repo_id}", revision="{branch_of(step)}")
tokenizer = AutoTokenizer.from_pretrained("{repo_id}", revision="{branch_of(step)}")
```

{hashes}"""
