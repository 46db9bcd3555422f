"""Students who upload essays, for ``oneffect load``, or ``locust -f scenarios/locustfile.py`` beside ``oneffect up``.

The target comes from the JSON file that ONEFFECT_LOAD names (``oneffect load`` writes one), else from the nearest
.oneffect/up.json; ``--host`` replaces its host and port.
"""

from locust import between, task

from harness.load.locust_user import Uploader


class Student(Uploader):
    """Thinks for one to three seconds, then hands in; of twenty essays three must be rejected."""

    think = between(1, 3)

    @task(16)
    def essay(self) -> None:
        """Upload a text, a Word or a PDF document."""
        self.upload("accepted")

    @task(1)
    def long_essay(self) -> None:
        """Upload a document of some hundred KiB, with a picture."""
        self.upload("large")

    @task(3)
    def no_essay(self) -> None:
        """Upload an empty, overlong or damaged file."""
        self.upload("rejected")
