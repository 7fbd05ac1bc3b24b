"""A predictor of conflicts that learns block by block: logistic regression on what groups have in common.

What a function does to one contract it mostly does to another: a swap meets the next swap in any pool. So each group is
described by its function, by its contract and function, and, if it is narrow, by the argument as well; each of these
has a coefficient, and a group that was never seen is judged by its function.

Invariant: memory is bounded; the same lessons in the same order give the same weights.
Source: stochastic gradient descent on the logistic loss over hashed features (scikit-learn's `SGDClassifier`).
What it does not do: it changes no result; see `interlace.chain.predictor`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from interlace.chain.predictor import Lesson, Weight
from interlace.errors import ProgramError

FEATURES: Final = 1 << 14
"""Places that descriptions are hashed to."""
MAX_GROUPS: Final = 4096
"""Groups that are remembered, those heard of last; as many functions."""
_SELECTOR: Final = 4
#: Members of one group in one block count at most so often: they met for one reason.
_MOST: Final = 4
#: What a group that waited counts as one that was spared: what is not tried again is never found to have changed.
_WAITED: Final = 0.1

#: Whom, what inputs begin with, and whether that is more than what selects a function; nobody for all contracts.
_Group = tuple[bytes, bytes, bool]


class OnlinePredictor:
    """A predictor for `Chain(predictor=...)`.

    Parameters
    ----------
    rate
        Length of a step; larger ones learn and forget faster.

    Raises
    ------
    ProgramError
        ``model.extra-missing`` without scikit-learn.
    """

    def __init__(self, rate: float = 0.3) -> None:
        try:
            from sklearn.feature_extraction import FeatureHasher
            from sklearn.linear_model import SGDClassifier
            from threadpoolctl import ThreadpoolController
        except ImportError as error:
            raise ProgramError(
                "model.extra-missing", "scikit-learn is not installed", hint="pip install 'interlace[ml]'"
            ) from error
        self._hasher = FeatureHasher(FEATURES, input_type="string", alternate_sign=False)
        self._model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=rate, alpha=1e-6, random_state=0)
        # Threads of a linear algebra library wait busily for more to do, on the cores that execute blocks.
        self._pools = ThreadpoolController()
        self._groups: dict[_Group, None] = {}
        self._functions: dict[_Group, None] = {}

    def learn(self, lessons: Sequence[Lesson]) -> None:
        """Take one step for each lesson."""
        groups: list[_Group] = []
        labels: list[int] = []
        counts: list[float] = []
        for lesson in lessons:
            narrow = len(lesson.prefix) > _SELECTOR
            group = (lesson.to, lesson.prefix, narrow)
            _remember(self._groups, group)
            if len(lesson.prefix) >= _SELECTOR:
                _remember(self._functions, (b"", lesson.prefix[:_SELECTOR], narrow))
            spared = lesson.spared or (_WAITED if lesson.waited and not lesson.met else 0.0)
            for label, count in ((1, lesson.met), (0, spared)):
                if count:
                    groups.append(group)
                    labels.append(label)
                    counts.append(min(count, _MOST))
        if groups:
            features = self._hasher.transform(_description(group) for group in groups)
            with self._pools.limit(limits=1):
                self._model.partial_fit(features, labels, classes=[0, 1], sample_weight=counts)

    def weights(self) -> Sequence[Weight]:
        """Return the probability that members meet, times 255, of all groups and functions that are remembered."""
        known = [*self._functions, *self._groups]
        if not known:
            return []
        features = self._hasher.transform(_description(group) for group in known)
        with self._pools.limit(limits=1):
            chances = self._model.predict_proba(features)[:, 1]
        return [
            Weight(to or None, prefix, int(255 * chance), narrow)
            for (to, prefix, narrow), chance in zip(known, chances, strict=True)
        ]


def _remember(known: dict[_Group, None], group: _Group) -> None:
    known.pop(group, None)
    known[group] = None
    if len(known) > MAX_GROUPS:
        del known[next(iter(known))]


def _description(group: _Group) -> Iterable[str]:
    to, prefix, narrow = group
    function = f"{prefix[:_SELECTOR].hex()} {narrow}"
    yield str(narrow)
    yield function
    if to:
        yield f"{to.hex()} {function}"
        if narrow:
            yield f"{to.hex()} {prefix.hex()}"
