"""What is installed is what was tested: the wheel works away from the checkout."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import medgen

pytestmark = pytest.mark.slow

CHECKOUT = Path(medgen.__file__).parents[1]


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=CHECKOUT)
    (built,) = folder.glob("medgen-*.whl")
    return built


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into an environment that is empty but for the dependencies."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    (site,) = folder.glob("lib/python*/site-packages")
    dependencies = [
        path
        for path in Path(sysconfig.get_path("purelib")).iterdir()
        if not path.name.lower().startswith(("medgen", "_editable", "__editable", "_medgen"))
        and not path.name.startswith(("pip", "_distutils_hack", "distutils-precedence"))
    ]
    for path in dependencies:
        if not (site / path.name).exists():
            (site / path.name).symlink_to(path)
    run(folder / "bin/pip", "install", "--no-index", "--no-deps", wheel, cwd=folder)
    return folder / "bin/medgen"


def test_the_wheel_holds_the_package_and_what_it_reads(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    package = Path(medgen.__file__).parent
    read = {p for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    assert {p.relative_to(CHECKOUT).as_posix() for p in read} <= names
    configs = {f"medgen/configs/{path.name}" for path in (CHECKOUT / "configs").glob("*.yaml")}
    assert configs <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    outside = {name for name in names if not name.startswith(("medgen/", "medgen-"))}
    assert outside == set()


def test_the_package_comes_from_the_wheel(program: Path, tmp_path: Path) -> None:
    code = "import medgen; print(medgen.__file__)"
    shown = run(program.with_name("python"), "-c", code, cwd=tmp_path).stdout
    assert Path(shown.strip()).is_relative_to(program.parents[1])


def test_init_works_away_from_the_checkout(program: Path, tmp_path: Path) -> None:
    listed = run(program, "init", cwd=tmp_path).stdout
    for config in (CHECKOUT / "configs").glob("*.yaml"):
        assert config.stem in listed
        run(program, "init", config.stem, cwd=tmp_path)
        assert (tmp_path / config.name).read_bytes() == config.read_bytes()


def test_phantom_works_away_from_the_checkout(program: Path, tmp_path: Path) -> None:
    run(program, "phantom", "--output", "cohort", "--cases", "2", cwd=tmp_path)
    assert (tmp_path / "cohort" / "cases.csv").is_file()


def test_info_works_away_from_the_checkout(program: Path, tmp_path: Path) -> None:
    assert f"medgen: {medgen.__version__}" in run(program, "info", cwd=tmp_path).stdout
