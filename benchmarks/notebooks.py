"""Seconds and memory of each notebook, run in order on the default dataset, as README does."""

import argparse
import json
import sys
import threading
import time
from pathlib import Path

import psutil


def main(arguments: list[str]) -> None:
    """Run the notebooks into report/ and print what each one took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks notebooks", description=__doc__)
    parser.parse_args(arguments)
    result = {}
    print(f"{'notebook':24s}{'seconds':>9s}{'peak GB':>9s}")
    for notebook in sorted(Path().glob("[0-9]_*.ipynb")):
        started = time.perf_counter()
        process = psutil.Popen(
            [
                sys.executable,
                "-m",
                "jupyter",
                "nbconvert",
                "--log-level",
                "ERROR",
                "--execute",
                "--to",
                "html",
                "--output-dir",
                "report",
                str(notebook),
            ]
        )
        peak = PeakMemory(process)
        if process.wait():
            sys.exit(f"{notebook} failed; run it in JupyterLab to see where.")
        result[notebook.stem] = {
            "seconds": round(time.perf_counter() - started, 1),
            "peak_gb": round(peak.stop() / 1e9, 2),
        }
        print(
            f"{notebook.stem:24s}{result[notebook.stem]['seconds']:9.1f}"
            f"{result[notebook.stem]['peak_gb']:9.2f}",
            flush=True,
        )
    total = sum(row["seconds"] for row in result.values())
    print(f"{'all':24s}{total:9.1f}{max(row['peak_gb'] for row in result.values()):9.2f}")
    print(json.dumps({"notebooks": result, "seconds": round(total, 1)}))


class PeakMemory:
    """Watches the resident memory of a process and its children, twenty times a second.

    without_files: less what it shares with files on disk (Linux alone can tell).
    """

    def __init__(self, process: psutil.Process, without_files: bool = False, children: bool = True):
        self.process, self.without_files, self.children = process, without_files, children
        self.peak, self.running = 0, True
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self):
        while self.running:
            try:
                family = [self.process]
                if self.children:  # takes a look at every process of the machine
                    family += self.process.children(recursive=True)
                self.peak = max(
                    self.peak, sum(self._bytes(member.memory_info()) for member in family)
                )
            except psutil.Error:
                pass  # a child ended between the listing and the look
            time.sleep(0.05)

    def _bytes(self, memory):
        return memory.rss - (getattr(memory, "shared", 0) if self.without_files else 0)

    def stop(self) -> int:
        """The highest number of bytes seen."""
        self.running = False
        self.thread.join()
        return self.peak
