"""The published messages of a GAEN key export, with our extensions, for Google's protobuf to read and write.

Built from the published field numbers without a compiler, so that our own codec is held against another's.
Source: `google/exposure-notifications-server`, internal/pb/export/export.proto; docs/protocols/key-export.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_MESSAGES = {
    "SignatureInfo": (
        (1, "string", "app_bundle_id"),
        (2, "string", "android_package"),
        (3, "string", "verification_key_version"),
        (4, "string", "verification_key_id"),
        (5, "string", "signature_algorithm"),
    ),
    "TemporaryExposureKey": (
        (1, "bytes", "key_data"),
        (2, "int32", "transmission_risk_level"),
        (3, "int32", "rolling_start_interval_number"),
        (4, "int32", "rolling_period"),
        (5, "int32", "report_type"),
        (6, "sint32", "days_since_onset_of_symptoms"),
        (1001, "uint32", "tier"),
    ),
    "TemporaryExposureKeyExport": (
        (1, "fixed64", "start_timestamp"),
        (2, "fixed64", "end_timestamp"),
        (3, "string", "region"),
        (4, "int32", "batch_num"),
        (5, "int32", "batch_size"),
        (6, "SignatureInfo", "signature_infos"),
        (7, "TemporaryExposureKey", "keys"),
        (8, "TemporaryExposureKey", "revised_keys"),
        (1001, "string", "protocol"),
        (1002, "uint64", "sequence"),
    ),
    "TEKSignature": (
        (1, "SignatureInfo", "signature_info"),
        (2, "int32", "batch_num"),
        (3, "int32", "batch_size"),
        (4, "bytes", "signature"),
    ),
    "TEKSignatureList": ((1, "TEKSignature", "signatures"),),
}
_REPEATED = {"signature_infos", "keys", "revised_keys", "signatures"}

Message = Callable[..., Any]
"""A class that protobuf makes at run time: no checker knows its fields."""


def _classes(highest_field: int) -> dict[str, Message]:
    file = descriptor_pb2.FileDescriptorProto(name="export.proto", package="gaen", syntax="proto2")
    for name, rows in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, kind, field_name in rows:
            if number > highest_field:
                continue
            field = message.field.add(name=field_name, number=number)
            field.label = field.LABEL_REPEATED if field_name in _REPEATED else field.LABEL_OPTIONAL
            if kind in _MESSAGES:
                field.type, field.type_name = field.TYPE_MESSAGE, f".gaen.{kind}"
            else:
                field.type = getattr(field, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"gaen.{name}")) for name in _MESSAGES}


_CLASSES = _classes(highest_field=1002)
TemporaryExposureKeyExport = _CLASSES["TemporaryExposureKeyExport"]
TemporaryExposureKey = _CLASSES["TemporaryExposureKey"]
SignatureInfo = _CLASSES["SignatureInfo"]
TEKSignatureList = _CLASSES["TEKSignatureList"]

PublishedExport = _classes(highest_field=1000)["TemporaryExposureKeyExport"]
"""The export as published, to readers of which our extensions are unknown fields."""
