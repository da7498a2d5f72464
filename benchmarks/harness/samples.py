# SPDX-License-Identifier: Apache-2.0
"""One measured run, and the CSV file that keeps all of them."""

import csv
import dataclasses
import json


@dataclasses.dataclass(frozen=True)
class Sample:
    """What one run of one row under one library in one round cost."""

    row: str
    group: str
    library: str
    round: int
    wall_s: float
    user_s: float
    system_s: float
    max_rss_kib: int
    minor_faults: int
    major_faults: int
    output_sha256: str
    metrics: dict  # Figures the program itself reported.

    @property
    def cpu_s(self):
        """User and system time."""
        return self.user_s + self.system_s


_FIELDS = [field.name for field in dataclasses.fields(Sample)]


class Writer:
    """Appends samples to a CSV file as they come: what is measured is not lost by Ctrl-C."""

    def __init__(self, path):
        self._file = open(path, "w", newline="", encoding="utf-8")
        self._csv = csv.writer(self._file)
        self._csv.writerow(_FIELDS)

    def append(self, sample):
        """Writes one sample through to the file."""
        values = dataclasses.asdict(sample)
        values["metrics"] = json.dumps(sample.metrics, sort_keys=True)
        self._csv.writerow([values[name] for name in _FIELDS])
        self._file.flush()

    def close(self):
        """Ends the file."""
        self._file.close()


def read(path):
    """The samples of a file that Writer wrote, in its order."""
    types = {field.name: field.type for field in dataclasses.fields(Sample)}
    with open(path, newline="", encoding="utf-8") as file:
        return [
            Sample(**{
                name: json.loads(text) if name == "metrics" else types[name](text)
                for name, text in line.items()
            })
            for line in csv.DictReader(file)
        ]
