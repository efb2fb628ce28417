"""What concerned an item without changing it: summaries that read it, plans that were refused."""

from __future__ import annotations

from collections import defaultdict

from ctxbudget.core.errors import SourceError
from ctxbudget.core.events import Event, Pruned, Review, Reviewed
from ctxbudget.history import Happening, History
from ctxbudget.report.prompts import Prompts


class Asides:
    """A listener beside a history, which it must hear after that and after the prompts."""

    def __init__(self, history: History, prompts: Prompts) -> None:
        self._history, self._prompts = history, prompts
        self._found: defaultdict[str, list[tuple[int, Happening]]] = defaultdict(list)
        self._asked: Review | None = None

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case Pruned():
                by = "" if event.stand_in is None else event.stand_in.id
                for name in event.reads:
                    self._keep(event, name, "read", event.reason, by=by)
            case Review():
                self._asked = event
            case Reviewed() if self._asked is not None:
                if not event.allowed:
                    for do, items in self._asked.operations:
                        for name in items:
                            self._keep(event, name, f"{do} refused", event.reason)
                self._asked = None
            case _:
                pass

    def why(self, item: str) -> list[Happening]:
        """Return all that happened to an item or concerned it, oldest first.

        Raises:
            SourceError: there never was such an item.
        """
        found = self._history.why(item)
        for place, happening in reversed(self._found.get(item, ())):
            found.insert(place, happening)
        return found

    def _keep(
        self, event: Pruned | Reviewed, name: str, what: str, reason: str, *, by: str = ""
    ) -> None:
        try:
            place = len(self._history.why(name))
        except SourceError:  # of a name that only the refused plan knows
            return
        item = self._prompts.threads[event.thread].items.get(name)
        happening = Happening(
            at=event.at,
            thread=event.thread,
            what=what,
            tokens=item.tokens if item is not None else 0,
            rule=event.rule,
            reason=reason,
            plan=event.plan if isinstance(event, Pruned) else None,
            by=by,
        )
        self._found[name].append((place, happening))
