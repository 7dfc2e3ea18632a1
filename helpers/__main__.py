"""Who is who, by command:

    python -m helpers predict A B [C ...]              are these photos of one person?
    python -m helpers arrange DIR                      similarities and groups of a folder's photos
    python -m helpers identify --gallery DIR PHOTO...  whose faces are these? DIR has a folder of
                                                       photos for each person
    python -m helpers evaluate DIR                     what an encoder is worth on unseen people
    python -m helpers map DIR                          an HTML map of a folder of people
    python -m helpers forget NAME                      delete what was made of a person's photos

Exit codes: 0 done (predict: all of one person), 1 not all of one person, 2 something is missing,
can't be read or failed. Pictures, pages and tables are written to outputs/. The flags are settings:
FACES_FPR=0.001 says the same as --fpr 0.001. For learning; it must not decide about anybody.
"""

import argparse
import json
import sys
import traceback

# What a command needs is imported when it runs: --help answers at once, and a package that is
# missing ends with a sentence and exit code 2, never with Python's 1, which is a verdict.

COMMANDS = {
    "predict": "compare the largest faces of two photos or more, pair by pair",
    "arrange": "all photos of a folder: report.html, matrix.png, similarity.csv and groups.csv",
    "identify": "name every face of some photos after the people of a gallery, or unknown",
    "evaluate": "verification rate and retrieval on people the encoder never saw",
    "map": "outputs/map.html of a folder of people",
    "forget": "delete a person from galleries, aligned sets and pictures",
}


SHARED = ("fpr", "recogniser", "hourglass", "device", "out_dir")  # settings that are flags of each
BEFORE = {"recogniser": "--encoder", "out_dir": "--out"}  # what was typed before


def _path(text):
    if not text.strip():  # pathlib would take it for the folder that one is in
        raise argparse.ArgumentTypeError("a path is empty: name a file or a folder")
    return text


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line, read; argparse exits with code 2 where it is wrong."""
    from .setting_flags import add_flags

    common = argparse.ArgumentParser(add_help=False)
    add_flags(common, *SHARED, before=BEFORE)
    common.add_argument("--debug", action="store_true", help="show where an error came from")
    common.add_argument(
        "--json", action="store_true", help="one line of JSON on stdout, sentences on stderr"
    )
    parser = argparse.ArgumentParser(
        prog="python -m helpers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="command", dest="command")
    for name, sentence in COMMANDS.items():
        command = commands.add_parser(name, parents=[common], help=sentence, description=sentence)
        if name in ("predict", "identify"):
            command.add_argument("photos", nargs="+", type=_path)
        else:
            what = ("name", str) if name == "forget" else ("folder", _path)
            command.add_argument(what[0], type=what[1])
        if name == "identify":
            command.add_argument(
                "--gallery",
                required=True,
                type=_path,
                help="a folder with a folder of photos for each person",
            )
        if name == "evaluate":
            command.add_argument(
                "--save",
                "--keep",
                action="store_true",
                help="write the thresholds into the recogniser's file, in place of its own",
            )
    options = parser.parse_args(arguments)
    if options.command == "predict" and len(options.photos) < 2:
        parser.error("predict compares two photos or more")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Read the command, load the models, run it; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):  # a console may lack letters that names have
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        print("Stopped. Whatever was written is whole; give the command again.", file=sys.stderr)
        return 130


def _run(arguments):
    try:
        options = parse(arguments)
    except ImportError as error:
        print(_sentence(error), file=sys.stderr)
        return 2
    try:
        from . import commands

        result, code = commands.run(options)
    except Exception as error:  # whatever it is, it must not read as a verdict, code 0 or 1
        if options.debug:
            traceback.print_exc()
        print(_sentence(error), file=sys.stderr)
        return 2
    if options.json:  # in letters that the console has, and escapes of JSON's own for the others
        any_letter = str(sys.stdout.encoding).lower().startswith("utf")
        print(json.dumps(result, ensure_ascii=not any_letter))
    return code


def _sentence(error):
    """What to tell of an error, even if what is needed to tell it nicely is missing as well."""
    if not isinstance(error, ImportError):
        try:
            from .files import printable
            from .photos import plain_cause  # fails as well if torch or Pillow is what is missing
            from .unreadable import sentence_of
        except ImportError as missing:
            error = missing
    if isinstance(error, ImportError):
        return (
            f"A package is missing or broken: {error}. Install what the course needs: "
            "pip install -r requirements.txt"
        )
    if isinstance(error, OSError) and str(error):
        return printable(sentence_of(error))
    usual = isinstance(error, ValueError) and str(error)
    return printable(error if usual else f"This failed: {plain_cause(error)}. --debug shows where.")


if __name__ == "__main__":
    sys.exit(main())
