"""What the box says, in Vietnamese."""

from __future__ import annotations

from collections.abc import Mapping

from bluezoned.alert.indicator import Indication

SENTENCES: Mapping[Indication, str] = {
    Indication.OWN_CASE: "Bạn là ca nhiễm đã xác nhận: hãy cách ly và làm theo hướng dẫn của cơ quan y tế.",
    Indication.F1: "Bạn đã ở gần một ca nhiễm: hãy cách ly và hỏi cơ quan y tế.",
    Indication.F2: "Bạn đã ở gần người từng gặp ca nhiễm: hãy cẩn thận và theo dõi tin tức.",
    Indication.CLOCK_UNKNOWN: "Chưa biết giờ nên không phát và không so sánh được gì: hãy kiểm tra mạng.",
    Indication.STORAGE_FAULT: "Không lưu được các lần gặp: hãy kiểm tra bộ nhớ.",
    Indication.PAUSED: "Bạn đã tạm dừng: không phát và không nghe cho đến khi bạn bật lại.",
    Indication.CANNOT_HEAR: "Không nghe được người khác: hãy kiểm tra Bluetooth.",
    Indication.CANNOT_ADVERTISE: "Người khác không nghe được hộp này: hãy kiểm tra Bluetooth.",
    Indication.KEYS_STALE: "Tin về ca nhiễm đã cũ nên im lặng không có nghĩa là an toàn: hãy kiểm tra mạng.",
    Indication.BUTTON_STUCK: "Một nút bị nhấn mãi không nhả: hãy gỡ nút hoặc kiểm tra dây.",
    Indication.SOMEONE_NEAR: "Có người ở gần.",
    Indication.ALL_WELL: "Mọi việc đều ổn.",
}
