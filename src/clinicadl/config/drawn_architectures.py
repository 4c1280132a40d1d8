"""From which ranges a search draws the blocks of a `RandomArchitecture`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from clinicadl.config.base import Section, setting

Reduction = Literal["MaxPooling", "stride"]


def _in_a_list(value: Any) -> Any:
    return value if isinstance(value, tuple | list) else (value,)


def _is_a_range(ends: tuple[int, ...]) -> tuple[int, int]:
    low, high = ends[0], ends[-1]
    if low > high:
        raise ValueError(f"the range ends, at {high}, before it begins, at {low}")
    return low, high


def _differ(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise ValueError("a value stands there twice")
    return values


_Positive = Annotated[int, Field(ge=1)]
_Range = Annotated[
    tuple[_Positive, ...],
    Field(min_length=1, max_length=2),
    BeforeValidator(_in_a_list),
    AfterValidator(_is_a_range),
]
_Positives = Annotated[
    tuple[_Positive, ...], Field(min_length=1), BeforeValidator(_in_a_list), AfterValidator(_differ)
]
_Reductions = Annotated[
    tuple[Reduction, ...], Field(min_length=1), BeforeValidator(_in_a_list), AfterValidator(_differ)
]


class ArchitectureRanges(Section):
    """Ranges and lists from which the blocks of a network are drawn; one value is not drawn."""

    n_convblocks: _Range = setting(..., "Fewest and most blocks of convolutions")
    first_conv_width: _Positives = setting(..., "Channels of the first block, one of these")
    n_fcblocks: _Range = setting(..., "Fewest and most linear layers")
    n_conv: _Positives = setting(
        (1,), "Convolutions of a block, one of these, drawn for each block"
    )
    d_reduction: _Reductions = setting(
        ("MaxPooling",), "What halves the image, one of these, the same in all blocks"
    )
    channels_limit: int = setting(
        512, "Channels from which on the next block does not double them", ge=1
    )
