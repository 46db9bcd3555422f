"""The enumerations that services exchange."""

from enum import StrEnum


class ContentType(StrEnum):
    """The kind of a stored blob."""

    RAW_UPLOAD_BLOB = "raw_upload_blob"
    EXTRACTED_PLAINTEXT = "extracted_plaintext"
    CORRECTED_TEXT = "corrected_text"
    ASSESSMENT_RESULT = "assessment_result"


class ValidationFailure(StrEnum):
    """Why an upload's content was rejected."""

    NO_TEXT = "no_text"
    TOO_LONG = "too_long"
    TOO_COMPLEX = "too_complex"
    UNSUPPORTED = "unsupported"
    DAMAGED = "damaged"


class DeadLetterKind(StrEnum):
    """Why a delivery was set aside."""

    MALFORMED = "malformed"
    POISON = "poison"
    UNKNOWN_VERSION = "unknown_version"
    CONFLICT = "conflict"
