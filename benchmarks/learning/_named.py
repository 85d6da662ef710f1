"""The figures of the suite: what each is called, and in which unit it counts."""

from collections.abc import Iterable, Mapping

from benchmarks._figures import Figure

UNITS = {
    "arxiv-knn": "accuracy x 100 of 10-NN, primary category, held-out abstracts, 80 a category",
    "arxiv-title": "MRR@10 x 100, title to abstract, held-out papers",
    "arxiv-hard": "MRR@10 x 100, title to abstract, the fifth with the least words in common",
    "arxiv-untitled": "MRR@10 x 100, title to abstract without the words of its title",
    "irc": "MRR@10 x 100, message to the message linked to it among 1,000",
    "metatool": "nDCG@10 x 100, request to tool, macro-averaged per tool",
    "stsb": "Spearman x 100, STS-B test",
    "stsb-zh": "Spearman x 100, STS-B zh dev, even rows",
    "lcqmc": "Spearman x 100, LCQMC dev, even rows",
    "forms": "least cosine of a sentence of STS-B zh with its traditional, full- and half-width forms",
    **{
        f"{name}-{way}": f"accuracy x 100, {title} test, {how}"
        for name, title in (("banking77", "Banking77"), ("clinc150", "CLINC150"))
        for way, how in (
            ("knn", "10-NN"),
            ("five", "5 texts a label, 5 draws, logistic regression"),
            ("all", "all labels"),
        )
    },
}

# The score of a task with the least that is wanted of it (None: it is only recorded), and by how much it must
# lie over another on the same items.
Scores = Mapping[str, float | None]
Gaps = Mapping[tuple[str, str], float]


def of_methods(methods: Mapping[str, Iterable[str]]) -> list[Figure]:
    """The score of each method on each task."""
    return [
        Figure(f"learning-{task}-{method}", unit=UNITS[task])
        for task, of_task in methods.items()
        for method in of_task
    ]


def of_scores(name: str, scores: Scores) -> list[Figure]:
    """The scores of a model."""
    return [Figure(f"learning-{name}-{task}", unit=UNITS[task], at_least=bar) for task, bar in scores.items()]


def of_run(name: str, scores: Scores, gaps: Gaps, minutes: float) -> list[Figure]:
    """What a run of so many minutes is asked."""
    return [
        *of_scores(name, scores),
        *(
            Figure(
                f"learning-{name}-{task}-over-{other}", unit=f"{UNITS[task]}, model - {other}", at_least=bar
            )
            for (task, other), bar in gaps.items()
        ),
        Figure(f"learning-{name}-minutes", unit="minutes, whole command", at_most=minutes),
    ]


def of_intervals(name: str, pairs: Iterable[tuple[str, str]]) -> list[Figure]:
    """How far the interval of a run's score on a task lies above that of a floor."""
    return [
        Figure(
            f"learning-{name}-{task}-apart-from-{floor}",
            unit=f"{UNITS[task]}, from the upper end of the 95% interval of {floor} to the model's lower end",
            at_least=0.0,
        )
        for task, floor in pairs
    ]


def of_recipes(corpus: str, recipes: Iterable[str], at_least: float) -> list[Figure]:
    """The default beside each recipe, and how much it is over the best of them."""
    what = f"mean x 100 over the tasks of {corpus}"
    return [
        *(Figure(f"learning-probe-{corpus}-{recipe}", unit=what) for recipe in (*recipes, "default")),
        Figure(
            f"learning-probe-{corpus}-over-best", unit=f"{what}, default - best recipe", at_least=at_least
        ),
    ]
