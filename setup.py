"""What pyproject.toml cannot say: packages found below `bench`, beside the two plugin folders mapped under it."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["bench", "bench.*"]), "bench.methods", "bench.datasets"])
