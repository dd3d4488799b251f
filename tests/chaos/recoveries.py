"""How long after a death others have what the dead worker held."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import replace

from tests.chaos.asking import ask
from tests.chaos.deaths import Deaths, Held

_NOW = "SELECT id, claims FROM work_item WHERE id = ANY (%s)"


class Recoveries:
    """Told of each blow, looks often; `seconds` are what it has found."""

    def __init__(self, url: str, deaths: Deaths) -> None:
        self.seconds: list[float] = []
        self._url = url
        self._deaths = deaths
        self._lock = threading.Lock()
        self._killed: dict[uuid.UUID, float] = {}
        self._down: set[uuid.UUID] = set()
        self._orphans: dict[int, tuple[Held, float]] = {}
        """What was held by the dead, and since when nobody works on it."""

    def killing(self, worker: uuid.UUID) -> None:
        """It dies now, and others are to take over; who was only stopped may come back."""
        with self._lock:
            self._killed[worker] = time.monotonic()

    def mourn(self, worker: uuid.UUID) -> None:
        """It has died or was stopped: note what goes down with it."""
        with self._lock:
            self._down.add(worker)
            self._note()

    def look(self) -> None:
        """What has been taken over meanwhile, and what was claimed for those who are down."""
        with self._lock:
            self._note()
            if not self._orphans:
                return
            claims = dict(ask(self._url, _NOW, [list(self._orphans)]))
            for item, (held, since) in list(self._orphans.items()):
                # Who holds it now says little: it may have been taken and put down in between.
                if item not in claims or claims[item] > held.claims:
                    del self._orphans[item]
                    self.seconds.append(time.monotonic() - since)
                elif claims[item] < held.claims:
                    # A restart took back the claim of the dead one, too.
                    self._orphans[item] = replace(held, claims=claims[item]), since

    def restarted(self) -> None:
        """The database is back: nobody could take anything over before."""
        now = time.monotonic()
        with self._lock:
            self._orphans = {item: (held, now) for item, (held, _) in self._orphans.items()}

    def _note(self) -> None:
        # One that was stopped may claim once more as it comes back.
        for held in self._deaths.of(self._down):
            if held.worker in self._killed:
                self._orphans.setdefault(held.item, (held, self._killed[held.worker]))
