"""The names that main.py may not use, and why: modules, functions, methods, and parts of Python,
PyTorch, the Trainer and protocol.py.

Each is the full name that a program's imports give it: `numpy.load`, never `np.load`.
"""

from __future__ import annotations

FILES = "reads or writes files: data comes from protocol.py, results are written by it"
PROCESSES = "starts processes"
NETWORK = "uses the network, which a run must not need"
OTHER_DATA = "brings other data or trained weights"
INSIDES = (
    "reaches into Python or PyTorch itself: write attributes by name, "
    "and keep a number of layers in an nn.ModuleList"
)
SEEDS = (
    "sets a seed for everything: seeds belong to protocol.py; "
    "draw from a torch.Generator of your own"
)
OWN_TRAINER = "builds a Trainer of its own: protocol.run(Model) has the one that counts"
TRAINER_REACHED = "reaches into the Trainer, which belongs to protocol.py"
TRAINER_CHANGED = "changes the Trainer, which belongs to protocol.py"
VALIDATION = (
    "uses the validation split once more: it is there to be measured on, "
    "in val_dataloader, not to be learned from"
)
WHOLE_PROTOCOL = (
    "imports protocol as a whole: take the names that you need, `from protocol import ...`"
)

PROTOCOL = "protocol"

# main.py makes one loader of the validation split, as the scaffold does; trained on, the split
# would be more data than the control has.
VALIDATION_SPLIT = f"{PROTOCOL}.val_data"
VALIDATION_LOADERS = {"val_dataloader", "val_dataloaders"}

TRAINER_PARTS = {"fit_loop", "callbacks"}

LIGHTNING = ("pytorch_lightning.", "lightning.")

_FILE_MODULES = (
    "os",
    "io",
    "pathlib",
    "shutil",
    "glob",
    "tempfile",
    "pickle",
    "shelve",
    "sqlite3",
    "mmap",
    "csv",
    "h5py",
    "zipfile",
    "tarfile",
    "posix",
    "PIL",
    "pandas",
    "cv2",
    "joblib",
    "fsspec",
    "safetensors",
    "torchvision.io",
    "torch.serialization",
    "numpy.lib.npyio",
    "numpy.lib.format",
)
_PROCESS_MODULES = ("subprocess", "multiprocessing", "concurrent", "signal", "pty")
_NETWORK_MODULES = (
    "socket",
    "urllib",
    "requests",
    "http",
    "ftplib",
    "httpx",
    "aiohttp",
    "huggingface_hub",
    "wandb",
)
_INSIDE_MODULES = (
    "sys",
    "importlib",
    "builtins",
    "ctypes",
    "gc",
    "inspect",
    "runpy",
    "atexit",
    "code",
    "loading",
    "probe",
    "torch._C",
)
_DATA_MODULES = ("torchvision.datasets", "sklearn.datasets", "datasets", "timm", "torch.hub")

MODULES = {
    **dict.fromkeys(_FILE_MODULES, FILES),
    **dict.fromkeys(_PROCESS_MODULES, PROCESSES),
    **dict.fromkeys(_NETWORK_MODULES, NETWORK),
    **dict.fromkeys(_INSIDE_MODULES, INSIDES),
    **dict.fromkeys(_DATA_MODULES, OTHER_DATA),
}

# Modules that are refused as a part of others as well, as in `torch.os`.
REACHED_THROUGH_OTHERS = {
    "os",
    "sys",
    "io",
    "builtins",
    "subprocess",
    "socket",
    "shutil",
    "importlib",
    "ctypes",
    "pathlib",
    "pickle",
    "multiprocessing",
}

_FILE_CALLS = (
    "open",
    "numpy.load",
    "numpy.save",
    "numpy.savez",
    "numpy.memmap",
    "numpy.fromfile",
    "numpy.genfromtxt",
    "torch.load",
    "torch.save",
    "torch.from_file",
    "torch.hub.load",
    "torch.jit.load",
)
_INSIDE_CALLS = (
    "eval",
    "exec",
    "compile",
    "__import__",
    "globals",
    "locals",
    "vars",
    "setattr",
    "delattr",
    "breakpoint",
)
_SEED_CALLS = (
    "torch.manual_seed",
    "torch.seed",
    "torch.set_rng_state",
    "torch.random.manual_seed",
    "torch.cuda.manual_seed",
    "torch.cuda.manual_seed_all",
    "torch.default_generator.manual_seed",
    "pytorch_lightning.seed_everything",
    "lightning.seed_everything",
    "numpy.random.seed",
    "random.seed",
)

CALLS = {
    **dict.fromkeys(_FILE_CALLS, FILES),
    **dict.fromkeys(_INSIDE_CALLS, INSIDES),
    **dict.fromkeys(_SEED_CALLS, SEEDS),
}

# Methods that are refused whatever object they belong to.
METHODS = {
    **dict.fromkeys(("tofile", "write_text", "write_bytes", "savetxt", "loadtxt"), FILES),
    **dict.fromkeys(("load_from_checkpoint", "save_checkpoint"), FILES),
    "load_state_dict_from_url": NETWORK,
}

INSIDE_NAMES = {
    "__globals__",
    "__dict__",
    "__builtins__",
    "__code__",
    "__subclasses__",
    "__bases__",
    "__mro__",
    "__closure__",
    "__getattribute__",
    "__setattr__",
    "__loader__",
    "__spec__",
    "f_globals",
    "f_back",
    "tb_frame",
    "gi_frame",
    "_engine_run_backward",
    "_global_optimizer_pre_hooks",
    "_global_optimizer_post_hooks",
}

# Names that getattr may not be given as a text either.
NOT_BY_TEXT = INSIDE_NAMES | VALIDATION_LOADERS | TRAINER_PARTS


def module_reason(path: str) -> str:
    """Return why a module, or something of a module, may not be used; '' where it may."""
    parts = path.split(".")
    if parts[0] == PROTOCOL:
        return WHOLE_PROTOCOL
    for length in range(1, len(parts) + 1):
        prefix = ".".join(parts[:length])
        if prefix in MODULES:
            return MODULES[prefix]
    return ""
