"""The figures of tables 1 and 2 of Amyar et al., which the report shows beside ours."""

from __future__ import annotations

Figure = tuple[float, float]  # mean, ±
QUANTITIES = ("dice", "accuracy", "sensitivity", "specificity", "auc")

_TABLES = {
    "oesophagus": """
U-NET        0.42±0.16  /          /          /          /
CAMs alone   0.53±0.17  0.57±0.03  0.61±0.28  0.56±0.24  0.53±0.26
CAMs & FCNs  0.66±0.07  0.57±0.04  0.69±0.21  0.47±0.22  0.51±0.24
3d-rpet-Net  /          0.72±0.08  0.79±0.17  0.62±0.21  0.70±0.04
Our          0.73±0.09  0.69±0.04  0.80±0.14  0.59±0.26  0.67±0.08
""",
    "lung": """
U-NET        0.57±0.19  /          /          /          /
CAMs alone   0.63±0.14  0.61±0.07  0.59±0.21  0.57±0.15  0.55±0.24
CAMs & FCNs  0.73±0.12  0.59±0.07  0.63±0.12  0.57±0.19  0.57±0.17
3d-rpet-Net  /          0.68±0.17  0.72±0.09  0.54±0.07  0.61±0.03
Our          0.77±0.07  0.65±0.05  0.65±0.18  0.58±0.15  0.59±0.04
""",
}
NUMBER_OF_TABLE = {"oesophagus": 1, "lung": 2}
OUTCOME = {"oesophagus": "treatment response", "lung": "3-year survival"}


def _read(table: str) -> dict[str, dict[str, Figure]]:
    rows = {}
    for line in table.strip().splitlines():
        name, cells = line[:13].strip(), line[13:].split()
        figures = zip(QUANTITIES, cells, strict=True)
        rows[name] = {quantity: _figure(cell) for quantity, cell in figures if cell != "/"}
    return rows


def _figure(cell: str) -> Figure:
    mean, spread = cell.split("±")
    return float(mean), float(spread)


# Cancer type → row → quantity → figure.
PAPER: dict[str, dict[str, dict[str, Figure]]] = {name: _read(table) for name, table in _TABLES.items()}
