"""The scorecard measures what it says: figures by hand, recordings whole, and the estimator ahead of the baselines."""

from __future__ import annotations

import gzip
import math
import re
from pathlib import Path

import pytest

from bluezoned.tracing import proximity as shipped
from tests.bench import baselines, crowds, judges, measures, proximity, recordings, threshold
from tests.bench.recordings import Window
from tests.bench.scorecard import crowd, minute, page, robustness
from tests.bench.scorecard.table import Table

LICENCES = recordings.SHIPPED / "LICENSE"


@pytest.fixture(scope="module")
def windows() -> list[Window]:
    return recordings.shipped()


def test_auc_by_hand() -> None:
    assert measures.auc([False, True, False, True], [0.1, 0.2, 0.3, 0.4]) == 0.75
    assert measures.auc([False, True], [0.5, 0.5]) == 0.5
    assert math.isnan(measures.auc([True, True], [0.1, 0.2]))


def test_rates_by_hand() -> None:
    assert measures.rates([True, True, False, False, False], [True, False, True, False, False]) == (0.5, 1 / 3)


def test_roc_ends_where_everything_is_told() -> None:
    assert measures.roc([True, False], [0.9, 0.1]) == [(0, 0), (0, 1), (1, 1)]


def test_every_shipped_set_is_whole_and_has_its_notice(windows: list[Window]) -> None:
    told = {name: len(places) for name, places in measures.by_set(windows).items()}

    assert told == {"herald": 2688, "mit_matrix": 218, "pcng": 214, "rpi_dean": 1158, "rpi_winner": 296}
    assert all(re.search(rf"^{name} +(Copyright|MIT Lincoln)", LICENCES.read_text(), re.M) for name in told)


def test_further_sets_are_read_with_their_truth(tmp_path: Path) -> None:
    (tmp_path / "sessions.csv").write_text(
        "session_id,group,dynamic,dataset,cal_dbm,is_cal\nplay-a-b,play,1,play,-60,0\nplay-1m,play,0,play,-60,1\n"
    )
    with gzip.open(tmp_path / "play.csv.gz", "wt") as file:
        file.write("session_id,tx,rx,t_s,rssi_dbm,distance_m\nplay-a-b,B,A,1.0,-61,\nplay-1m,B,A,1.0,-60,1.0\n")
    with gzip.open(tmp_path / "play_groundtruth.csv.gz", "wt") as file:
        file.write("session_id,t_s,distance_m\n" + "".join(f"play-a-b,{s},{1 if s < 90 else 3}\n" for s in range(120)))

    first, second = recordings.tables(tmp_path)

    assert (first.rx, first.tx, first.rssi, first.is_near) == ("play a", "play b", (-61.0,), True)
    assert (second.rssi, second.is_scored, second.seconds_near) == ((), False, 30.0)


def test_estimator_tells_a_minute_better_than_every_baseline(windows: list[Window]) -> None:
    def macro(judge: judges.Judge) -> float:
        return measures.mean(measures.judge(windows, judge(windows), 0.5).values(), lambda j: j.auc)

    ours = macro(judges.JUDGES[judges.ALONE])

    assert ours > max(macro(judges.JUDGES[name]) for name in baselines.BASELINES) + 0.01
    assert ours > 0.70


def test_boundary_lies_where_the_open_recordings_say(windows: list[Window]) -> None:
    boundary, _ = minute.fit([minute.thinned(w, 24) for w in windows])

    assert abs(boundary - shipped.BOUNDARY) < 0.5


def test_crowd_mends_the_boundary_in_every_kind_of_scene() -> None:
    found = crowd.boundary_errors(crowds.crowds(range(6)))

    assert all(with_crowd < alone for alone, with_crowd in found.values())


def test_simulated_crowd_comes_again() -> None:
    assert crowds.crowd(crowds.SCENES[1], 3) == crowds.crowd(crowds.SCENES[1], 3)


def test_a_set_is_judged_by_a_boundary_fitted_without_it(windows: list[Window]) -> None:
    table = minute.left_out([w for w in windows if w.set in ("pcng", "mit_matrix")])

    assert table.columns[1:-2] == ("mit_matrix", "pcng")
    assert 0.5 < float(table.rows[-1][-2]) != float(table.rows[-2][-2])


def test_no_shape_of_a_minute_tells_its_distance_in_all_sets(windows: list[Window]) -> None:
    table = minute.shapes(windows)

    assert all(float(row[-1]) < 0.6 for row in table.rows)


def test_every_constant_has_its_reason_and_is_halved_and_doubled() -> None:
    named = {c.name for c in threshold.thresholds()}

    assert named == {*threshold.HALVED_AND_DOUBLED, "MINUTE"}
    assert all(c.reason for c in threshold.thresholds())


def test_changed_constant_comes_back() -> None:
    with threshold.changed("BOUNDARY", 40.0):
        deaf = proximity.window([-60], [0], -60)

    assert deaf < 0.05 < proximity.window([-60], [0], -60)


def test_unknown_gain_is_of_the_device_and_not_of_the_packet(windows: list[Window]) -> None:
    shifted = robustness.with_gains(windows[:2], 4.0, 0)

    gains = [{b - a for a, b in zip(w.rssi, s.rssi, strict=True)} for w, s in zip(windows[:2], shifted, strict=True)]
    assert max(gains[0]) - min(gains[0]) < 1e-9
    assert abs(min(gains[0]) - min(gains[1])) < 1e-9
    assert min(gains[0]) != 0


def test_page_holds_tables_and_pictures_and_needs_nothing_else(windows: list[Window]) -> None:
    few = [w for w in windows if w.set.startswith("rpi")]
    table = Table("Title <one>", "Note", ("column",), (("cell & cell",),))

    written = page.page([table], few, "Introduction")

    assert "Title &lt;one&gt;" in written
    assert "cell &amp; cell" in written
    assert written.count("<svg") == 3
    assert not re.search(r"<(script|link|img)\b", written)
