"""A system in steps, for code that blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from harness.errors import UsageError, first_on_purpose
from harness.session.thread import outcome
from harness.steps.judged import EFFECT, RETAINED, Judged
from harness.steps.steps import OVER

if TYPE_CHECKING:
    from harness.steps.block import Block
    from harness.steps.places import Proxy

T = TypeVar("T")


class Reachable:
    """Where a system that is up can be reached."""

    def __init__(self, block: Block) -> None:
        self._block = block

    @property
    def front_door(self) -> str:
        """The URL that uploads are sent to, past the proxies; UsageError if nothing is uploaded over HTTP."""
        if (url := self._block.places.front_door) is None:
            raise UsageError("this system has no front door with a URL: its load is not uploaded over HTTP")
        return url

    @property
    def addresses(self) -> Mapping[str, str]:
        """host:port of each dependency and replica, past the proxies."""
        return self._block.places.addresses

    def address(self, dependency: str) -> str:
        """Return the host:port at which code must reach a dependency for the faults on its link to reach the code.

        UsageError unless exactly one link leads there, as in ``oneffect.adopt``.
        """
        found = [proxy.address for link, proxy in self.proxies.items() if link.partition("->")[2] == dependency]
        if len(found) != 1:
            links = ", ".join(sorted(self.proxies)) or "none"
            raise UsageError(f"{dependency}: {len(found) or 'no'} links lead there; the links are {links}")
        return found[0]

    @property
    def proxies(self) -> Mapping[str, Proxy]:
        """The Toxiproxy proxy of each link, by the link's name: ``shop#1->redis``."""
        return self._block.places.proxies


class System(Reachable):
    """A system that is up, for one run: load it, break it, and ask for the verdict last.

    Made by ``with oneffect.system(…) as shop``. Times, rates and shares are written as in a scenario: ``30s``, ``20/s``,
    ``15%``. After the verdict the run is over, and each further step raises UsageError.
    """

    def upload(  # noqa: PLR0913 - a scenario's load
        self,
        count: int = 20,
        *,
        rate: str = "20/s",
        rejected: str = "15%",
        large: str = "5%",
        retries: int = 0,
        retry_after: str = "500ms",
    ) -> int:
        """Send so many generated documents to the front door, each when it is due, and wait for the answers.

        The options are those of a scenario's ``load``. Returns how many tries were acknowledged; a verdict needs 20 in all,
        and an acknowledged one before the first fault.
        """
        return self._waited(
            self._block.upload(
                count, rate=rate, rejected=rejected, large=large, retries=retries, retry_after=retry_after
            )
        )

    def publish(self, count: int = 20, *, rate: str = "20/s") -> int:
        """Put so many events on their topic, each when it is due, and wait for the broker's answers.

        They are made from the template of the system's ``load.publish``, and published past the proxies. Returns how many
        were acknowledged; a verdict needs 20 in all, and an acknowledged one before the first fault.
        """
        return self._waited(self._block.publish(count, rate=rate))

    @contextmanager
    def fault(self, fault: str, /, *, on: str, **parameters: object) -> Iterator[None]:
        """Break something while the block lasts; faults, targets and parameters are those of a scenario's row.

        The block begins once the fault is armed; one that strikes a service at work is armed by the work that the block
        makes. Leaving the block heals the fault, which stays for up to a minute more if it has not bitten. An exception
        heals it at once. PlanRefused if the system or the stack cannot have it, FaultError if injecting or healing fails.
        """
        injecting = self._block.inject(fault, on, parameters)
        try:
            held = self._waited(injecting)
            yield
            self._waited(self._block.leave(held, early=False))
        except BaseException:
            outcome(self._block.withdraw(injecting))
            raise

    def drain(self, within: str = "30s") -> bool:
        """Wait until the system is at rest; return False if it is not within so long, or about a minute more while it moves.

        UsageError while a fault is in place.
        """
        return self._waited(self._block.drain(within))

    def verdict(self, within: str = "30s") -> Judged:
        """Drain, read everything past the proxies, end the run and judge its history; then always return the same.

        Whatever keeps that from showing anything makes it ``unknown``: too few uploads, a fault that never bit or that is
        still in place, a system that is not at rest ``within`` so long, a read that failed.
        """
        self._waited(self._block.read(within))
        return self._block.judge()

    def assert_exactly_one_effect(self, within: str = "30s") -> None:
        """Raise AssertionError with the story unless totals and outcomes are right, and each event had exactly one effect."""
        self.verdict(within).require(*EFFECT)

    def assert_raw_retained(self, within: str = "30s") -> None:
        """Raise AssertionError with the story unless each acknowledged upload's raw blob is still there, unchanged."""
        self.verdict(within).require(*RETAINED)

    def _waited(self, future: Future[T]) -> T:
        return waited(future, self._block)


def waited(future: Future[T], block: Block) -> T:
    """Wait for a step; cancel it if anything ends the wait early. Raises what ended the run, if that ended the step."""
    try:
        with first_on_purpose():
            return outcome(future)
    except CancelledError:
        block.raise_cause()
        raise UsageError(OVER) from None
    except BaseException:
        future.cancel()
        raise
