"""The hook that lets a run import the packages that its coder added, and nothing else.

It is copied into the experiments' interpreter as assay_packages.py, and imported there when Python
starts, from a .pth file.
Packages that a coder added lie in a folder of their own
(agent/execution/environment/additions.py). It comes last on the path of a process that gets its
name in ASSAY_PACKAGES, with the process's next import, and on no other path: the warm server
imports its libraries without them, outside the sandbox, and each program that it forks finds them,
inside. So no code of an added package ever runs in the server, and none can take the place of what
the baseline imports.
"""

import os
import sys

# Imported by Python itself, in a program that is started and not forked
AT_START = ("sitecustomize", "usercustomize")


class PackageFinder:
    """A finder that finds nothing itself, and puts the folder on the path of a run."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        """Put the folder on the path before the first import of a program."""
        folder = os.environ.get("ASSAY_PACKAGES")
        if folder and folder not in sys.path and name not in AT_START:
            sys.path.append(folder)


sys.meta_path.insert(0, PackageFinder)
