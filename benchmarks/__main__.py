"""`python -m benchmarks NAME [options]`: find the benchmark and run it."""
import importlib
import pkgutil
import sys

import benchmarks

names = sorted(m.name for m in pkgutil.iter_modules(benchmarks.__path__) if not m.name.startswith("_"))
name = sys.argv[1].replace("-", "_") if len(sys.argv) > 1 else ""
if name not in names:
    sys.exit(f"There is no benchmark '{name}': choose {', '.join(n.replace('_', '-') for n in names)}.")
importlib.import_module(f"benchmarks.{name}").main(sys.argv[2:])
