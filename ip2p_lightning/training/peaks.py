"""Peak throughput of common GPUs, for the share of it that training reaches."""

from __future__ import annotations

import torch

# Dense 16-bit tensor-core and plain float32 operations a second in 10^12, as the makers' data sheets give them. Names
# are searched in this order, so that longer ones come first.
_PEAKS = {
    "B200": (2250.0, 75.0),
    "GH200": (990.0, 67.0),
    "H200": (989.0, 67.0),
    "H100 NVL": (835.0, 60.0),
    "H100 PCIe": (756.0, 51.0),
    "H100": (989.0, 67.0),
    "A100": (312.0, 19.5),
    "A800": (312.0, 19.5),
    "L40S": (362.0, 91.6),
    "L40": (181.0, 90.5),
    "L4": (121.0, 30.3),
    "RTX 6000 Ada": (364.0, 91.1),
    "RTX A6000": (155.0, 38.7),
    "A40": (150.0, 37.4),
    "A30": (165.0, 10.3),
    "A10G": (70.0, 31.5),
    "A10": (125.0, 31.2),
    "V100": (125.0, 15.7),
    "T4": (65.0, 8.1),
    "RTX 5090": (209.5, 104.8),
    "RTX 4090": (165.2, 82.6),
    "RTX 3090": (71.0, 35.6),
}
_NO_TENSOR_FLOAT = ("V100", "T4")


def peak_flops(name: str, precision: str, tensor_float: bool | None = None) -> float | None:
    """Most floating-point operations a second of a GPU; None if it is not in the table.

    Args:
        name: as `torch.cuda.get_device_name` gives it.
        precision: of the trainer, such as "bf16-mixed" or "32-true".
        tensor_float: whether float32 products may use TF32, at half the 16-bit rate; None asks torch.
    """
    known = next((model for model in _PEAKS if model in name), None)
    if known is None:
        return None
    half, single = _PEAKS[known]
    if "16" in precision:
        return half * 1e12
    if tensor_float is None:
        tensor_float = torch.get_float32_matmul_precision() != "highest"
    return (half / 2 if tensor_float and known not in _NO_TENSOR_FLOAT else single) * 1e12
