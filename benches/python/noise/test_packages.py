"""Twenty benchmarks of what Python programs do, for `cargo xtask bench noise`: this part needs pydantic and NumPy."""

import numpy
import pydantic


class Item(pydantic.BaseModel):
    name: str
    price: float
    tags: list[str] = []


class Order(pydantic.BaseModel):
    number: int
    items: list[Item]


ORDER = {"number": 7, "items": [{"name": f"item {number}", "price": number / 4} for number in range(20)]}


def test_pydantic_validate(benchmark):
    assert benchmark(Order.model_validate, ORDER).number == 7


def test_pydantic_dump(benchmark):
    order = Order.model_validate(ORDER)
    benchmark(order.model_dump_json)


def test_numpy(benchmark):
    numbers = numpy.arange(10_000, dtype=numpy.float64).reshape(100, 100)
    benchmark(lambda: float(numpy.sort((numbers @ numbers.T).ravel())[::7].sum()))
