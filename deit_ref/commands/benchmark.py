"""Print the speed of this project and its peers, side by side, and keep all that was measured if asked to."""

import argparse
import datetime
from dataclasses import asdict, replace
from pathlib import Path

from deit_ref import checks
from deit_ref.benchmark import side_by_side
from deit_ref.benchmark.peers import PEERS
from deit_ref.benchmark.records import versions
from deit_ref.commands.arguments import add_force, count, new_file, refuse_to_replace
from deit_ref.commands.terminal import say

EXAMPLES = """examples:
  deit-ref benchmark
  deit-ref benchmark --models base --batch 1,8 --dtype float32,bfloat16 \\
      --threads 2 --json mine.json
  deit-ref benchmark --device cuda --batch 1,8,64 --dtype float32,tf32,float16
  deit-ref benchmark --preset deit-docs

Each peer runs in a process of its own, in turns, on the same random weights. Peers that are not installed are left out,
and so is, with the reason, what cannot run. A peer whose logits disagree is not timed, and the exit code is then 1.
Those whose names end in -compiled compile for half a minute to two, anew in each case, and nine processes of the base
model hold 10 GB: --peers leaves out who does not interest.
The preset deit-docs makes the table of DeiT's page in transformers' documentation.

FILE.json gets all figures, with versions, machine and plan."""

_LISTS = ("models", "batch", "dtype", "peers")  # what a preset sets


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for name, what in (
        ("models", "of tiny, small and base (default: tiny,base)"),
        ("dtype", "of float32, float64, float16, bfloat16, and on a GPU tf32 (default: float32)"),
        ("peers", f"of {', '.join(PEERS)} (default: all)"),
    ):
        parser.add_argument(f"--{name}", type=_words, metavar="A,B", help=what)
    parser.add_argument("--batch", type=_counts, metavar="N,M", help="images at a time (default: 1,8)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--rounds", type=count, default=7, metavar="N", help="turns of each peer (default: 7)")
    parser.add_argument("--threads", type=count, metavar="N", help="of each peer (default: what torch takes by itself)")
    parser.add_argument("--preset", choices=("deit-docs",), help="sets models, batches, dtype and peers")
    parser.add_argument("--json", type=new_file(".json"), metavar="FILE.json", help="gets everything that was measured")
    add_force(parser, help="replace FILE.json if it is there")


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in text.split(",")))


def _counts(text: str) -> tuple[int, ...]:
    return tuple(count(word) for word in _words(text))


def run(args: argparse.Namespace) -> int:
    plan, command = _plan(args)
    refuse_to_replace(args.json, force=args.force)
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
        kept = {
            "columns": columns,
            "rows": rows,
            "notes": notes,
            "command": command,
            "date": datetime.date.today().isoformat(),
            "versions": versions(side_by_side.PACKAGES),
            "machine": found,
            "roofline": roofline,
            "plan": asdict(plan),
            "records": records,
        }
        side_by_side.write_strictly(Path(args.json), kept)
        say(f"{args.json}: {checks.amount(len(records), 'record')}.")
    wrong = [record for record in records if record.get("agrees") is False]
    for record in wrong:
        say(f"error: {record['peer']} ({record['model']}, batch {record['batch']}, {record['dtype']}) does not agree.")
    return 1 if wrong else 0


def _plan(args: argparse.Namespace) -> tuple[side_by_side.Plan, str]:
    """The plan, checked, and the words that ask for it again."""
    if args.preset is not None:
        given = [f"--{name}" for name in _LISTS if getattr(args, name) is not None]
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
    words = [] if args.preset is None else [f"--preset {args.preset}"]
    words += [f"--{name} {','.join(map(str, getattr(args, name)))}" for name in _LISTS if getattr(args, name)]
    words += [f"--device {plan.device}", f"--rounds {plan.rounds}"]
    words += [] if plan.threads is None else [f"--threads {plan.threads}"]
    return plan, " ".join(["deit-ref benchmark", *words, "--json FILE"])
