"""Copied into the experiments' interpreter as assay_packages.py, and imported there when Python starts, from a .pth file.

Packages that a coder added lie in a folder of their own (agent/execution/environment/additions.py). It comes last on the path of a process that
is told it as ASSAY_PACKAGES, with the process's next import, and on no other path: the warm server imports its libraries
without them, outside the sandbox, and each program that it forks finds them, inside. So no code of an added package ever
runs in the server, and none can take the place of what the baseline imports.
"""

import os
import sys

AT_START = (
    "sitecustomize",
    "usercustomize",
)  # imported by Python itself, in a program that is started and not forked


class PackageFinder:
    """A finder that finds nothing itself."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        folder = os.environ.get("ASSAY_PACKAGES")
        if folder and folder not in sys.path and name not in AT_START:
            sys.path.append(folder)


sys.meta_path.insert(0, PackageFinder)
