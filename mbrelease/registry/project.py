"""Where the files of a project lie: beside its registry, one folder a noun."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from mbrelease.errors import UserError, did_you_mean
from mbrelease.registry.schema import Policy, Registry, Variant
from mbrelease.registry.tasks import AnyTask

REGISTRY_NAME = "registry.yaml"


class Unread(Mapping[str, tuple[Path, int]]):
    """The places of variants, found when someone asks for one."""

    def __init__(self, find: Callable[[], Mapping[str, tuple[Path, int]]]) -> None:
        self._found = cache(find)

    def __getitem__(self, name: str) -> tuple[Path, int]:
        return self._found()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found())

    def __len__(self) -> int:
        return len(self._found())


@dataclass(frozen=True)
class Project:
    """A loaded registry and the folders beside it."""

    registry: Registry
    registry_path: Path
    places: Mapping[str, tuple[Path, int]] = field(default_factory=dict, compare=False, repr=False)
    """The file and the line of each variant, where the registry was read from files."""

    @property
    def root(self) -> Path:
        """The folder of the registry; paths in the registry are relative to it."""
        return self.registry_path.parent

    @property
    def evidence(self) -> Path:
        """Measured and reported results."""
        return self.root / "evidence"

    @property
    def averages(self) -> Path:
        """Averages built as candidates."""
        return self.root / "averages"

    def decision(self, variant: str) -> Path:
        """The decision file of ``variant``."""
        return self.root / "decisions" / f"{variant}.json"

    def release(self, variant: str) -> Path:
        """The folder that will be published for ``variant``."""
        return self.root / "releases" / variant

    @property
    def receipts(self) -> Path:
        """What was published where."""
        return self.root / "receipts"

    def path(self, relative: str) -> Path:
        """A path given in the registry."""
        return self.root / relative

    def resolve_name(self, name: str) -> str:
        """The variant that ``name`` (a variant or an alias) means.

        Raises:
            UserError: there is none; the nearest name is proposed.
        """
        name = self.registry.aliases.get(name, name)
        if name not in self.registry.variants:
            known = [*self.registry.variants, *self.registry.aliases]
            raise UserError(
                f"no variant '{name}' in {self.registry_path}",
                mend=did_you_mean(name, known) or "see 'mbrelease registry list'",
            )
        return name

    def resolve_model(self, name: str) -> str:
        """The variant or the peer that ``name`` (or an alias) means.

        Raises:
            UserError: there is none; the nearest name is proposed.
        """
        peers = self.registry.peers
        if name in peers:
            return name
        if self.registry.aliases.get(name, name) not in self.registry.variants and peers:
            known = [*self.registry.variants, *self.registry.aliases, *peers]
            raise UserError(
                f"no variant and no peer '{name}' in {self.registry_path}",
                mend=did_you_mean(name, known) or "see 'mbrelease registry list'",
            )
        return self.resolve_name(name)

    def variant(self, name: str) -> Variant:
        """The variant named ``name``, or by an alias of it.

        Raises:
            UserError: there is none; the nearest name is proposed.
        """
        return self.registry.variants[self.resolve_name(name)]

    def defined_in(self, variant: str) -> tuple[Path, int]:
        """The file, and the line in it, where ``variant`` (or an alias of it) is defined.

        Raises:
            UserError: there is no such variant.
        """
        return self.places.get(self.resolve_name(variant), (self.registry_path, 1))

    def suite(self, variant: str) -> list[AnyTask]:
        """The tasks that ``variant`` is measured on.

        Raises:
            UserError: the variant names no suite.
        """
        entry = self.variant(variant)
        if entry.suite is None:
            raise UserError(
                f"variant '{variant}' names no suite in {self.registry_path}",
                mend=f"mbrelease registry set {variant} suite NAME",
            )
        return self.registry.suites[entry.suite]

    def policy(self, variant: str) -> Policy:
        """The policy that chooses among the candidates of ``variant``.

        Raises:
            UserError: the variant names no policy.
        """
        entry = self.variant(variant)
        if entry.policy is None:
            raise UserError(
                f"variant '{variant}' names no policy in {self.registry_path}",
                mend=f"mbrelease registry set {variant} policy NAME",
            )
        return self.registry.policies[entry.policy]
