"""Every registered method keeps every promise of the contract."""

from __future__ import annotations

import pytest

from bench.conformance import check_method
from bench.plugins import METHOD
from bench.registry import plugin_names

pytestmark = [pytest.mark.training, pytest.mark.slow]


@pytest.mark.parametrize("name", plugin_names(METHOD))
def test_a_method_keeps_every_promise(name: str) -> None:
    findings = list(check_method(name))
    assert len(findings) >= 20
    assert [f"{finding.promise}: {finding.detail}" for finding in findings if not finding.good] == []
