"""Evidence of a fork convinces who has nothing but the authority's key, and evidence of none convinces nobody."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bluezoned import fork_evidence, key_rotation, transparency_log
from bluezoned.cli.program import main
from bluezoned.errors import AuthorityError
from bluezoned.fork_evidence import ForkEvidence
from bluezoned.signed_document import DocumentError
from tests.test_transparency_log import PUBLIC_KEY, SIGNING_KEY, STRANGERS_KEY, hashes, history, log

NEXT_KEY = ec.generate_private_key(ec.SECP256R1())


def signed(count: int, story: str = "told", oldest: int = 0) -> bytes:
    return transparency_log.write(log(history(count, story), oldest), SIGNING_KEY)


@pytest.mark.parametrize("sizes", [(5, 7), (7, 5), (6, 6), (64, 70), (100, 170)])
def test_two_histories_are_a_fork_whichever_was_believed(sizes: tuple[int, int]) -> None:
    fork, seen = sizes
    evidence = ForkEvidence(signed(fork, "another", max(0, fork - 60)), signed(seen, oldest=max(0, seen - 60)))

    judgement = fork_evidence.judge(fork_evidence.read(evidence.write().encode()), PUBLIC_KEY)

    assert judgement.is_fork
    assert judgement.seen is not None
    assert (judgement.fork.size, judgement.seen.size) == sizes
    assert judgement.seen.root == transparency_log.peek(signed(seen)).root.hex()


def test_one_history_is_none() -> None:
    assert not fork_evidence.judge(ForkEvidence(signed(70), signed(5)), PUBLIC_KEY).is_fork
    assert not fork_evidence.judge(ForkEvidence(signed(5), signed(5)), PUBLIC_KEY).is_fork
    assert not fork_evidence.judge(ForkEvidence(signed(5), None), PUBLIC_KEY).is_fork


def test_log_that_contradicts_itself_needs_no_other() -> None:
    forged = replace(log(history(70), 65), peaks=tuple(hashes(history(1, "another"))))
    evidence = ForkEvidence(transparency_log.write(forged, SIGNING_KEY), None)

    assert fork_evidence.judge(evidence, PUBLIC_KEY).is_fork


def test_fork_over_a_rotation_of_the_key_is_proven_by_the_old_one() -> None:
    rotation = key_rotation.rotate(SIGNING_KEY, NEXT_KEY.public_key(), 1, 0)
    later = transparency_log.write(replace(log(history(7, "another")), rotations=(rotation,)), NEXT_KEY)

    assert fork_evidence.judge(ForkEvidence(later, signed(5)), PUBLIC_KEY).is_fork


def test_nobody_is_accused_by_what_another_signed() -> None:
    evidence = ForkEvidence(signed(7, "another"), signed(5))
    of_two = ForkEvidence(transparency_log.write(log(history(7, "another")), NEXT_KEY), signed(5))

    with pytest.raises(DocumentError):
        fork_evidence.judge(evidence, STRANGERS_KEY)
    with pytest.raises(DocumentError):
        fork_evidence.judge(of_two, PUBLIC_KEY)


def test_logs_without_a_leaf_in_common_cannot_be_compared() -> None:
    with pytest.raises(AuthorityError, match="too far apart"):
        fork_evidence.judge(ForkEvidence(signed(200, "another", 190), signed(5)), PUBLIC_KEY)


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"fork": 1, "seen": null}', b'{"fork": "\xc3\xa4", "seen": null}', b'{"seen": null}',
     b'{"fork": "", "seen": null, "box": "mine"}', b" " * (fork_evidence.LARGEST + 1)],
)  # fmt: skip
def test_what_is_no_evidence_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(AuthorityError, match="no evidence"):
        fork_evidence.read(data)


# the command


def inspected(tmp_path: Path, evidence: str, *words: str) -> Result:
    (tmp_path / "evidence.json").write_text(evidence)
    pem = PUBLIC_KEY.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "authority.pem").write_bytes(pem)
    asked = ("inspect-fork", str(tmp_path / "evidence.json"), "--public-key", str(tmp_path / "authority.pem"), *words)
    return CliRunner().invoke(main, asked)


def test_fork_is_proven_on_the_command_line(tmp_path: Path) -> None:
    evidence = ForkEvidence(signed(7, "another"), signed(5)).write()

    told, as_json = inspected(tmp_path, evidence), inspected(tmp_path, evidence, "--json")

    assert (told.exit_code, as_json.exit_code) == (0, 0)
    assert "proven: the authority signed both" in told.stdout
    assert [json.loads(as_json.stdout)[which]["size"] for which in ("fork", "seen")] == [7, 5]


@pytest.mark.parametrize(
    ("evidence", "why"),
    [
        (ForkEvidence(signed(7), signed(5)).write(), "none: both are of one history"),
        (ForkEvidence(signed(7).replace(b'"vn"', b'"la"'), signed(5)).write(), "refused: its signature"),
        ("{}", "no evidence of a fork"),
    ],
)
def test_anything_else_fails(tmp_path: Path, evidence: str, why: str) -> None:
    told = inspected(tmp_path, evidence)

    assert told.exit_code == 1
    assert why in told.output
