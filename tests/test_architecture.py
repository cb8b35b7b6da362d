"""The house rules that a machine can check."""

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import medgen

PACKAGE = Path(medgen.__file__).parent
CHECKOUT = PACKAGE.parent
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(CHECKOUT / "pipelines").glob("*.py")])
LONGEST_FILE = 320
BANNED_MODULES = {
    "pickle",
    "_pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
}
BANNED_CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "torch.load",
    "torch.save",
    "torch.hub.load",
    "torch.hub.load_state_dict_from_url",
    "yaml.load",
    "yaml.load_all",
    "yaml.full_load",
    "yaml.unsafe_load",
    "importlib.import_module",
    "os.system",
}
BANNED_NAMES = {"ConfigParser", "UnsafeLoader", "FullLoader"}
DECODERS = ("pylibjpeg", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg", "pyjpegls")
"""pydicom imports these itself, where it meets their pixels."""
VAGUE_FILES = {"utils.py", "helpers.py", "common.py", "base.py", "misc.py", "core.py"}


def name_of(source: Path) -> str:
    return source.relative_to(CHECKOUT).as_posix()


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def banned_in(tree: ast.AST) -> Iterator[str]:
    """Yield what in a module could run code that stands in data."""
    for module in imported(tree):
        if module.partition(".")[0] in BANNED_MODULES or module in BANNED_CALLS:
            yield f"import of {module}"
        if module.rpartition(".")[2] in BANNED_NAMES:
            yield f"import of {module}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and dotted(node.func) in BANNED_CALLS:
            yield f"line {node.lineno}: {dotted(node.func)}"
        if isinstance(node, ast.Attribute) and node.attr in BANNED_NAMES:
            yield f"line {node.lineno}: {node.attr}"
        if isinstance(node, ast.keyword) and node.arg in ("allow_pickle", "weights_only", "shell"):
            allowed = node.arg == "weights_only"
            if not (isinstance(node.value, ast.Constant) and node.value.value is allowed):
                yield f"line {node.value.lineno}: {node.arg}"


@pytest.mark.parametrize("source", SOURCES, ids=name_of)
def test_no_file_runs_what_data_says(source: Path) -> None:
    assert list(banned_in(ast.parse(source.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import torch\ntorch.load('x')",
        "from torch import load",
        "eval('1')",
        "exec('1')",
        "import yaml\nyaml.load(t, Loader=yaml.SafeLoader)",
        "from yaml import UnsafeLoader",
        "from monai.bundle import ConfigParser",
        "monai.bundle.ConfigParser()",
        "np.load(p, allow_pickle=True)",
        "subprocess.run(c, shell=True)",
    ],
)
def test_the_ban_is_seen(code: str) -> None:
    assert list(banned_in(ast.parse(code)))


@pytest.mark.parametrize("source", SOURCES, ids=name_of)
def test_a_file_holds_one_idea(source: Path) -> None:
    assert source.name not in VAGUE_FILES
    lines = source.read_text(encoding="utf-8").count("\n")
    assert lines <= (90 if source.parent.name == "pipelines" else LONGEST_FILE)


@pytest.mark.parametrize("source", SOURCES, ids=name_of)
def test_a_module_says_what_lives_in_it(source: Path) -> None:
    assert ast.get_docstring(ast.parse(source.read_text(encoding="utf-8")))


def test_pipelines_are_programs_that_nobody_imports() -> None:
    for source in SOURCES:
        roots = {
            module.partition(".")[0] for module in imported(ast.parse(source.read_text("utf-8")))
        }
        assert "pipelines" not in roots, name_of(source)
        if source.parent.name == "pipelines":
            modules = set(imported(ast.parse(source.read_text("utf-8"))))
            assert not {m for m in modules if m.startswith("medgen.cli")}, name_of(source)


def test_each_configuration_has_its_pipeline_or_shares_one() -> None:
    pipelines = {path.stem for path in (CHECKOUT / "pipelines").glob("*.py")}
    assert pipelines <= {path.stem for path in (CHECKOUT / "configs").glob("*.yaml")}


def test_no_directory_of_tests_is_a_package() -> None:
    assert not list((CHECKOUT / "tests").rglob("__init__.py"))


def test_imports_go_down_only() -> None:
    """Run the import-linter contracts of pyproject.toml, the same as `make check`."""
    program = Path(sys.executable).with_name("lint-imports")
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    ended = subprocess.run(
        [program, "--no-cache"],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_requirement_is_used_and_explained() -> None:
    """A dependency that no file imports is a risk for nothing; each has its reason."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    modules = {
        "scikit-image": "skimage",
        "PyYAML": "yaml",
        "Jinja2": "jinja2",
        "pillow": "PIL",
        "tensorboard": "torch.utils.tensorboard",
    }
    used = {
        module
        for source in SOURCES
        for module in imported(ast.parse(source.read_text(encoding="utf-8")))
    }
    used |= {module.partition(".")[0] for module in used}
    reasons = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    names = [_name(requirement) for requirement in project["dependencies"]]
    assert [name for name in names if modules.get(name, name) not in used] == [*DECODERS]
    tools = [_name(requirement) for requirement in project["optional-dependencies"]["test"]]
    assert [name for name in [*names, *tools] if f"`{name}`" not in reasons] == []


def test_the_constraints_pin_every_requirement() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (CHECKOUT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line and not line.startswith("#")
    }
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    assert [name for name in map(_name, wanted) if name.lower() not in pinned] == []


def _name(requirement: str) -> str:
    return requirement.partition(">=")[0]
