"""The promises every method makes, checked by using it: what ``simbench check METHOD`` and our own tests run."""

from __future__ import annotations

from bench.conformance.suite import Finding, check_class, check_method

__all__ = ["Finding", "check_class", "check_method"]
