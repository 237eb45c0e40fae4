"""The KLUE label sets, in model order, and how KLUE-RE's entity types map to KLUE-NER's.

Reference: Park et al., 2021, "KLUE: Korean Language Understanding Evaluation", https://arxiv.org/abs/2105.09680
"""

from typing import Final

LABEL_SETS_VERSION: Final = "klue-1.1"

TOPICS: Final = ("IT과학", "경제", "사회", "생활문화", "세계", "스포츠", "정치")

NER_TYPES: Final = ("PS", "LC", "OG", "DT", "TI", "QT")
"""The six entity types of KLUE-NER: person, location, organization, date, time, quantity."""

RE_ONLY_TYPES: Final = ("POH", "NOH")
"""Mention types that KLUE-RE has beside KLUE-NER's: other proper nouns, other numerals."""

ENTITY_TYPES: Final = NER_TYPES + RE_ONLY_TYPES

RE_TYPE_TO_ENTITY_TYPE: Final = {
    "PER": "PS",
    "LOC": "LC",
    "ORG": "OG",
    "DAT": "DT",
    "POH": "POH",
    "NOH": "NOH",
}

UNRELATED_OBJECT_TYPES: Final = {"PS": ("TI", "QT"), "OG": ("TI",)}
"""The subject types of KLUE-RE's relations, each with the objects that none of them has: a time of day, and a quantity
but that of an organization's members."""

NO_RELATION: Final = "no_relation"

RELATIONS: Final = (
    NO_RELATION,
    "org:dissolved",
    "org:founded",
    "org:place_of_headquarters",
    "org:alternate_names",
    "org:member_of",
    "org:members",
    "org:political/religious_affiliation",
    "org:product",
    "org:founded_by",
    "org:top_members/employees",
    "org:number_of_employees/members",
    "per:date_of_birth",
    "per:date_of_death",
    "per:place_of_birth",
    "per:place_of_death",
    "per:place_of_residence",
    "per:origin",
    "per:employee_of",
    "per:schools_attended",
    "per:alternate_names",
    "per:parents",
    "per:children",
    "per:siblings",
    "per:spouse",
    "per:other_family",
    "per:colleagues",
    "per:product",
    "per:religion",
    "per:title",
)

DEPRELS: Final = (
    "NP",
    "NP_AJT",
    "VP",
    "NP_SBJ",
    "VP_MOD",
    "NP_OBJ",
    "AP",
    "NP_CNJ",
    "NP_MOD",
    "VNP",
    "DP",
    "VP_AJT",
    "VNP_MOD",
    "NP_CMP",
    "VP_SBJ",
    "VP_CMP",
    "VP_OBJ",
    "VNP_CMP",
    "AP_MOD",
    "X_AJT",
    "VP_CNJ",
    "VNP_AJT",
    "IP",
    "X",
    "X_SBJ",
    "VNP_OBJ",
    "VNP_SBJ",
    "X_OBJ",
    "AP_AJT",
    "L",
    "X_MOD",
    "X_CNJ",
    "VNP_CNJ",
    "X_CMP",
    "AP_CMP",
    "AP_SBJ",
    "R",
    "NP_SVJ",
)
"""The 38 dependency labels of KLUE-DP, in the order of KLUE-baseline."""
