"""Answers texts from the cache: identical texts, and near copies that the guard allows."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal, Protocol

from content_moderator.cache.answer_cache import AnswerCache
from content_moderator.cache.lookup_metrics import Lookup
from content_moderator.classifiers.wrappers.near_copy_checker import NearCopyChecker
from content_moderator.domain.call_context import CacheMode, CallContext
from content_moderator.domain.caller import Caller
from content_moderator.domain.classification import Classification, Classifier, Outcome
from content_moderator.domain.errors import ClassifierError

NearCopyMode = Literal["off", "fallback", "on"]


class CacheSource(Protocol):
    """Returns the cache of each caller."""

    def of(self, caller: Caller | None) -> AnswerCache:
        """Return the cache of a caller."""
        ...


class Caching:
    """
    Answers texts from the cache, and passes only the other texts on.

    Args:
        classifier: Scores the other texts.
        caches: The caches of all callers.
        near_copies: When the answer about a near copy is used: never, if the classifier fails, or always.
        checker: Checks a sample of the answers from near copies; None to check none.
    """

    def __init__(
        self,
        classifier: Classifier,
        caches: CacheSource,
        *,
        near_copies: NearCopyMode,
        checker: NearCopyChecker | None = None,
    ) -> None:
        self._classifier = classifier
        self.identity = classifier.identity
        self._caches = caches
        self._near_copies = near_copies
        self._checker = checker

    def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
        """Score each text; see `Classifier.classify`."""
        if context.cache_mode is CacheMode.BYPASS:
            return self._classifier.classify(texts, context)
        cache = self._caches.of(context.caller)
        if context.cache_mode is CacheMode.REFRESH:
            return self._refresh(texts, context, cache)
        outcomes: dict[str, Outcome] = {}
        missing: list[str] = []
        for text in dict.fromkeys(texts):
            answer = cache.get(text)
            if answer is None:
                missing.append(text)
            else:
                outcomes[text] = answer
        if missing:
            outcomes |= self._find_out(missing, context, cache)
        return [outcomes[text] for text in texts]

    def _refresh(self, texts: Sequence[str], context: CallContext, cache: AnswerCache) -> list[Outcome]:
        for _ in texts:
            Lookup("exact").end("skipped")
        outcomes = self._classifier.classify(texts, context)
        cache.put(_answers(zip(texts, outcomes, strict=True)))
        return outcomes

    def _find_out(self, texts: Sequence[str], context: CallContext, cache: AnswerCache) -> dict[str, Outcome]:
        """
        Look texts up in the shared cache, then ask the classifier; release the leases of texts without an
        answer.
        """
        answers, leased = cache.get_shared(texts)
        outcomes: dict[str, Outcome] = dict(answers)
        try:
            missing = [text for text in texts if text not in outcomes]
            if missing and self._near_copies == "on":
                outcomes |= self._from_near_copies(missing, context, cache)
                missing = [text for text in missing if text not in outcomes]
            if missing:
                fresh, stored = self._ask(missing, context, cache)
                outcomes |= fresh
                leased = [text for text in leased if text not in stored]
        finally:
            cache.release(leased)
        return outcomes

    def _ask(
        self, texts: Sequence[str], context: CallContext, cache: AnswerCache
    ) -> tuple[dict[str, Outcome], set[str]]:
        """Ask the classifier; return the outcomes, and the texts whose answer was stored."""
        outcomes = dict(zip(texts, self._classifier.classify(texts, context), strict=True))
        stored = cache.put(_answers(outcomes.items()))
        if self._near_copies == "fallback":
            for text in texts:
                if not _is_own(outcomes[text]) and (answer := cache.get_near_copy(text)) is not None:
                    outcomes[text] = replace(answer, degraded=True)
        return outcomes, stored

    def _from_near_copies(
        self, texts: Sequence[str], context: CallContext, cache: AnswerCache
    ) -> dict[str, Outcome]:
        answers: dict[str, Outcome] = {}
        for text in texts:
            if (answer := cache.get_near_copy(text)) is not None:
                answers[text] = answer
                if self._checker is not None:
                    self._checker.check(text, answer, context, cache.put)
        return answers


def _answers(outcomes: Iterable[tuple[str, Outcome]]) -> list[tuple[str, Classification]]:
    return [(text, outcome) for text, outcome in outcomes if isinstance(outcome, Classification)]


def _is_own(outcome: Outcome) -> bool:
    """Return whether the chosen classifier itself answered, not its stand-in."""
    return not isinstance(outcome, ClassifierError) and not outcome.degraded
