"""What can be wrong with the boot file, in the words of those who wrote it: Vietnamese first, English below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

FILE = "bluezoned.toml"


class Kind(Enum):
    """Vietnamese and English. `{what}` is the option, `{said}` what stands there, `{may}` what may."""

    NAME_OF_FILE = (
        "Tập tin tên là {said}. Hãy đổi tên thành bluezoned.toml (Windows có thể giấu phần đuôi .txt).",
        "The file is called {said}. Rename it to bluezoned.toml (Windows may hide the ending .txt).",
    )
    TOO_LARGE = (
        "Tập tin quá lớn, không phải là tập tin cài đặt.",
        "The file is too large to be one of settings.",
    )
    NOT_TEXT = (
        "Tập tin không phải là văn bản. Hãy lưu lại bằng Notepad, mã UTF-8, không dùng Word.",
        "The file is not plain text. Save it with a text editor as UTF-8, not with a word processor.",
    )
    CURLY_QUOTES = (
        'Có dấu nháy cong “ ”. Hãy thay bằng dấu nháy thẳng ".',
        'There are curly quotes “ ”. Replace them with straight ones: ".',
    )
    NOT_TOML = (
        'Không đọc được dòng này. Mỗi dòng phải có dạng: tên = "giá trị". ({said})',
        'This line cannot be read. Each has the form: name = "value". ({said})',
    )
    EMPTY = (
        "Tập tin không có cài đặt nào.",
        "The file holds no setting.",
    )
    NO_SUCH_SECTION = (
        "Không có mục [{what}]. ({said})",
        "There is no section [{what}]. ({said})",
    )
    NO_SUCH_OPTION = (
        "Không có tùy chọn {what}. ({said})",
        "There is no option {what}. ({said})",
    )
    NOT_ALLOWED = (
        "Giá trị của {what} không dùng được. ({said})",
        "The value of {what} cannot be used: {said}.",
    )
    CONTRADICTION = (
        "{what} mâu thuẫn với cài đặt khác hoặc còn thiếu. ({said})",
        "{what} does not go with the rest: {said}.",
    )
    BAD_NAME = (
        "Tên hộp chỉ được có chữ a-z, số 0-9 và dấu -, nhiều nhất 63 ký tự.",
        "The box's name may have letters a-z, digits and -, 63 at most, not at its ends.",
    )
    WIFI_NAME = (
        "Tên mạng Wi-Fi (ssid) bị thiếu hoặc dài quá 32 byte.",
        "The Wi-Fi's name (ssid) is missing or longer than 32 bytes.",
    )
    WIFI_PASSWORD = (
        'Mật khẩu Wi-Fi phải có từ 8 đến 63 ký tự; mạng không mật khẩu thì ghi password = "".',
        'The Wi-Fi\'s password has 8 to 63 characters; write password = "" for a network without.',
    )
    WIFI_COUNTRY = (
        'Thiếu mã quốc gia hoặc mã sai. Ghi hai chữ in hoa, ví dụ country = "VN".',
        'The country is missing or wrong. Write its two capital letters, such as country = "VN".',
    )
    SSH_PRIVATE_KEY = (
        "Đây là khóa RIÊNG, không ai được biết. Hãy ghi khóa công khai (tập tin .pub) và tạo khóa mới.",
        "This is the PRIVATE key, which nobody may see. Write the public one (the .pub file), and make a new pair.",
    )
    SSH_KEY = (
        "Khóa SSH không đúng. Khóa là một dòng, bắt đầu bằng ssh-ed25519, ecdsa-sha2-nistp256 hoặc ssh-rsa.",
        "This is no SSH key. It is one line and begins with ssh-ed25519, ecdsa-sha2-nistp256 or ssh-rsa.",
    )
    AUTHORITY_KEY = (
        "Khóa công khai của cơ quan y tế không đúng. Hãy chép nguyên phần từ BEGIN PUBLIC KEY đến END PUBLIC KEY.",
        "The authority's public key is damaged. Copy all from BEGIN PUBLIC KEY to END PUBLIC KEY.",
    )
    UPDATE_KEY = (
        "Khóa cập nhật phải là khóa công khai Ed25519 dạng PEM.",
        "The key of updates must be an Ed25519 public key in PEM form.",
    )
    NOT_WRITTEN = (
        "Hộp không ghi được cài đặt này vào thẻ nhớ. ({said})",
        "The box could not write this setting to the card. ({said})",
    )

    def __init__(self, vietnamese: str, english: str) -> None:
        self.vietnamese = vietnamese
        self.english = english


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend."""

    kind: Kind
    line: int | None = None
    """In the file, from 1."""
    what: str = ""
    """The option or section, as it is written."""
    said: str = ""
    """More of the matter, in English. Never a secret."""

    def told(self, text: str) -> str:
        return text.format(what=self.what, said=self.said).replace(" ()", "")


def report(problems: Sequence[Problem], imported: Sequence[str]) -> str:
    """bluezoned-problems.txt: Windows' line ends, as it is read there."""
    lines = [
        f"bluezoned đã đọc tập tin {FILE} và thấy {len(problems)} lỗi.",
        "Hãy sửa, lưu lại, cắm thẻ vào hộp và bật lại.",
        "",
        *(_line("Dòng", problem, problem.kind.vietnamese) for problem in problems),
        "",
        f"Đã nhận: {', '.join(imported) or 'chưa có gì'}.",
        "",
        "-" * 60,
        "",
        f"bluezoned has read {FILE} and found {len(problems)} mistake{'' if len(problems) == 1 else 's'}.",
        "Mend them, save the file, put the card back and switch on again.",
        "",
        *(_line("Line", problem, problem.kind.english) for problem in problems),
        "",
        f"Taken over: {', '.join(imported) or 'nothing yet'}.",
        "",
    ]
    return "\r\n".join(lines)


def _line(word: str, problem: Problem, text: str) -> str:
    place = "" if problem.line is None else f"{word} {problem.line}: "
    return f"- {place}{problem.told(text)}"
