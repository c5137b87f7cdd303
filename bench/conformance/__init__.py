"""The promises every method and every encoder makes, checked by using it: for ``simbench check`` and our own tests."""

from __future__ import annotations

from bench.conformance.suite import Finding, check_class, check_encoder, check_method

__all__ = ["Finding", "check_class", "check_encoder", "check_method"]
