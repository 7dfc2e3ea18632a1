"""`python -m benchmarks NAME [options]`: find the benchmark and run it."""

import importlib
import pkgutil
import sys

import benchmarks


def benchmark(arguments: list[str]) -> None:
    """Run the benchmark that the first argument names with the others."""
    names = sorted(
        m.name for m in pkgutil.iter_modules(benchmarks.__path__) if not m.name.startswith("_")
    )
    name = arguments[0].replace("-", "_") if arguments else ""
    if name not in names:
        sys.exit(
            f"There is no benchmark '{name}': choose "
            f"{', '.join(n.replace('_', '-') for n in names)}."
        )
    importlib.import_module(f"benchmarks.{name}").main(arguments[1:])


if __name__ == "__main__":
    benchmark(sys.argv[1:])
