"""Two views of plain strings, English and Chinese: no tokenizer, no model, no files, no network.

Run it:  python examples/strings.py

The three lines that matter are in `three_lines`; the rest shows what can be chosen.
"""

import numpy as np
from rich.console import Console

from llmagentos.views import Amount, Chain, OneOf, Operation, SomeOf, Views, ViewsConfig, coloured

TEXTS = [
    "Dr. Smith never pays more than 3.5 dollars for a cup of coffee. He waits until the shop is empty, and "
    "then he asks for a discount. The owner knows him well.",
    "对比学习不需要标签。模型把同一段文本的两个视图拉近，并把其他文本推远。第3步只用了20秒。",
]
FIVE_OPERATIONS = ViewsConfig(preset="seed", word_replacement=0)  # learning related words needs more text


def three_lines() -> None:
    """Strings in, pairs of strings out: two crops of each text, unless you choose otherwise."""
    views = Views(TEXTS)
    for first, second in views.strings():
        print(f"  {first}  |  {second}")


def every_epoch_is_new() -> None:
    """A view is a function of (seed, epoch, place of the text): always the same, another each epoch."""
    views = Views(TEXTS, FIVE_OPERATIONS)
    for epoch in range(3):
        [(first, _)] = views.strings([1], seed=7, epoch=epoch)
        print(f"  epoch {epoch}: {first}")
    again = Views(TEXTS, FIVE_OPERATIONS).strings([1, 0, 1], seed=7, epoch=2)
    print(f"  asked again, with others beside it: {'the same' if again[2][0] == first else 'different'}")


def a_chain_of_your_own() -> None:
    """Any order of operations, a choice between them, and phrases that stay as they are."""
    chain = (
        OneOf((Operation("word_deletion", 0.2), Operation("repetition", 0.2)), weights=(2, 1)),
        SomeOf((Operation("sentence_reordering", 1.0), Operation("character_noise", Amount(0.2, at_most=3)))),
        Chain((Operation("word_deletion", Amount(0, at_least=1, at_most=1)),), probability=0.5),
    )
    config = ViewsConfig(preset="dropout", chain=chain)  # "dropout" takes no crop before the chain
    views = Views(TEXTS, config, protect=["cup of coffee", "对比学习"])
    print(f"  {views}")
    for first, second in views.strings():
        print(f"  {first}\n  {second}")


def what_was_changed() -> None:
    """The same view in colours and as a log: moved is yellow, added green, removed red."""
    [(first, _)] = Views(TEXTS, FIVE_OPERATIONS).explain(np.array([0]), seed=1)
    console = Console(highlight=False)
    console.print(coloured(first.pieces))
    for edit in first.edits:
        became = f"moved by {edit.moved:+d}" if edit.moved else edit.after or "left out"
        console.print(f"  {edit.operation:15} {edit.before} -> {became}", markup=False)


def main() -> None:
    """Run them all."""
    for show in (three_lines, every_epoch_is_new, a_chain_of_your_own, what_was_changed):
        print(f"\n{show.__name__}: {show.__doc__}")
        show()


if __name__ == "__main__":
    main()
