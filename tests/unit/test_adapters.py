"""The adapters of the clients, as far as no client is needed."""

from __future__ import annotations

import importlib

from cachy import hooks, transports


def test_each_client_that_is_watched_has_an_adapter() -> None:
    """Their names are written twice, as a start must not load the adapters; each adapter can be put on and off."""
    assert set(transports.ADAPTERS) == hooks.CLIENTS
    for name in set(transports.ADAPTERS.values()):
        adapter = importlib.import_module(f"cachy.transports.{name}")
        assert callable(adapter.patch)
        assert callable(adapter.unpatch)
