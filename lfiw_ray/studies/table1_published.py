"""What others report on CIFAR-10 for the generators of the table, each figure with its source; none of it is ours.

Only what was measured as ours is may stand beside it: Grover et al. compare 10,000 samples with the 10,000 test rows
(protocol `paper`).  Their "KID" is the square root of a biased squared maximum mean discrepancy with a Gaussian
kernel, hence another quantity than the unbiased polynomial KID here.
"""

from typing import Any, NamedTuple

GROVER = "Grover et al. 2019, table 1"
MIMICRY = "Lee and Town 2020, Mimicry's benchmark"


class Published(NamedTuple):
    """One row of a published table: mean and standard error of each metric; None where nothing is reported."""

    generator: str  # name of the registry; "" for the real rows
    arm: str
    protocol: str
    num_rows: int  # samples, and real rows
    label: str
    inception_score: tuple[float, float] | None
    fid: tuple[float, float] | None
    kid: tuple[float, float] | None
    kid_is_ours: bool  # whether their KID is the quantity that this project computes
    source: str
    from_memory: bool  # not checked against the paper


_Number = tuple[float, float]


def _grover(generator: str, arm: str, label: str, score: _Number, fid: _Number, kid: _Number) -> Published:
    return Published(generator, arm, "paper", 10_000, label, score, fid, kid, False, GROVER, True)


PUBLISHED = (
    _grover("", "real", "real rows", (11.09, 0.1263), (5.20, 0.0533), (0.008, 0.0004)),
    _grover("pixelcnn", "raw", "PixelCNN++", (5.16, 0.0117), (58.70, 0.0506), (0.196, 0.0001)),
    _grover("pixelcnn", "lfiw", "PixelCNN++ with LFIW", (6.68, 0.0773), (55.83, 0.9695), (0.126, 0.0009)),
    _grover("sngan", "raw", "SNGAN", (8.33, 0.0280), (20.40, 0.0747), (0.094, 0.0002)),
    _grover("sngan", "lfiw", "SNGAN with LFIW", (8.57, 0.0325), (17.29, 0.0698), (0.073, 0.0004)),
    Published(
        "sngan", "raw", "today", 50_000, "SNGAN", (7.97, 0.06), (16.77, 0.04), (0.0125, 0.0001), True, MIMICRY, False
    ),
)


def published(data: str, generator: str, protocol: str) -> list[dict[str, Any]]:
    """What is reported of a generator and of the real rows of a data set under a protocol, as plain values."""
    if data != "cifar10":
        return []
    return [row._asdict() for row in PUBLISHED if row.protocol == protocol and row.generator in ("", generator)]
