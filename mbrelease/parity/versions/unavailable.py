"""Why a version could not be asked."""

from __future__ import annotations

from mbrelease.errors import UserError


class Unavailable(Exception):
    """The question could not be put, which says nothing about the folder. The text is a reason."""


class NoSuchVersion(UserError):
    """The package index has no such transformers."""
