"""`python -m benchmarks NAME [options]`: find the benchmark and run it."""

import importlib
import pkgutil
import sys

import benchmarks


def benchmark(arguments: list[str]) -> int:
    """Run the benchmark that the first argument names with the others; returns the exit code."""
    names = sorted(
        m.name for m in pkgutil.iter_modules(benchmarks.__path__) if not m.name.startswith("_")
    )
    name = arguments[0].replace("-", "_") if arguments else ""
    listed = ", ".join(n.replace("_", "-") for n in names)
    if arguments[:1] in (["-h"], ["--help"]):
        print(f"{__doc__}\n\nBenchmarks, of which each has a --help of its own: {listed}.")
        return 0
    if name not in names:
        sys.exit(f"There is no benchmark '{name}': choose {listed}.")
    code = importlib.import_module(f"benchmarks.{name}").main(arguments[1:])
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    try:
        sys.exit(benchmark(sys.argv[1:]))
    except (ValueError, OSError) as error:
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        sys.exit(130)
