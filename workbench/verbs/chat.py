"""`workbench chat`: talk to a base and what a run made of it, side by side."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError
from workbench.text import visible
from workbench.tracking import finding, runs
from workbench.verbs.common import leaf, open_app
from workbench.workspace import Workspace

if TYPE_CHECKING:
    from workbench.chat.client import Chat
    from workbench.chat.conversation import Conversation


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = leaf(
        subparsers,
        "chat",
        help="talk to a base and what a run made of it, side by side",
        run=_chat,
        show=lambda result: None,
    )
    parser.add_argument("run_id", nargs="?", default=runs.LATEST, metavar="RUN")
    parser.add_argument(
        "--with",
        action="append",
        default=[],
        dest="others",
        metavar="RUN",
        help="another run of it",
    )
    parser.add_argument(
        "--say",
        action="append",
        default=[],
        metavar="TEXT",
        help="a turn; may be given several times (default: the screen, or lines of standard input)",
    )
    parser.add_argument("--system", default="", metavar="TEXT", help="what the system field says")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="base, adapter, or a run's id"
    )
    parser.add_argument("--max-new-tokens", type=int, metavar="N", help="of an answer at most")
    parser.add_argument("--temperature", type=float, default=0.0, help="0, the default: greedy")
    parser.add_argument("--top-p", type=float, default=1.0, help="nucleus sampling")
    parser.add_argument("--top-k", type=int, default=0, help="of so many tokens; 0: of all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--correct",
        metavar="TEXT",
        help="keep this as the response to the last turn, as a row of --to",
    )
    parser.add_argument(
        "--to",
        default="corrections",
        metavar="DATASET",
        help="where corrections go (default: %(default)s)",
    )
    parser.add_argument(
        "--show-prompt", action="store_true", help="print what each system is given, in full"
    )


def _chat(args: argparse.Namespace) -> Any:
    workspace = Workspace.find(args.workspace)
    run = finding.find(workspace, args.run_id)
    if not args.say and sys.stdin.isatty() and sys.stdout.isatty() and not args.json:
        return open_app(args, "chat", run_id=run.name)
    from workbench.chat import corrections
    from workbench.chat.client import MAX_NEW_TOKENS, Chat
    from workbench.chat.conversation import Conversation, Exchange
    from workbench.evaluation import sources
    from workbench.evaluation.answers import Sampling
    from workbench.evaluation.request import Request

    sampling = Sampling(
        args.max_new_tokens or MAX_NEW_TOKENS,
        args.temperature,
        args.top_p,
        args.top_k,
        args.seed,
    )
    others = [finding.find(workspace, name).name for name in args.others]
    config = runs.load_config(run).evaluation
    conversation = Conversation(args.system)
    names = [source.name for source in sources.of(run, Request.of(config, runs=tuple(others)))]
    systems = _chosen(names, args.only)
    if args.correct is not None:
        # Before a model is loaded and talked to.
        corrections.check(workspace, args.to)
    chat = Chat(run, others)
    try:
        told = chat.told()
        next(told)
        for text in args.say or _lines():
            conversation.exchanges.append(Exchange(text))
            chat.ask(conversation, systems, sampling)
            _hear(chat, told, conversation)
            if not args.json:
                _print(conversation, show_prompt=args.show_prompt)
    finally:
        chat.end()
    result = conversation.to_json()
    if args.correct is not None and conversation.exchanges:
        last = len(conversation.exchanges) - 1
        row = conversation.example(systems[-1], last, args.correct)
        version = corrections.add(workspace, args.to, row, run.name)
        result["correction"] = version.reference
        if not args.json:
            print(f"The correction is row {version.rows:,} of {version.reference}.")
    return result


def _chosen(names: list[str], only: list[str]) -> list[str]:
    if unknown := [name for name in only if name not in names]:
        raise WorkbenchError(
            f"There is no {unknown[0]} to talk to.", f"There are {', '.join(names)}."
        )
    return only or names


def _lines() -> Iterator[str]:
    """Turns from standard input, a line each."""
    return (line for text in sys.stdin if (line := text.strip()))


def _hear(chat: Chat, told: Iterator[Any], conversation: Conversation) -> None:
    """Take up what is said to the last turn, until all have ended; Ctrl-C ends it with what there
    is. Raises WorkbenchError where it can't be answered."""
    from workbench.chat.client import Answered, Problem, Said

    while True:
        try:
            for event in told:
                match event:
                    case Said():
                        conversation.exchanges[-1].replies[event.system] = event.reply
                    case Answered():
                        return
                    case Problem():
                        raise WorkbenchError(event.text, event.hint)
            return
        except KeyboardInterrupt:
            chat.cancel()


def _print(conversation: Conversation, *, show_prompt: bool) -> None:
    exchange = conversation.exchanges[-1]
    print(f"> {visible(exchange.said)}")
    for name, reply in exchange.replies.items():
        if show_prompt:
            print(f"\n--- {name} is given {reply.prompt_tokens:,} tokens ---")
            print(visible(reply.prompt))
        speed = reply.tokens / reply.seconds if reply.seconds else 0
        end = "" if reply.stopped else ", cut"
        print(f"\n--- {name}: {reply.tokens:,} tokens, {speed:.1f} a second{end} ---")
        print(visible(reply.text))
    print(flush=True)
