"""``python -m reference_impl.file_service reprocess``: have finished uploads extracted again, as a second fact."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement
from sqlalchemy.exc import SQLAlchemyError

from reference_impl.file_service import store
from reference_impl.file_service.document import NEWEST
from reference_impl.file_service.store import UPLOAD, reprocess
from reference_impl.service_libs.clock import SystemClock
from reference_impl.service_libs.database import Database
from reference_impl.service_libs.settings import DatabaseSettings, load

_EPILOG = """\
The running service does the work; this command only requests it, in one transaction. It needs only DATABASE_URL.
An upload without an outcome is left as it is: it is still being processed.

examples:
  python -m reference_impl.file_service reprocess --upload essay-17
  python -m reference_impl.file_service reprocess --all --since 2026-01-31T08:00:00Z
  python -m reference_impl.file_service reprocess --all --since 2026-01-31 --extractor-version 1

exit status: 0 all were requested, 1 some were left or the upload is unknown, 2 wrong usage or no database"""


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.all != (options.since is not None):
        parser.error("--all and --since go together")
    which = (
        UPLOAD.c.upload_id == options.upload if options.upload is not None else UPLOAD.c.received_at >= options.since
    )
    try:
        requested = asyncio.run(_reprocess(load(DatabaseSettings, "reprocess"), which, options.extractor_version))
    except (SQLAlchemyError, OSError, ValueError) as error:
        _say(f"the database at DATABASE_URL could not be used, and nothing was changed: {error}")
        return 2
    for upload_id, finished in requested.items():
        sys.stdout.write(f"{upload_id}: {'to be extracted again' if finished else 'left: it has no outcome yet'}\n")
    if options.upload is not None and not requested:
        _say(f"no upload {options.upload!r}")
        return 1
    return 0 if all(requested.values()) else 1


async def _reprocess(settings: DatabaseSettings, which: ColumnElement[bool], version: int) -> dict[str, bool]:
    database = Database(settings.database_url, [store.MIGRATION], busy_seconds=settings.database_busy_seconds)
    try:
        await database.start()
        return await reprocess(database, SystemClock(), which, version)
    finally:
        await database.stop()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m reference_impl.file_service reprocess",
        description="Have uploads extracted again, optionally with another extractor version.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    one_or_all = parser.add_mutually_exclusive_group(required=True)
    one_or_all.add_argument("--upload", metavar="ID", help="this upload")
    one_or_all.add_argument("--all", action="store_true", help="every upload that --since names")
    parser.add_argument(
        "--since",
        metavar="TIMESTAMP",
        type=_moment,
        help="with --all: received at this time or later; ISO 8601, UTC by default",
    )
    parser.add_argument(
        "--extractor-version",
        metavar="N",
        type=int,
        choices=range(1, NEWEST + 1),
        default=NEWEST,
        help=f"1 to {NEWEST}; default: {NEWEST}, the newest",
    )
    return parser


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an ISO 8601 timestamp such as 2026-01-31T08:00:00Z"
        ) from None


def _say(text: str) -> None:
    sys.stderr.write(f"reprocess: {text}\n")
