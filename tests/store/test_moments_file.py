"""Mean and covariance files: what is written is read, by our code and by plain numpy; what does not fit is refused."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lfiw_ray.errors import DataError
from lfiw_ray.store.moments_file import KeptMoments, of_npz, read_npz, to_npz

MU = np.array([0.1, -2.0, 1e-17])
SIGMA = np.diag([1.0, 2.0, 3.0]) + 0.1
KEPT = KeptMoments(MU, SIGMA)


def npz(**arrays: Any) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def test_what_is_written_is_read_to_the_bit(tmp_path: Path) -> None:
    data = to_npz(KEPT, 500, "inception-v3-compat", "ab" * 32)
    (tmp_path / "r.npz").write_bytes(data)
    found = read_npz(str(tmp_path / "r.npz"), 3)
    assert np.array_equal(found.mu, MU)
    assert np.array_equal(found.sigma, SIGMA)
    assert to_npz(KEPT, 500, "inception-v3-compat", "ab" * 32) == data
    assert read_npz(f"file://{tmp_path}/r.npz", 3).mu.dtype == np.float64


def test_other_programs_find_their_arrays() -> None:
    with np.load(io.BytesIO(to_npz(KEPT, 500, "domain", "cd")), allow_pickle=False) as arrays:
        assert {"mu", "sigma"} <= set(arrays)
        assert (arrays["mu"].dtype, arrays["sigma"].shape) == (np.float64, (3, 3))
        assert (int(arrays["num_rows"]), str(arrays["extractor"]), str(arrays["weights_sha256"])) == (
            500,
            "domain",
            "cd",
        )


def test_files_of_other_programs_are_read() -> None:
    """pytorch-fid keeps `mu`, `sigma`; some files are of single precision."""
    found = of_npz(npz(mu=MU.astype(np.float32), sigma=SIGMA), "f.npz", 3)
    assert np.allclose(found.mu, MU, atol=1e-6)
    assert len(of_npz(npz(mu=MU, sigma=SIGMA), "f.npz", None).mu) == 3
    with pytest.raises(DataError, match=r"`sigma` is float64 of shape \(3, 3\); for 2 features"):
        of_npz(npz(mu=MU[:2], sigma=SIGMA), "f.npz", None)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (npz(mu=MU), r"f\.npz: it needs the arrays `mu` and `sigma`.*sigma"),
        (npz(mu=MU[:2], sigma=SIGMA), r"f\.npz: `mu` is float64 of shape \(2,\); for 3 features it must be"),
        (npz(mu=MU, sigma=SIGMA[:2]), r"f\.npz: `sigma` is float64 of shape \(2, 3\)"),
        (npz(mu=np.array([1, 2, 3]), sigma=SIGMA), r"`mu` is int64"),
        (npz(mu=np.array([MU, None, "x"], object), sigma=SIGMA), r"f\.npz: not a whole \.npz file of plain arrays"),
        (npz(mu=MU, sigma=np.where(SIGMA > 2.5, np.nan, SIGMA)), r"f\.npz: `sigma` holds NaN or infinity"),
        (npz(mu=MU, sigma=SIGMA)[:200], r"f\.npz: not a whole \.npz file"),
        (b"", r"f\.npz: not a whole \.npz file of plain arrays \(0 bytes\)"),
        (b"hello", r"f\.npz: not a whole \.npz file"),
    ],
)
def test_what_does_not_fit_names_the_file(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        of_npz(data, "f.npz", 3)


def test_a_single_array_is_no_npz_file() -> None:
    out = io.BytesIO()
    np.save(out, MU)
    with pytest.raises(DataError, match=r"f\.npy: it needs the arrays"):
        of_npz(out.getvalue(), "f.npy", 3)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(DataError, match=r"/nowhere/f\.npz cannot be read"):
        read_npz("/nowhere/f.npz", 3)
