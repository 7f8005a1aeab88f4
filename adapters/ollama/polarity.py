"""``says_bad`` and ``says_good``: whether a description is about damage or about its absence."""

from __future__ import annotations

import re

from adapters.ollama.text import without

# Whole words with their own endings: rust is damage, a rustic board is not; a crack is, a cracker is not.
_DAMAGE_FORMS = r"""
scratch(?:es|ed|y|ing)?
cracks?(?![-\s]filler) cracked(?![-\s]pepper) cracking
dents? dented
broken(?![-\s]white) breakages?
damage[sd]? damaging
defects?(?!(?:[-\s](?:detection|inspection))) defective(?:ly)?
flaw(?:s|ed)?
fault(?:s|y|ily)?
stain(?:s|ing)? stained(?![-\s](?:glass|wood|timber|oak|walnut|beech|pine|finish))
contamina(?:nts?|tions?|ted)
rust(?![-\s](?:colou?red|brown|red|orange))(?:s|y|ed|ing)?
corro(?:ded|sion|ding)
torn tears?(?![-\s](?:off|strip|tab|notch|line|drop|shaped))
deform(?:ed|ations?|ity|ities) malformed misshapen warped
missing incomplete(?:ly)?
misprint(?:s|ed)? misaligned misalignments? misplaced illegible unreadable
discolou?r(?:ed|ations?|ing)?
fracture[sd]?
smudge[sd]? smear(?:s|ed|y)? dirty
blemish(?:es|ed)?
imperfect(?:ions?|ly)?
abnormal(?:ity|ities|ly)?
anomal(?:y(?![-\s]detection)|ies|ous)
scuff(?:s|ed|ing)?
shattered splintered crushed chipped frayed ripped punctured
gouge[sd]? pitted pitting burrs?
delaminat(?:ed|ion) peeling blistered tarnished scorched
leak(?:s|y|ing|ages?)?
wrong(?:ly)? problems? issues?
"""
_DAMAGE = re.compile(rf"\b(?:{'|'.join(_DAMAGE_FORMS.split())})\b")
_PRAISE = re.compile(
    r"\b(?:flawless|faultless|perfect|immaculate|impeccable|spotless)(?:ly)?\b"
    r"|\b(?:pristine|intact|unscathed|unmarred|defectless|brand[- ]new|(?:as|like) new)\b"
    r"|\bun(?:damaged|blemished|scratched|broken|cracked|dented|stained|chipped|torn|worn|marked|tarnished)\b"
    r"|\bgood(?![- ](?:sized|deal|many|amount|bit))\b"
    r"|^(?:an? |the |every |each )?(?:normal|acceptable)\b"
    r"|\b(?:is|are|was|were|be|looks?|appears?|seems?|stays?|remains?|still|all|fully|completely|entirely) "
    r"(?:quite )?(?:normal|acceptable|fine|ok|okay|alright|all right|in order|correct)\b"
    r"|\bpass(?:es|ed)?(?: (?:the |every |its )?(?:inspection|test|check|quality)|$)"
    r"|\bwithin (?:specification|tolerance)\b"
)
_NEGATION = re.compile(
    r".*(?:\b(?:no|not(?! only| just| merely)|nothing|none|without|never|zero|lacks?|lacking|absence of"
    r"|neither|nor|hardly any|free (?:of|from)|clear of|devoid of|cannot)|n't)\b([^.;:]*)$"
)
_ATTACHED = re.compile(r"\b(?:anti|non)[- ]?$")
_TURN = re.compile(
    r"\b(?:but|except|though|although|however|yet|while|whereas|instead|with|has|having|shows?|showing"
    r"|and (?:an?|the|its|one|some|two|several))\b"
)
_VERB = re.compile(r"^ (?:has|have|had|having|shows?|showing|with|be|been)\b")
_PARTICIPLE = re.compile(r"(?:ed|en|torn|y|ive|ing)$")
_DENIED_AFTER = re.compile(
    r"^[ -]?(?:free|less|proof|resistant|resisting|repellent|tolerant|protect\w+|prevent\w+|inhibit\w+)\b"
    r"|^(?: \w+)? (?:is|are|was|were) (?:absent|(?:not|nowhere) (?:to be )?(?:visible|present|seen|found))\b"
    r"|^(?: \w+)? (?:cannot|can't|can not) be (?:seen|found)\b|^ ?: (?:none|no|0)\b"
)
_LESS = re.compile(r"\b(?:less than|almost|nearly|not quite|otherwise|than|unlike) (?:an? |the )?$")
_NOT_PRAISE = re.compile(
    r"(?:\b(?:not(?! only| just| merely)|no longer|never|far from|anything but|hardly|cannot be|no)|n't)"
    r"(?: (?:an?|the|any|be|been|being|looks?|looking|in|all|quite|very|really|so|entirely|completely|fully"
    r"|exactly|considered|called))* ?$"
)
_EXCEPT = re.compile(r"\b(?:except|but|apart from|save for|besides|until|if it were not)\b")
_DOUBT = re.compile(
    r"\b(?:bent|uneven|irregular|crooked|twisted|wrinkled|faded|loose|dirt|dust|nicks?|bumps?|worn)\b"
)
"""Words that are no damage by themselves, and spoil praise."""


def says_bad(text: str, noun: str) -> bool:
    """Whether a cleaned text describes damage without denying it, or denies that the part is good.

    The noun's own words do not count.
    """
    text = without(text, noun)
    if any(not _denied(text, found) for found in _DAMAGE.finditer(text)):
        return True
    return any(_NOT_PRAISE.search(text[: found.start()]) for found in _praises(text))


def says_good(text: str, noun: str) -> bool:
    """Whether a cleaned text praises the part, or denies all the damage that it names."""
    if says_bad(text, noun):
        return False
    text = without(text, noun)
    if any(not _denied(text, found) for found in _DOUBT.finditer(text)):
        return False
    praised = any(_EXCEPT.search(text[found.end() :]) is None for found in _praises(text))
    return praised or _DAMAGE.search(text) is not None


def _praises(text: str) -> list[re.Match[str]]:
    """Words of praise, without the half-hearted: "less than perfect", "an otherwise good part"."""
    return [found for found in _PRAISE.finditer(text) if _LESS.search(text[: found.start()]) is None]


def _denied(text: str, found: re.Match[str]) -> bool:
    before, after = text[: found.start()], text[found.end() :]
    if _ATTACHED.search(before) or _DENIED_AFTER.match(after):
        return True
    denial = _NEGATION.match(before)
    if denial is None:
        return False
    # A "no" applies to the whole list that follows, up to a word that turns the sentence.
    scope = _VERB.sub("", denial[1])
    if _TURN.search(scope) is not None:
        return False
    # "no label, torn at the edge" denies the label alone, "not scratched, cracked or dented" all three.
    if re.search(r"\b(?:not|n't|neither|nor)\b[^.;:]*$", before) or not _PARTICIPLE.search(found[0]):
        return True
    listed = any(_PARTICIPLE.search(earlier[0]) for earlier in _DAMAGE.finditer(scope))
    return listed or not scope.endswith((", ", " and "))
