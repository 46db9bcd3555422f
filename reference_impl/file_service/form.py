"""Parses ``multipart/form-data`` (RFC 7578, RFC 2046, RFC 2183) from a body in memory."""

import re
from dataclasses import dataclass

from reference_impl.service_libs.http_errors import Refused

MOST_PARTS = 16
_MOST_HEADER_BYTES = 8 * 1024
_IDENTITY = frozenset({b"7bit", b"8bit", b"binary"})

_PARAMETER = rb';[ \t]*(?:([^\s;="]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))[ \t]*)?'
_PARAMETERS = re.compile(_PARAMETER)
_VALUE = re.compile(rb"[ \t]*([^\s;]+)[ \t]*((?:" + _PARAMETER + rb")*)")


@dataclass(frozen=True)
class Part:
    """A field of a form; ``file_name`` is None unless the part names a file."""

    file_name: str | None
    content: bytes

    @property
    def text(self) -> str:
        """The content as text. Raises ``Refused``."""
        return _text(self.content)


def read_form(content_type: str, body: bytes) -> dict[str, Part]:
    """Return the fields by name, at most ``MOST_PARTS``. Raises ``Refused``, also for a duplicate field."""
    kind, options = _options(content_type.encode("latin-1"))
    if kind != b"multipart/form-data":
        raise Refused(415, "not_multipart", "send the file as multipart/form-data, in the field `file`")
    boundary = options.get(b"boundary")
    if not boundary:
        raise _bad("the Content-Type names no boundary")
    form: dict[str, Part] = {}
    for head, content in _parts(boundary, body):
        name, part = _part(head, content)
        if name in form:
            raise _bad(f"the field `{name}` occurs twice")
        form[name] = part
    return form


def _parts(boundary: bytes, body: bytes) -> list[tuple[bytes, bytes]]:
    """Split the body into each part's headers and content; ignore any text before the first boundary and after the last."""
    # A delimiter is a whole line, so `--b2` and `--b--2` belong to a file. The CRLF before it is part of it.
    delimiter = re.compile(rb"\r\n--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r\n|\Z)")
    body = b"\r\n" + body
    parts: list[tuple[bytes, bytes]] = []
    begin = None
    for line in delimiter.finditer(body):
        if begin is not None:
            head, blank_line, content = body[begin : line.start()].partition(b"\r\n\r\n")
            if not blank_line or len(head) > _MOST_HEADER_BYTES:
                raise _bad(f"a part's headers do not end, or are longer than {_MOST_HEADER_BYTES} bytes")
            parts.append((head, content))
        if line[1]:
            return parts
        if len(parts) == MOST_PARTS:
            raise _bad(f"more than {MOST_PARTS} parts")
        begin = line.end()
    raise _bad("the body ends before its last boundary")


def _part(head: bytes, content: bytes) -> tuple[str, Part]:
    lines = re.sub(rb"\r\n(?=[ \t])", b"", head).split(b"\r\n")  # a header may be folded
    headers = [(name.lower(), value) for name, _, value in (line.partition(b":") for line in lines)]
    encodings = {value.strip().lower() for name, value in headers if name == b"content-transfer-encoding"}
    if not encodings <= _IDENTITY:
        raise _bad("send each part's bytes unencoded, without a Content-Transfer-Encoding")
    dispositions = [value for name, value in headers if name == b"content-disposition"]
    kind, options = _options(dispositions[0]) if len(dispositions) == 1 else (b"", {})
    if kind != b"form-data" or b"name" not in options:
        raise _bad('each part has one header `Content-Disposition: form-data; name="…"`')
    # RFC 7578 forbids `filename*` in forms; clients that send it also send `filename`.
    file_name = options.get(b"filename")
    return _text(options[b"name"]), Part(None if file_name is None else _text(file_name), content)


def _options(header: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """Return a header's value in lower case, and its parameters by name."""
    match = _VALUE.fullmatch(header)
    if match is None:
        return b"", {}
    options: dict[bytes, bytes] = {}
    for name, quoted, plain in _PARAMETERS.findall(match[2]):
        if name.lower() in options:
            raise _bad(f"the parameter `{_text(name)}` occurs twice")
        # Unescape nothing else: browsers leave other backslashes as they are, and such a name is a path.
        options[name.lower()] = plain or re.sub(rb'\\(["\\])', rb"\1", quoted)
    options.pop(b"", None)  # from a trailing semicolon
    return match[1].lower(), options


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise _bad("names and fields must be UTF-8") from error


def _bad(detail: str) -> Refused:
    return Refused(400, "bad_multipart", detail)
