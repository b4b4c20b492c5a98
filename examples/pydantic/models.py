"""Models of a small shop: what an API validates and serialises all day."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, Optional, Union

from pydantic import BaseModel, ConfigDict, Field, computed_field, field_validator, model_validator
from pydantic.dataclasses import dataclass as validated_dataclass


class Currency(str, Enum):
    EUR = "EUR"
    USD = "USD"


class Address(BaseModel):
    street: str
    city: str = Field(min_length=1, max_length=80)
    postcode: str = Field(pattern=r"^[0-9]{5}$")
    country: Literal["DE", "FR", "IT"] = "DE"


class Customer(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)

    id: int = Field(gt=0)
    name: str
    email: Optional[str] = None
    born: Optional[dt.date] = None
    addresses: list[Address] = []
    labels: dict[str, str] = {}

    @field_validator("email")
    @classmethod
    def has_a_domain(cls, value: Optional[str]) -> Optional[str]:
        if value is not None and "@" not in value:
            raise ValueError("an e-mail address has a domain")
        return value


class Position(BaseModel):
    sku: str
    count: int = Field(ge=1)
    price: Decimal

    @computed_field  # type: ignore[prop-decorator]
    @property
    def total(self) -> Decimal:
        return self.price * self.count


class Order(BaseModel):
    id: int
    customer: Customer
    placed: dt.datetime
    currency: Currency
    positions: list[Position]

    @model_validator(mode="after")
    def is_not_empty(self) -> "Order":
        if not self.positions:
            raise ValueError("an order has positions")
        return self


class Card(BaseModel):
    kind: Literal["card"]
    number: str


class Transfer(BaseModel):
    kind: Literal["transfer"]
    iban: str


class Cash(BaseModel):
    kind: Literal["cash"]


class Payment(BaseModel):
    """The discriminator says which member it is."""

    method: Union[Card, Transfer, Cash] = Field(discriminator="kind")


class Measure(BaseModel):
    """Nothing says which member it is: each is tried."""

    value: Union[int, float, bool, str, list[int], dict[str, int]]


@validated_dataclass
class Point:
    x: float
    y: float
    name: str = ""


@dataclass
class Range:
    low: int
    high: int


class Node(BaseModel):
    value: int
    children: list["Node"] = []


def customer(number: int) -> dict[str, Any]:
    return {
        "id": number + 1,
        "name": f"  Customer {number} ",
        "email": f"customer{number}@example.org",
        "born": f"19{70 + number % 30}-0{1 + number % 9}-15",
        "addresses": [{"street": f"Street {n}", "city": "Berlin", "postcode": f"1{n:04}"} for n in range(2)],
        "labels": {"tier": "gold", "source": "import"},
    }


def order(number: int, positions: int) -> dict[str, Any]:
    return {
        "id": number,
        "customer": customer(number),
        "placed": "2024-05-06T07:08:09Z",
        "currency": "EUR",
        "positions": [{"sku": f"SKU-{n}", "count": n + 1, "price": f"{n}.99"} for n in range(positions)],
    }


def tree(depth: int) -> dict[str, Any]:
    return {"value": depth, "children": [tree(depth - 1) for _ in range(2)] if depth else []}
