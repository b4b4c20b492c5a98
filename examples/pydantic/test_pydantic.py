"""How long pydantic takes for what an API does all day."""

import json

import pytest
from pydantic import BaseModel, Field, TypeAdapter, ValidationError, create_model, validate_call

from models import Address, Customer, Measure, Node, Order, Payment, Point, Range, customer, order, tree

SIZES = [1, 20]


def test_validate_flat(benchmark):
    address = benchmark(Address.model_validate, {"street": "Street 1", "city": "Berlin", "postcode": "10115"})
    assert address.country == "DE"


def test_construct_by_keywords(benchmark):
    assert benchmark(Address, street="Street 1", city="Berlin", postcode="10115").city == "Berlin"


def test_construct_without_validation(benchmark):
    assert (
        benchmark(Address.model_construct, street="Street 1", city="Berlin", postcode="no").postcode == "no"
    )


def test_validate_with_field_validators(benchmark):
    assert benchmark(Customer.model_validate, customer(1)).name == "Customer 1"


@pytest.mark.parametrize("positions", SIZES)
def test_validate_nested(benchmark, positions):
    assert len(benchmark(Order.model_validate, order(1, positions)).positions) == positions


@pytest.mark.parametrize("positions", SIZES)
def test_validate_json(benchmark, positions):
    assert len(benchmark(Order.model_validate_json, json.dumps(order(1, positions))).positions) == positions


@pytest.mark.parametrize("positions", SIZES)
def test_dump_to_python(benchmark, positions):
    assert benchmark(Order.model_validate(order(1, positions)).model_dump)["id"] == 1


@pytest.mark.parametrize("positions", SIZES)
def test_dump_to_json(benchmark, positions):
    assert benchmark(Order.model_validate(order(1, positions)).model_dump_json).startswith('{"id":1')


def test_round_trip(benchmark):
    text = Order.model_validate(order(1, 5)).model_dump_json()

    @benchmark
    def again():
        return Order.model_validate_json(text).model_dump_json()

    assert again == text


def test_validate_recursive(benchmark):
    assert benchmark(Node.model_validate, tree(5)).children[0].value == 4


def test_validate_discriminated_union(benchmark):
    payment = {"method": {"kind": "transfer", "iban": "DE00 0000"}}
    assert benchmark(Payment.model_validate, payment).method.iban == "DE00 0000"


def test_validate_smart_union(benchmark):
    values = [{"value": value} for value in (1, 2.5, True, "text", [1, 2], {"a": 1})]

    @benchmark
    def measures():
        return [Measure.model_validate(value) for value in values]

    assert [measure.value for measure in measures] == [1, 2.5, True, "text", [1, 2], {"a": 1}]


def test_validate_own_dataclass(benchmark):
    assert benchmark(Point, x="1.5", y=2, name="p").x == 1.5


def test_validate_standard_dataclass(benchmark):
    assert benchmark(TypeAdapter(Range).validate_python, {"low": "1", "high": 2}) == Range(1, 2)


def test_validate_list_by_adapter(benchmark):
    adapter = TypeAdapter(list[Address])
    rows = [{"street": f"Street {n}", "city": "Berlin", "postcode": f"{n:05}"} for n in range(50)]
    assert len(benchmark(adapter.validate_python, rows)) == 50


def test_report_errors(benchmark):
    wrong = dict(customer(1), id=0, email="nowhere", born="yesterday")

    @benchmark
    def errors():
        try:
            Customer.model_validate(wrong)
        except ValidationError as error:
            return error.errors(include_url=False)

    assert [error["loc"][0] for error in errors] == ["id", "email", "born"]


def test_validate_call(benchmark):
    @validate_call
    def area(width: float, height: float = Field(gt=0)) -> float:
        return width * height

    assert benchmark(area, "2", height=3) == 6.0


def test_copy_with_changes(benchmark):
    model = Order.model_validate(order(1, 5))
    assert benchmark(model.model_copy, update={"id": 2}, deep=True).id == 2


def test_json_schema(benchmark):
    assert "Customer" in benchmark(Order.model_json_schema)["$defs"]


def test_make_a_model(benchmark):
    """Building validators is what importing an application spends its time with."""

    @benchmark
    def model():
        return create_model("Made", __base__=BaseModel, a=(int, 1), b=(str, ...), c=(list[Address], []))

    assert model(b="b").a == 1


@pytest.mark.benchmark
def test_whole_request():
    """A marked test is measured whole: read an order, change it, answer."""
    received = Order.model_validate_json(REQUEST)
    received.positions[0].count += 1
    assert received.model_dump_json(exclude={"customer": {"labels"}}).startswith('{"id":7')


REQUEST = json.dumps(order(7, 3))
