import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # `benchmarks` is part of the checkout, not of what is installed
