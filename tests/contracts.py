"""Two contracts on imports that import-linter does not bring.

Not covered by both: imports that a program makes from a name that it computes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class DirectImports(Contract):
    """A contract that looks at one direct import after the other."""

    def foreign(self, graph: ImportGraph) -> Iterator[tuple[str, str]]:
        """Yield each import that is not allowed: who imports, and what."""
        raise NotImplementedError

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Keep the contract where no import is foreign."""
        foreign = list(self.foreign(graph))
        return ContractCheck(kept=not foreign, metadata={"foreign": foreign})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print each import that is not allowed."""
        for importer, imported in check.metadata["foreign"]:
            output.print_error(f"{importer} imports {imported}")


class StandardLibraryContract(DirectImports):
    """The modules of a package import each other and the standard library."""

    type_name = "standard_library"
    package = fields.StringField()

    def foreign(self, graph: ImportGraph) -> Iterator[tuple[str, str]]:
        """Yield the imports of other packages, ours and those of others."""
        for importer in sorted({self.package, *graph.find_descendants(self.package)}):
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                standard = top_level(imported) in sys.stdlib_module_names
                if not standard and not within(imported, self.package):
                    yield importer, imported


class OnlyThereContract(DirectImports):
    """Some packages of others are imported in the named places only; they need not be at all."""

    type_name = "only_there"
    packages = fields.ListField(subfield=fields.StringField())
    allowed_importers = fields.ListField(subfield=fields.StringField())

    def foreign(self, graph: ImportGraph) -> Iterator[tuple[str, str]]:
        """Yield the imports of these packages in all other places."""
        for imported in sorted(graph.modules):
            if top_level(imported) not in self.packages:
                continue
            for importer in sorted(graph.find_modules_that_directly_import(imported)):
                if not any(within(importer, place) for place in self.allowed_importers):
                    yield importer, imported


def top_level(module: str) -> str:
    """Return the name of the package that a module belongs to."""
    return module.partition(".")[0]


def within(module: str, package: str) -> bool:
    """Return whether a module is the package or lies in it."""
    return module == package or module.startswith(f"{package}.")
