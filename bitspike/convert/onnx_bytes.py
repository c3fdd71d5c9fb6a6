"""A look at an ONNX file's bytes before anything is made of them.

Protobuf turns two bytes of a hostile file into more than a hundred bytes of objects, so the number of fields is counted
first, without making any: source of the wire format is https://protobuf.dev/programming-guides/encoding/.
"""

from typing import TYPE_CHECKING, Any

from bitspike.errors import BitspikeError

if TYPE_CHECKING:
    from onnx import ModelProto

#: Twice the synapses of a Loihi 2 chip (120 million), a byte each. Larger files are neither written nor read.
MAX_BYTES = 1 << 28
#: A population and its connections take about 300 fields. Walking over so many takes a part of a second.
MAX_FIELDS = 1 << 18
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_WIDTHS = {_FIXED64: 8, _FIXED32: 4}


def parse(data: bytes) -> "ModelProto":
    """The message in `data`; nothing outside `data` is read, external tensors stay where they are.

    Raises:
        BitspikeError: where `data` is no ONNX model, is cut short, or holds more than 2^18 fields.
    """
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    try:
        _count_fields(data, ModelProto.DESCRIPTOR)
        return ModelProto.FromString(data)
    except (DecodeError, _CutShortError):
        raise BitspikeError("is not a whole ONNX file") from None


class _CutShortError(ValueError):
    """Bytes that end before a field does, or are no fields."""


def _count_fields(data: bytes, kind: Any) -> None:
    """Walk over all fields of a message of type `kind`, a protobuf descriptor; _CutShortError where `data` ends."""
    pending = [(0, len(data), kind)]
    count = 0
    while pending:
        place, end, kind = pending.pop()
        while place < end:
            tag, place = _varint(data, place, end)
            field = kind.fields_by_number.get(tag >> 3)
            wire = tag & 7
            count += 1
            if wire == _VARINT:
                _, place = _varint(data, place, end)
            elif wire == _LENGTH:
                length, place = _varint(data, place, end)
                if field is not None and field.message_type is not None:
                    pending.append((place, place + length, field.message_type))
                elif field is not None and field.type not in (field.TYPE_STRING, field.TYPE_BYTES):
                    count += length  # packed numbers: a byte each at worst
                place += length
            elif wire in _WIDTHS:
                place += _WIDTHS[wire]
            else:
                raise _CutShortError
            if place > end:
                raise _CutShortError
            if count > MAX_FIELDS:
                raise BitspikeError(f"holds more than {MAX_FIELDS} fields; no network has so many")


def _varint(data: bytes, place: int, end: int) -> tuple[int, int]:
    """The number that begins at `place`, and the place after it."""
    value = shift = 0
    while place < end and shift < 70:
        octet = data[place]
        place += 1
        value |= (octet & 127) << shift
        if octet < 128:
            return value, place
        shift += 7
    raise _CutShortError
