"""The demo portal's terms: what a job may ask for there, and what its pages need."""

from __future__ import annotations

from datetime import date, time
from time import process_time
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from automation.portals import portals, visit_of
from automation.portals.config import fits
from automation.portals.demo import SCHEMA, DemoPortal
from domain.errors import InvalidInput
from domain.jobs import Slot

PORTAL = DemoPortal("http://127.0.0.1:8001")


def test_the_demo_is_there_where_one_runs_and_what_has_no_adapter_is_named() -> None:
    assert list(portals(["demo"], "http://127.0.0.1:8001")) == ["demo"]
    assert list(portals(["demo"])) == []
    for ask in (visit_of, lambda key: portals([key])):
        with pytest.raises(KeyError, match="nowhere"):
            ask("nowhere")


@pytest.mark.feature("S0.15")
def test_the_schema_of_a_config_is_one_and_says_what_there_is_to_choose() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert set(SCHEMA["properties"]) >= {"licence", "exam", "places", "from", "to", "earliest", "latest"}


def test_an_empty_config_will_do() -> None:
    assert PORTAL.checked({}) == {"licence": "B", "exam": "Driving test", "places": ["Uppsala"]}


@pytest.mark.feature("S0.10")
def test_the_older_contracts_words_mean_todays() -> None:
    older = {"license_type": "A2", "exam": "Körprov", "locations": ["Gävle", "Uppsala"]}
    today = {"licence": "A2", "exam": "Driving test", "places": ["Gävle", "Uppsala"]}
    assert PORTAL.checked(older) == today
    assert PORTAL.checked({"exam_type": "Kunskapsprov"})["exam"] == "Theory test"


@pytest.mark.parametrize(
    ("config", "path"),
    [
        (["B"], ["config"]),
        ({"weather": "fine"}, ["config"]),
        ({"licence": "Z"}, ["config", "licence"]),
        ({"places": []}, ["config", "places"]),
        ({"places": ["a", "b", "c", "d", "e"]}, ["config", "places"]),
        ({"places": ["Uppsala", 7]}, ["config", "places", "1"]),
        ({"from": "2027-02-30"}, ["config", "from"]),
        ({"from": "2027-03-02", "to": "2027-03-01"}, ["config", "to"]),
        ({"earliest": "24:00"}, ["config", "earliest"]),
        ({"earliest": "08:00\n"}, ["config", "earliest"]),
        ({"earliest": "12:00", "latest": "11:59"}, ["config", "latest"]),
    ],
)
def test_a_wrong_config_is_refused_with_the_place_of_what_is_wrong(config: Any, path: list[str]) -> None:
    with pytest.raises(InvalidInput) as refused:
        PORTAL.checked(config)
    assert refused.value.path == path


@pytest.mark.parametrize(
    "config",
    [
        {"places": [{"number": number} for number in range(9_000)]},
        {"places": [{"n": number} for number in range(700)]},
        {"places": [str(number) if number % 2 else [number] for number in range(800)]},
        {str(number): number for number in range(600)},
        {"person": "x" * 8_000},
        {"person": "x" * 200_000},
        {"person": "Ada\x00"},
    ],
)
def test_no_config_costs_more_to_refuse_than_a_request_may(config: Any) -> None:
    with pytest.raises(InvalidInput):
        PORTAL.checked({"from": "tomorrow"})  # what is imported is
    began = process_time()
    with pytest.raises(InvalidInput) as refused:
        PORTAL.checked(config)
    assert process_time() - began < 0.05
    assert len(refused.value.message) <= 200


def test_a_job_is_for_its_owner_unless_it_names_another_person() -> None:
    assert PORTAL.expected_name({}, "Demo customer") == "Demo customer"
    assert PORTAL.expected_name({"person": "Ada Ahlgren"}, "Demo customer") == "Ada Ahlgren"
    assert PORTAL.expected_name({}, None) is None


def test_a_demo_on_this_machine_needs_its_other_name_too() -> None:
    assert PORTAL.origins == ("http://127.0.0.1:8001", "http://localhost:8001")
    assert DemoPortal("https://demo.example/").origins == ("https://demo.example",)


def test_the_edges_of_what_is_asked_for_fit() -> None:
    config = PORTAL.checked(
        {"from": "2027-03-01", "to": "2027-03-02", "earliest": "08:00", "latest": "09:00"}
    )
    day, hour = date(2027, 3, 1), time(8)
    assert fits(Slot(day, hour, "Uppsala"), config)
    assert fits(Slot(date(2027, 3, 2), time(9), "Uppsala"), config)
    for other in (
        Slot(date(2027, 2, 28), hour, "Uppsala"),
        Slot(date(2027, 3, 3), hour, "Uppsala"),
        Slot(day, time(7, 59), "Uppsala"),
        Slot(day, time(9, 1), "Uppsala"),
        Slot(day, hour, "Gävle"),
    ):
        assert not fits(other, config)
