"""What `deit-ref benchmark` does: this project and its peers, side by side."""

import argparse
import datetime
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from deit_ref.commands import say

SET_BY_PRESET = ("models", "batch", "dtype", "peers")


def benchmark(args: argparse.Namespace) -> int:
    """Print what was measured as a table, and keep it if asked to."""
    from deit_ref.benchmark import side_by_side

    plan, command = _plan(args)
    found = side_by_side.machine(plan)
    before = side_by_side.rooflines(plan, found["threads"])
    records = []
    for record in side_by_side.measure(plan, found["threads"]):
        records.append(record)
        case = f"{record['model']}, batch {record['batch']}, {record['dtype']}, {record['peer']}"
        if "problem" in record:
            say(f"{case}: {record['problem']}")
        else:
            say(f"{case}: {record['milliseconds'][0] / record['batch']:.2f} ms per image")
    roofline = side_by_side.best(before, side_by_side.rooflines(plan, found["threads"]))
    records = side_by_side.with_shares(records, roofline)
    if args.preset is None:
        columns, rows = list(side_by_side.COLUMNS), side_by_side.table(records)
    else:
        columns, rows = list(side_by_side.DOCUMENTATION_COLUMNS), side_by_side.documentation_table(records)
    notes = side_by_side.notes(found, roofline, records)
    print(side_by_side.aligned([columns, *rows]))
    print("\n".join(["", *notes]))
    if args.json is not None:
        run = {
            "columns": columns,
            "rows": rows,
            "notes": notes,
            "command": command,
            "date": datetime.date.today().isoformat(),
            "versions": side_by_side.versions(),
            "machine": found,
            "roofline": roofline,
            "plan": asdict(plan),
            "records": records,
        }
        side_by_side.write_strictly(Path(args.json), run)
    wrong = [record for record in records if record.get("agrees") is False]
    for record in wrong:
        say(f"error: {record['peer']} ({record['model']}, batch {record['batch']}, {record['dtype']}) does not agree.")
    return 1 if wrong else 0


def _plan(args: argparse.Namespace) -> tuple[Any, str]:
    """The plan, checked, and the words that ask for it again."""
    from deit_ref.benchmark import side_by_side

    if args.preset is not None:
        given = [f"--{name}" for name in SET_BY_PRESET if getattr(args, name) is not None]
        if given:
            raise ValueError(f"--preset {args.preset} sets models, batches, dtype and peers: leave {given[0]} out.")
    usual = side_by_side.Plan() if args.preset is None else side_by_side.DOCUMENTATION
    plan = replace(
        usual,
        models=args.models or usual.models,
        batches=args.batch or usual.batches,
        dtypes=args.dtype or usual.dtypes,
        device=args.device,
        peers=args.peers or usual.peers,
        rounds=args.rounds,
        threads=args.threads,
    )
    words = [f"--preset {args.preset}"] if args.preset is not None else []
    if args.preset is None:
        lists = {"models": plan.models, "batch": plan.batches, "dtype": plan.dtypes, "peers": plan.peers}
        words += [f"--{name} {','.join(map(str, values))}" for name, values in lists.items() if getattr(args, name)]
    words += [f"--device {plan.device}", f"--rounds {plan.rounds}"]
    words += [] if plan.threads is None else [f"--threads {plan.threads}"]
    return plan, " ".join(["deit-ref benchmark", *words, "--json FILE"])
