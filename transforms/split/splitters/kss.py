"""kss with the mecab backend: the splitter that others are measured against."""

import hashlib
import importlib
import re
from typing import Any, Final

from klue_beam.transforms.split.splitters.base import SplitterEntry, load_splitter
from klue_beam.transforms.split.splitters.fast import fast_version
from klue_beam.transforms.split.splitters.foreign import ForeignSplitter, require_package
from klue_beam.transforms.split.splitters.spans import Splitter

_REMEDY: Final = "Run `pip install kss python-mecab-ko`, or choose the default, `fast`."

_AFTER_ADDRESS: Final = ".,;:!?…~"


def kss_version() -> str:
    """Name the versions of kss and of the dictionary that its result depends on.

    Raises:
      ModuleNotFoundError: if kss or mecab is not installed.
    """
    return f"{require_package('kss', _REMEDY)}+mecab-ko-dic-{require_package('python-mecab-ko-dic', _REMEDY)}"


def _stable_digits(text: str) -> str:
    """Give the digits that stand for a protected string; kss takes hash(), which differs from process to process."""
    return str(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big"))


def _address_pattern(url_suffixes: str) -> re.Pattern[str]:
    """Find URLs and e-mail addresses in linear time; kss's own pattern takes exponential time on `http:!!!!!!…`."""
    tail = r"[^\s()<>{}\[\]\"'`“”‘’«»]*"
    return re.compile(
        rf"(?i)(?<![a-z0-9.\-+_])(?:[a-z0-9.\-+_]+@[a-z0-9.\-_]+\.[a-z]+"
        rf"|(?:https?|ftp|mailto):{tail}|[a-z0-9.\-]+\.(?:{url_suffixes})(?![a-z0-9])(?:/{tail})?)"
    )


class _Kss:
    """kss's splitting function without its memory: no class-level dictionary of URLs, no caches, no process pool."""

    def __init__(self) -> None:
        splitting: Any = importlib.import_module("kss._modules.sentences.split_sentences")
        analyzers: Any = importlib.import_module("kss._modules.morphemes.analyzers")
        constants: Any = importlib.import_module("kss._utils.const")
        require_package("python-mecab-ko", _REMEDY)
        self._splitting = splitting
        self._analyzer = analyzers.MecabAnalyzer()
        self._protected = {text: _stable_digits(text) for text in sorted(constants.backup_normal)}
        self._addresses = _address_pattern(constants._url_suffix)
        self._preprocessor = splitting.SentencePreprocessor()
        self._postprocessor = splitting.SentencePostprocessor()
        # The instances' own attributes hide those of the class, which grow with every URL and hold unstable hashes.
        self._preprocessor._add_url_or_email = lambda _text: None
        apostrophes = {
            letter: {form: _stable_digits(form) for form in sorted(forms)}
            for letter, forms in sorted(constants.alphabet_with_quotes.items())
        }
        self._preprocessor._heavy_backup = self._postprocessor._heavy_backup = apostrophes
        self._caches = (
            splitting._split_sentences,
            analyzers.MecabAnalyzer.pos,
            splitting.SentencePreprocessor.backup,
            splitting.SentencePostprocessor.restore,
        )

    def __call__(self, text: str) -> list[str]:
        addresses = {address.rstrip(_AFTER_ADDRESS) for address in self._addresses.findall(text)} - {""}
        longest_first = sorted(addresses, key=lambda address: (-len(address), address))
        protected = self._protected | {address: _stable_digits(address) for address in longest_first}
        self._preprocessor._normal_backup = self._postprocessor._normal_backup = protected
        try:
            sentences: list[str] = self._splitting._split_sentences(
                text,
                backend=self._analyzer,
                strip=False,
                preprocessor=self._preprocessor,
                postprocessor=self._postprocessor,
            )
        finally:
            for cache in self._caches:
                cache.cache_clear()
        return sentences


def kss_splitter(fallback: Splitter) -> ForeignSplitter:
    """Load kss; seconds, since it imports all of its modules.

    Raises:
      ModuleNotFoundError: if kss or mecab is not installed.
    """
    kss_version()
    return ForeignSplitter("kss", _Kss(), fallback)


SPLITTER: Final = SplitterEntry(
    lambda: kss_splitter(load_splitter("fast")), lambda: f"{kss_version()}/fast-{fast_version()}"
)
