"""The package's version, which every decision carries."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("execution-strategy-service")
except PackageNotFoundError:  # a source tree that was never installed
    VERSION = "0.0.0+source"
