"""Students who upload essays, for ``oneffect load`` or for ``locust -f scenarios/locustfile.py`` beside ``oneffect up``.

Where they upload to stands in the JSON file that ONEFFECT_LOAD names (``oneffect load`` writes one), else in the
nearest .oneffect/up.json; ``--host`` puts another host and port in its place.
"""

from locust import between, task

from harness.load.locust_user import Uploader


class Student(Uploader):
    """Thinks for one to three seconds, then hands in; one essay in seven is one that must be rejected."""

    think = between(1, 3)

    @task(16)
    def essay(self) -> None:
        """A text, a Word or a PDF document."""
        self.upload("accepted")

    @task(1)
    def long_essay(self) -> None:
        """One of some hundred KiB, with a picture."""
        self.upload("large")

    @task(3)
    def no_essay(self) -> None:
        """Empty, too long, or damaged."""
        self.upload("rejected")
