"""Types of arguments that several test modules use."""

import enum
from typing import TypedDict

import msgspec


class Sex(enum.Enum):
    FEMALE = "f"
    MALE = "m"


class Point(TypedDict):
    x: int
    y: int


class Circle(msgspec.Struct, tag="circle"):
    radius: float


class Square(msgspec.Struct, tag="square"):
    side: float
