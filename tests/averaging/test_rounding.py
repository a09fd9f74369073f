"""Each stored value is the float64 value rounded once, to the nearest, ties to even."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbrelease.averaging.dtypes import decode, encode


def bf16_value(bits: int) -> Fraction:
    """The value of a finite bfloat16, from its definition: 1 sign, 8 exponent, 7 fraction bits."""
    exponent, fraction = (bits >> 7) & 0xFF, bits & 0x7F
    assert exponent != 0xFF
    mantissa = fraction if exponent == 0 else fraction | 0x80
    value = Fraction(mantissa) * Fraction(2) ** (max(exponent, 1) - 127 - 7)
    return -value if bits >> 15 else value


def nearest_bf16(value: float) -> int:
    """The bits of the nearest bfloat16, ties to even, by exact arithmetic over the neighbours."""
    single = np.float32(value).view(np.uint32) >> 16
    around = [b for b in range(max(int(single) - 2, 0), int(single) + 3) if (b >> 7) & 0xFF != 0xFF]
    around = [b for b in around if b >> 15 == int(np.signbit(value))]
    exact = Fraction(value)
    return min(around, key=lambda b: (abs(bf16_value(b) - exact), b & 1))


finite = st.floats(
    min_value=-3e38, max_value=3e38, allow_nan=False, allow_infinity=False, allow_subnormal=True
)


@given(st.lists(finite, min_size=1, max_size=20))
def test_bf16_is_the_nearest(values):
    encoded = encode(np.array(values), "BF16")
    assert [int(bits) for bits in encoded] == [nearest_bf16(value) for value in values]


@pytest.mark.parametrize("base", [1.0, 3.5, -2.0e-3, 1e30, 2.0**-126, 1e-39])
def test_bf16_is_not_rounded_twice(base):
    """Just beside a tie, by less than float32 can hold: a detour over float32 goes wrong here."""
    low = int(np.float32(abs(base)).view(np.uint32) >> 16)
    tie = float((bf16_value(low) + bf16_value(low + 1)) / 2)
    sign = np.sign(base)
    beside = sign * np.array([np.nextafter(tie, 0), tie, np.nextafter(tie, np.inf)])
    encoded = [int(bits) & 0x7FFF for bits in encode(beside, "BF16")]
    assert encoded == [low, low + (low & 1), low + 1]


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_agrees_with_torch_on_the_mean_of_three(name):
    """torch goes over float32; the values here have no tie that float32 makes."""
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    members = torch.randn(3, 10_000, generator=generator).to(getattr(torch, name))
    mean = members.to(torch.float64).mean(dim=0)
    singles = mean.to(torch.float32)
    settled = singles.to(torch.float64) == mean
    # Where float32 rounded onto a tie of the narrow type torch rounds twice: leave those out.
    narrow_ulps = 13 if name == "float16" else 16
    on_tie = (singles.view(torch.int32) & ((1 << narrow_ulps) - 1)) == 1 << (narrow_ulps - 1)
    sure = settled | ~on_tie
    assert int(sure.sum()) > 9_990
    ours = encode(mean.numpy().copy(), {"float16": "F16", "bfloat16": "BF16"}[name])
    theirs = mean.to(getattr(torch, name)).view(torch.int16).numpy().view(np.uint16)
    assert (ours.view(np.uint16) == theirs)[sure.numpy()].all()


def test_every_bf16_survives_decoding_and_encoding():
    bits = np.arange(1 << 16, dtype=np.uint16)
    bits = bits[(bits >> 7) & 0xFF != 0xFF]
    values = decode(memoryview(bits.tobytes()), "BF16").astype(np.float64)
    assert (encode(values, "BF16") == bits).all()
