"""Package klue-beam. Tool settings live in pyproject.toml, exact versions for a checkout in constraints.txt."""

from pathlib import Path

from setuptools import find_packages, setup

GCP = ["apache-beam[gcp]>=2.77"]  # a hundred packages, for Dataflow alone
AWS = ["apache-beam[aws]>=2.77"]
KIWI = ["kiwipiepy>=0.24"]
QUERY = ["duckdb>=2.0"]
BROWSER = ["axe-playwright-python>=0.1.8", "playwright>=1.50"]  # for the tests of the report, beside a Chromium
DEV = [
    *GCP,
    *KIWI,
    *QUERY,
    "build>=1.2",
    "datatrove>=0.10",  # a peer in benchmarks
    "hypothesis>=6.100",
    "mypy>=1.15",
    "pandas-stubs>=2.2",
    "psutil>=6.0",
    "pytest>=8.3",
    "pytest-xdist>=3.6",
    "ruff>=0.9",
    "scikit-learn>=1.5",  # it, scipy and seqeval are what our own metrics are tested against
    "scipy>=1.14",
    "seqeval>=1.2.2",
    "types-PyYAML>=6.0",
]

setup(
    name="klue-beam",
    version="0.1.0",
    description="Annotate Korean text dumps with the KLUE tasks: Apache Beam pipelines from text to Parquet",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    packages=find_packages(include=["klue_beam", "klue_beam.*"]),  # its rooms are links to the folders beside it
    package_data={
        "klue_beam": ["py.typed", "*.pyi"],
        "klue_beam.transforms.models": ["embedded/**"],
        "klue_beam.transforms.report": ["assets/*"],
        "klue_beam.transforms.split.splitters": ["*.npz"],
    },
    python_requires=">=3.11",
    install_requires=[
        "apache-beam>=2.77",
        "backports.zstd>=1.0; python_version < '3.14'",
        "cryptography>=42",  # keys of a run's own for Dask's connections
        "dask>=2025.1",
        "distributed>=2025.1",
        "huggingface_hub>=1.31",
        "kss>=6.0.6,<6.1",  # the splitter of that name reaches into its modules
        "numpy>=2.0",
        "pyarrow>=18",
        "python-mecab-ko>=1.3.7",  # what kss takes for its backend "mecab"; its dictionary comes along
        "rich>=13.9",
        "safetensors>=0.8",
        "smart_open>=7.0",
        "tokenizers>=0.23.1",
        "torch>=2.10",
        "transformers>=5.0",
    ],
    extras_require={
        "gcp": GCP,
        "aws": AWS,
        "kiwi": KIWI,
        "query": QUERY,
        "browser": BROWSER,
        "dev": DEV,
        "all": [*GCP, *AWS, *KIWI, *QUERY],
    },
    entry_points={"console_scripts": ["klue-beam = klue_beam.__main__:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Natural Language :: Korean",
        "Programming Language :: Python :: 3.11",
        "Topic :: Text Processing :: Linguistic",
        "Typing :: Typed",
    ],
)
