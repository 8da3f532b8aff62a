"""Packaging of xtremedistil; tool settings are in pyproject.toml, runtime requirements in requirements.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent


def requirements(path: Path) -> list[str]:
    """The requirement lines of a file, without comments and empty lines."""
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def version() -> str:
    """The version that the package gives itself; importing it would need its requirements."""
    text = (HERE / "xtremedistil" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)[1]


setup(
    name="xtremedistil",
    version=version(),
    description="Distil big pre-trained transformers into small, fast students (TensorFlow and Keras)",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    packages=find_packages(include=["xtremedistil", "xtremedistil.*"]),
    package_data={"xtremedistil": ["py.typed"]},
    include_package_data=True,
    python_requires=">=3.10,<3.14",
    install_requires=requirements(HERE / "requirements.txt"),
    extras_require={
        "onnx": [],  # now among the requirements; the name stays, as commands and files name it
        "text": ["tensorflow-text>=2.18,<2.22"],
        "torch": ["torch>=2.6"],  # before, `weights_only` did not keep code in a file from running
        "datasets": ["datasets>=2.20,<5"],  # with the requirements' bound of huggingface_hub, which it would raise
        "parquet": ["pyarrow"],
        "xlm": ["sacremoses"],
        "dev": [
            "pytest>=8",
            "pytest-xdist>=3.5",
            "ruff>=0.6",
            "sacremoses",
            "pyarrow",
            "tensorflow-text>=2.18,<2.22; sys_platform == 'linux'",
        ],
    },
    entry_points={"console_scripts": ["xtremedistil = xtremedistil.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
