"""What calls have cost, as genai-prices (the extra `[cost]`) knows it. An estimate, and only for those who look.

Importing it takes many times as long as Python needs to start, so nothing of this is ever loaded into a program
that is recorded or replayed: only `cachy`, the waiting parent of `cachy-run`, and pytest's summary ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ..stores import StoreError, open_store

if TYPE_CHECKING:
    from .entry import Entry

_NOTHING = Decimal(0)
# How genai-prices calls the services that are called otherwise here.
_THEIR_NAMES = {
    "bedrock": "aws",
    "gemini": "google",
    "moonshot": "moonshotai",
    "vertex": "google",
    "voyage": "voyageai",
    "xai": "x-ai",
}
_FREE = ("ollama",)  # it runs on one's own machine


class Prices:
    """Looks prices up. `known` says whether genai-prices is installed."""

    def __init__(self) -> None:
        self._calc: Any = None
        self._usage: Any = None
        try:
            from genai_prices import Usage, calc_price

            self._calc, self._usage = calc_price, Usage
        except Exception:  # noqa: BLE001 - not installed, or not usable here: then there are no prices
            pass

    @property
    def known(self) -> bool:
        """Whether there are any prices."""
        return self._calc is not None

    def of(self, entry: Entry) -> Decimal | None:
        """US dollars that a call has cost, at the prices of its day; None when that is not known.

        Raises ValueError for a damaged recording.
        """
        used = entry.usage
        if used is None or self._calc is None:
            return None
        if entry.provider in _FREE:
            return _NOTHING
        tokens = self._usage(
            input_tokens=used.input, output_tokens=used.output, cache_read_tokens=min(used.cached, used.input)
        )
        when = datetime.fromisoformat(entry.at.replace("Z", "+00:00")) if entry.at else None
        # A gateway's name for a model may be known to its maker only, and a model's full name to nobody.
        for model in dict.fromkeys(filter(None, (used.model, entry.model))):
            for provider in (_THEIR_NAMES.get(entry.provider, entry.provider), None):
                try:
                    found = self._calc(tokens, model, provider_id=provider, genai_request_timestamp=when)
                    return Decimal(found.total_price)
                except Exception:  # noqa: BLE001 - LookupError for what it does not know; the rest is no better
                    continue
        return None


@dataclass
class Sum:
    """Money added up: how much, of how many calls, of how many calls with tokens the price is not known, and the
    tokens of them all."""

    dollars: Decimal = _NOTHING
    priced: int = 0
    unpriced: int = 0
    tokens: int = 0

    def add(self, price: Decimal | None, times: int = 1) -> None:
        """Add so many calls at a price in US dollars each; None: it is not known."""
        if price is None:
            self.unpriced += times
        else:
            self.dollars += price * times
            self.priced += times

    def __str__(self) -> str:
        """`$1.94 est.`, with the calls whose price is not known; "" when none is."""
        if not self.priced:
            return ""
        more = f" ({self.unpriced} unpriced)" if self.unpriced else ""
        return f"{dollars(self.dollars)} est.{more}"


def saved(verdicts: Iterable[Mapping[str, Any]]) -> Sum:
    """What the replayed calls among these verdicts (see `cachy.verdicts`) would have cost. Never raises.

    Where there are no prices, only their tokens are counted; stores on other machines are not asked.
    """
    hits: dict[str, dict[str, int]] = {}
    for facts in verdicts:
        store, key = facts.get("store", ""), facts.get("key", "")
        if facts.get("outcome") == "hit" and store and key and "://" not in store:
            keys = hits.setdefault(store, {})
            keys[key] = keys.get(key, 0) + 1
    found = Sum()
    if not hits:
        return found
    prices = Prices()
    for url, keys in hits.items():
        try:
            store = open_store(url)
            for key, times in keys.items():
                _add(found, prices, key, store.get(key), times)
            store.close()
        except StoreError:  # it was there a moment ago; the amount is an estimate anyway
            continue
    return found


def _add(found: Sum, prices: Prices, key: str, line: bytes | None, times: int) -> None:
    from .entry import Entry

    if line is None:
        return
    try:
        entry = Entry(key, line)
        if entry.usage is not None:
            found.add(prices.of(entry), times)
            found.tokens += (entry.usage.input + entry.usage.output) * times
    except ValueError:
        return


def dollars(amount: Decimal) -> str:
    """`$1.94`, and `$0.0021` where cents tell nothing."""
    if amount < Decimal("0.00005"):
        return "<$0.0001" if amount else "$0"
    return f"${amount:.4f}" if amount < Decimal("0.1") else f"${amount:,.2f}"
