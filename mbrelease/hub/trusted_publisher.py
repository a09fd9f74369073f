"""Tokens of Trusted Publishers: short-lived, for one repository, given to a job and no account.

A job that sets ``HF_OIDC_RESOURCE`` proves to the Hub who it is, and gets a token for an hour:
https://huggingface.co/docs/hub/trusted-publishers. The client asks for it by itself.
"""

from __future__ import annotations

import os

from mbrelease.errors import CheckFailed

_RESOURCE = "HF_OIDC_RESOURCE"


def is_wanted() -> bool:
    """Whether this job is to get its token by proving who it is."""
    return bool(os.environ.get(_RESOURCE))


def refused(error: Exception) -> CheckFailed:
    """The sentence for an exchange that failed; the Hub does not say which check did."""
    resource = os.environ.get(_RESOURCE, "")
    code = getattr(getattr(error, "response", None), "status_code", None)
    if code is not None and 400 <= code < 500:
        return CheckFailed(
            f"no token for this job: {resource} does not trust it",
            mend=f"does {resource} exist, and does a Trusted Publisher in its settings name "
            "this workflow?",
        )
    told = next((line.strip() for line in str(error).splitlines() if line.strip()), "no answer")
    return CheckFailed(f"no token for this job: {told}")


def publisher_name() -> str:
    """Who publishes with such a token: the run, as far as it is known."""
    server, repository, run = (
        os.environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")
    )
    known = server and repository and run
    return f"{server}/{repository}/actions/runs/{run}" if known else "Trusted Publisher"
