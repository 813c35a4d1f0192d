"""Coverage-guided fuzzing of one target, by Atheris: `python -m tests.fuzz.guided TARGET SECONDS FOLDER`.

Each input's outcome is checked here, so that a run goes on after a finding; only a crash of C code, or memory, ends it,
and leaves the input in the folder too.
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["virtual_codec", "PIL", "python_multipart"]):
    from tests.fuzz.targets import check, keep

from tests.fuzz.mutate import mutate
from tests.fuzz.seeds import seeds

_MOST_BYTES = 1 << 15


def main(target: str, seconds: int, folder: Path) -> None:
    """Fuzz one target for so long; findings and the corpus go into the folder. Does not return."""
    corpus = folder / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    for name, file in seeds().items():
        (corpus / f"seed-{name}").write_bytes(file)
        check(target, file)  # compiles the loops that it reaches, which no input's time is to count

    def fuzz_one(data: bytes) -> None:
        if (fault := check(target, data)) is not None:
            print(f"FINDING {keep(folder, target, data, fault)}: {fault.splitlines()[-1]}", flush=True)

    def mutate_one(data: bytes, max_size: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < 0.4:
            mutated: bytes = atheris.Mutate(data, max_size)
            return mutated
        return mutate(data, random, most_bytes=max_size)

    options = [f"-max_total_time={seconds}", f"-max_len={_MOST_BYTES}", "-rss_limit_mb=3000", "-timeout=120"]
    options.append("-report_slow_units=120")  # of time on the clock; what counts here is that of the processor
    prefix = f"-artifact_prefix={folder}/{target}-"
    atheris.Setup([sys.argv[0], *options, prefix, str(corpus)], fuzz_one, custom_mutator=mutate_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
